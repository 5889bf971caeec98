from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from threading import Barrier
from types import SimpleNamespace
from typing import cast

import pytest

from prefix_engine.cache import DEFAULT_NAMESPACE, Insert, Lease, NullCache, RadixCache
from prefix_engine.cache.base import TakeKV
from prefix_engine.cache.null import EmptyLease
from prefix_engine.engine import Engine, Prefill
from prefix_engine.errors import EmptyPrompt, PromptTooLong, TooManyTrials
from prefix_engine.lessons.served import (
    Served,
    ServedTrial,
    Stream,
    reuse_sentence,
    sign_test,
    speed_sentence,
)
from prefix_engine.lessons.stream import Asked, _Pair, _served_trial, serve
from prefix_engine.stopwatch import Timing
from prefix_engine.trials import NoRoomNow, WrongReuse
from prefix_engine.turns import ComputeSlot
from prefix_engine.unloaded import UnloadedShares
from prefix_engine.watch import Watch
from tests.tiny_engine import BYTES_PER_TOKEN, tiny_cache, tiny_engine

pytestmark = pytest.mark.usefixtures("one_thread")

SHARED = "You are a helpful assistant. "
REQUESTS = (
    Asked("first", SHARED + "Weather in SF?", "ann"),
    Asked("second", SHARED + "Weather in NYC?", "ben"),
    Asked("third", SHARED + "Time?", "ann"),
    Asked("second again", SHARED + "Weather in NYC?", "ann"),
)
WEATHER = len(SHARED + "Weather in ")
SHARES = [0, WEATHER, len(SHARED), len(REQUESTS[1].prompt)]


class Stopped(Exception):
    pass


@pytest.fixture
def engine() -> Engine:
    return tiny_engine()


# ---- what is reused


def test_each_request_reuses_the_longest_prefix_of_any_before_it(engine: Engine) -> None:
    stream = serve(engine, REQUESTS, rounds=2)
    assert [one.shared for one in stream.requests] == SHARES
    assert [one.reused for one in stream.requests] == [*SHARES[:3], SHARES[3] - 1]
    assert [one.tokens for one in stream.requests] == [len(one.prompt) for one in REQUESTS]
    assert [[t.reused for t in one.trials] for one in stream.requests] == [
        [one.reused] * 2 for one in stream.requests
    ]


def test_only_whole_blocks_are_reused() -> None:
    stream = serve(tiny_engine(tiny_cache(block_size=16)), REQUESTS, rounds=1)
    assert stream.block_size == 16
    assert [one.shared for one in stream.requests] == SHARES
    assert [one.reused for one in stream.requests] == [0, 32, 16, 32]


def test_users_in_namespaces_of_their_own_share_nothing_with_others(engine: Engine) -> None:
    stream = serve(engine, REQUESTS, rounds=1, namespace_of=lambda one: one.user)
    assert [one.reused for one in stream.requests] == [0, 0, len(SHARED), WEATHER]
    assert [one.user for one in stream.requests] == ["ann", "ben", "ann", "ann"]


def test_what_others_stored_has_no_part_in_it(engine: Engine) -> None:
    engine.prefill(REQUESTS[0].prompt)
    assert serve(engine, REQUESTS[:1], rounds=1).reused == 0
    assert engine.prefill(REQUESTS[0].prompt).reused == len(REQUESTS[0].prompt) - 1


def test_a_round_finds_nothing_of_the_round_before(engine: Engine) -> None:
    first = serve(engine, REQUESTS, rounds=3).requests[0]
    assert [trial.reused for trial in first.trials] == [0, 0, 0]


def test_no_requests_make_an_empty_stream(engine: Engine) -> None:
    stream = serve(engine, [], rounds=1)
    assert (stream.requests, stream.hit_rate, stream.saved_s) == ((), 0.0, ())


# ---- a broken or full cache


class Forgetful(RadixCache):
    """Stores, but finds nothing again."""

    def match(self, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> Lease:
        return EmptyLease()


class Leaky(RadixCache):
    """Keeps everything in one namespace, whatever it is told."""

    def match(self, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> Lease:
        return super().match(ids, "one")

    def insert(
        self, ids: Sequence[int], take: TakeKV, namespace: str = DEFAULT_NAMESPACE
    ) -> Insert:
        return super().insert(ids, take, "one")


@pytest.mark.parametrize("broken", [Forgetful, Leaky])
def test_reuse_against_the_rule_is_an_error(broken: type[RadixCache]) -> None:
    engine = tiny_engine(broken(bytes_per_token=BYTES_PER_TOKEN))
    with pytest.raises(WrongReuse, match="where the rule says"):
        serve(engine, REQUESTS, rounds=1)


def test_a_cache_that_refuses_to_store_is_told_and_predicts_nothing() -> None:
    for cache in (NullCache(), tiny_cache(budget_tokens=3)):
        stream = serve(tiny_engine(cache), REQUESTS, rounds=1)
        assert [one.shared for one in stream.requests] == [0, 0, 0, 0]
        assert stream.refused == tuple(one.name for one in REQUESTS)
        assert 'no room to store "first", "second"' in reuse_sentence(stream)


def test_eviction_may_take_reuse_away_and_is_recorded() -> None:
    a, b = Asked("a", "a" * 50), Asked("b", "b" * 50)
    stream = serve(tiny_engine(tiny_cache(budget_tokens=60)), [a, b, a], rounds=1)
    assert [(one.shared, one.reused) for one in stream.requests] == [(0, 0), (0, 0), (50, 0)]
    assert stream.evicted_tokens == 100
    assert "100 tokens were evicted" in reuse_sentence(stream)


def test_what_others_drive_out_between_two_turns_is_stored_again() -> None:
    engine = tiny_engine(tiny_cache(budget_tokens=60))
    others = iter(range(1000))

    @contextmanager
    def turn() -> Iterator[None]:
        engine.prefill(f"{next(others):050}", namespace="another visitor's")
        yield

    stream = serve(engine, REQUESTS, rounds=2, watch=Watch(turn=turn))
    assert [one.reused for one in stream.requests] == [*SHARES[:3], SHARES[3] - 1]
    assert stream.evicted_tokens == 0, "by these requests themselves"


def test_what_a_stream_drives_out_itself_is_not_stored_again_for_others_sake() -> None:
    engine, others = tiny_engine(tiny_cache(budget_tokens=60)), iter(range(1000))

    @contextmanager
    def turn() -> Iterator[None]:
        engine.prefill(f"{next(others):050}", namespace="another visitor's")
        yield

    a, b = Asked("a", "a" * 50), Asked("b", "b" * 50)
    stream = serve(engine, [a, b, a], rounds=1, watch=Watch(turn=turn))
    assert [one.reused for one in stream.requests] == [0, 0, 0]
    assert stream.evicted_tokens == 100


def test_a_whole_class_gets_its_figures_from_one_small_cache() -> None:
    engine, slot = tiny_engine(tiny_cache(budget_tokens=80)), ComputeSlot(back_s=0.0)
    together = Barrier(6)

    def visit(number: int) -> list[int]:
        together.wait()
        with closing(slot.visit(f"visitor {number}")) as turns:
            stream = serve(engine, REQUESTS, 2, Watch(turns.turn))
        return [one.reused for one in stream.requests]

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(visit, range(6)))
    assert found == [[*SHARES[:3], SHARES[3] - 1]] * 6
    assert engine.cache.stats.evicted_tokens > 0, "they did take each other's room"


def test_where_others_leave_no_room_the_stream_ends_and_says_so() -> None:
    engine = tiny_engine(tiny_cache(budget_tokens=60))
    turns, pins = iter(range(100)), ExitStack()

    @contextmanager
    def turn() -> Iterator[None]:
        if next(turns) == 4:  # the first of the second request
            ids = engine.prefill("x" * 50, namespace="another visitor's").ids
            pins.enter_context(engine.cache.pin(ids, "another visitor's"))
        yield

    with pins, pytest.raises(NoRoomNow, match="run it again"):
        serve(engine, REQUESTS, rounds=1, watch=Watch(turn=turn))


# ---- order, turns, stopping


def test_a_warm_up_then_both_arms_of_each_request_each_in_a_turn_of_its_own(
    engine: Engine,
) -> None:
    told: list[tuple[float, str]] = []
    turns = 0

    @contextmanager
    def turn() -> Iterator[None]:
        nonlocal turns
        turns += 1
        yield

    serve(engine, REQUESTS, 2, Watch(turn=turn, tell=lambda part, what: told.append((part, what))))
    assert turns == len(told) == 2 + 2 * 2 * len(REQUESTS)
    assert [part for part, _ in told] == [done / turns for done in range(turns)]
    assert [what.split(",")[0] for _, what in told[:3]] == ["Warm-up"] * 2 + ["Round 1 of 2"]
    order = [what for _, what in told[2:]]
    assert all("first" in what for what in order[:2])
    assert Counter(order)["Round 2 of 2, third, with the cache"] == 1
    assert Counter(order)["Round 2 of 2, third, without it"] == 1


def test_the_order_of_the_arms_is_random_and_repeats_with_a_seed(engine: Engine) -> None:
    def order(seed: int) -> list[str]:
        told: list[str] = []
        serve(engine, REQUESTS, 3, Watch(tell=lambda part, what: told.append(what)), seed=seed)
        return [what.rsplit(", ")[-1] for what in told]

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(4)}) > 1
    assert set(order(1)[::2]) == {"with the cache", "without it"}


@pytest.mark.parametrize("at", [1, 2, 5, 12])
def test_a_stop_at_any_turn_leaves_nothing_behind(engine: Engine, at: int) -> None:
    turns = 0

    @contextmanager
    def turn() -> Iterator[None]:
        nonlocal turns
        turns += 1
        yield
        if turns == at:
            raise Stopped

    with pytest.raises(Stopped):
        serve(engine, REQUESTS, 2, Watch(turn=turn), namespace_of=lambda one: one.user)
    assert engine.cache.stats.stored_tokens == engine.cache.stats.namespaces == 0


def test_a_stop_inside_a_prefill_leaves_nothing_behind(engine: Engine) -> None:
    seen = 0

    def on_step(done: int, total: int) -> None:
        nonlocal seen
        seen += 1
        if seen == 7:
            raise Stopped

    with pytest.raises(Stopped):
        serve(engine, REQUESTS, 2, Watch(on_step=on_step))
    assert engine.cache.stats.stored_tokens == 0
    engine.cache.check_integrity()


def test_nothing_stays_stored_after_a_whole_run(engine: Engine) -> None:
    serve(engine, REQUESTS, rounds=1, namespace_of=lambda one: one.user)
    assert engine.cache.stats.stored_tokens == engine.cache.stats.namespaces == 0


@pytest.mark.parametrize(("prompt", "error"), [("", EmptyPrompt), ("long " * 200, PromptTooLong)])
def test_a_bad_request_is_refused_by_its_name_before_anything_is_computed(
    engine: Engine, prompt: str, error: type[Exception]
) -> None:
    turns: list[str] = []
    watch = Watch(tell=lambda part, what: turns.append(what))
    with pytest.raises(error, match='"bad one"'):
        serve(engine, [*REQUESTS, Asked("bad one", prompt)], 1, watch)
    assert turns == []


@pytest.mark.parametrize("rounds", [0, 51])
def test_rounds_have_the_limit_of_trials(engine: Engine, rounds: int) -> None:
    with pytest.raises(TooManyTrials, match="ask for 1 to 50"):
        serve(engine, REQUESTS, rounds)


# ---- the figures


def trial(round: int, ttft_s: float, cold_s: float, reused: int = 10, **more: bool) -> ServedTrial:
    return ServedTrial(round, reused, ttft_s, cold_s, 2.0, 2.0, 0.0, **more)


def served(*trials: ServedTrial, tokens: int = 40) -> Served:
    reused = trials[0].reused
    return Served("one", "", tokens, reused, reused, trials)


def test_medians_leave_out_the_disturbed_trial_of_their_own_arm_only() -> None:
    one = served(trial(1, 1.0, 5.0), trial(2, 9.0, 7.0, ttft_disturbed=True), trial(3, 3.0, 6.0))
    assert (one.ttft_median_s, one.cold_median_s, one.saved_s) == (2.0, 6.0, 4.0)
    assert [t.disturbed for t in one.trials] == [False, True, False]


def test_totals_and_savings_add_up() -> None:
    cost = served(trial(1, 3.0, 2.5, reused=0), tokens=20)
    stream = Stream((cost, served(trial(1, 1.0, 5.0)), served(trial(1, 1.0, 3.0))))
    assert (stream.tokens, stream.reused, stream.prefilled, stream.hit_rate) == (100, 20, 80, 0.2)
    assert stream.saved_s == (-0.5, 3.5, 5.5)


def test_a_stream_is_busy_where_not_even_its_best_cold_run_got_the_processors() -> None:
    low = replace(trial(1, 1.0, 5.0), cold_cpu_over_wall=1.1)
    assert Stream((served(low),)).was_busy(threads=2)
    assert not Stream((served(low), served(trial(1, 1.0, 5.0)))).was_busy(threads=2)


def test_faster_is_said_only_of_enough_undisturbed_pairs() -> None:
    sooner = served(*(trial(n, 1.0, 5.0) for n in range(1, 5)))
    four = Stream((sooner, served(trial(1, 1.0, 5.0, ttft_disturbed=True))))
    assert speed_sentence(four, False).startswith("Too few runs to tell whether that is faster: 4 ")
    five = Stream((sooner, served(trial(1, 1.0, 5.0))))
    assert "in 5 of 5 pairs" in speed_sentence(five, False)


def test_nothing_is_said_of_times_taken_while_the_machine_was_busy() -> None:
    sooner = Stream((served(*(trial(n, 1.0, 5.0) for n in range(1, 7))),))
    told = speed_sentence(sooner, busy=True)
    assert "can't be told" in told
    assert "it is faster" not in told and "saved" not in told


def prefilled(reused: int, cpu_over_wall: float) -> Prefill:
    """Of 20 tokens, made when 1.0 processors were thought to be what an unloaded machine gives."""
    timing = Timing(1.0, cpu_over_wall, {}, unloaded_cpu_over_wall=1.0)
    made = SimpleNamespace(
        reused=reused,
        computed=20 - reused,
        timing=timing,
        ttft_s=1.0,
        store_s=0.0,
        insert=Insert(20, 0, False),
    )
    return cast(Prefill, made)


@pytest.mark.parametrize(
    ("hit", "cold", "disturbed"),
    [(1.3, 1.9, (False, False)), (0.9, 1.9, (True, False)), (1.3, 0.9, (False, True))],
)
def test_each_of_a_pair_is_held_against_what_is_known_of_the_machine_in_the_end(
    hit: float, cold: float, disturbed: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {10: 1.5, 20: 1.9}
    monkeypatch.setattr(UnloadedShares, "share", lambda _, computed: known[computed])
    made = _served_trial(tiny_engine(), _Pair(1, 10, prefilled(10, hit), prefilled(0, cold)))
    assert (made.ttft_disturbed, made.cold_disturbed) == disturbed


def test_where_every_run_was_disturbed_the_median_is_theirs() -> None:
    one = served(*(trial(n, float(n), 5.0, ttft_disturbed=True) for n in (1, 2, 3)))
    assert (one.ttft_median_s, one.cold_median_s) == (2.0, 5.0)
    assert not one.has_sound_pair


def test_pairs_that_reused_nothing_say_nothing_about_the_cache() -> None:
    stream = Stream((served(*(trial(n, 1.0, 5.0, reused=0) for n in range(1, 9))),))
    assert speed_sentence(stream, False).startswith("Too few runs")
    assert reuse_sentence(stream) == "Nothing was reused: all 40 prompt tokens were computed."


def test_pairs_that_go_both_ways_are_no_difference() -> None:
    stream = Stream((served(*(trial(n, 1.0 + n % 2, 1.5) for n in range(8))),))
    assert "No measurable difference in time: in 4 of 8 pairs" in speed_sentence(stream, False)


def test_the_sign_test_is_the_binomial_tail() -> None:
    assert sign_test(5, 5) == pytest.approx(0.03125)
    assert sign_test(4, 5) == pytest.approx(0.1875)
    assert sign_test(0, 5) == 1.0
