from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby

import pytest

from prefix_engine.cache import DEFAULT_NAMESPACE, Lease, NullCache, RadixCache
from prefix_engine.cache.null import EmptyLease
from prefix_engine.engine import Engine
from prefix_engine.errors import EmptyPrompt, PrefixEngineError, PromptTooLong, ReplyTooLong
from prefix_engine.run import RunWatch, run
from prefix_engine.speed import Arm, Trial
from prefix_engine.tokenizer import Message
from prefix_engine.trials import NoRoomNow, WrongReuse, experiment
from prefix_engine.unloaded import UnloadedShares
from tests.late import WAIT_S, LateTurns
from tests.tiny_engine import BYTES_PER_TOKEN, STOP, Scripted, tiny_cache, tiny_engine

pytestmark = pytest.mark.usefixtures("one_thread")

SHARED = "You are a helpful assistant. "
A, B = SHARED + "Weather in SF?", SHARED + "Time in NYC?"
EXPECTED = {Arm.COLD: 0, Arm.CONTROL: 0, Arm.HIT: len(SHARED)}


class Stopped(Exception):
    pass


@pytest.fixture
def engine() -> Engine:
    return tiny_engine()


def nodes_of(engine: Engine) -> list[tuple[str, tuple[int, ...]]]:
    assert isinstance(engine.cache, RadixCache)
    return sorted((node.namespace, node.ids) for node in engine.cache.nodes())


# ---- what each arm reuses


@pytest.mark.parametrize("arm", Arm)
def test_each_arm_reuses_what_the_rule_says(engine: Engine, arm: Arm) -> None:
    with experiment(engine, A, B) as ready:
        assert ready.predicted_reuse == len(SHARED)
        assert ready.run(arm).reused == EXPECTED[arm]


def test_the_prediction_knows_the_rules_for_blocks_and_for_the_last_token() -> None:
    with experiment(tiny_engine(tiny_cache(block_size=8)), A, B) as ready:
        assert ready.predicted_reuse == ready.run(Arm.HIT).reused == 24
    with experiment(tiny_engine(), A, A) as ready:
        assert ready.predicted_reuse == ready.run(Arm.HIT).reused == len(A) - 1


def test_a_second_trial_that_reuses_the_first_does_not_happen(engine: Engine) -> None:
    with experiment(engine, A, B) as ready:
        before = ready.run(Arm.HIT), nodes_of(engine)
        for arm in (Arm.COLD, Arm.COLD, Arm.CONTROL, Arm.CONTROL, Arm.HIT, Arm.HIT):
            prefill = ready.run(arm)
            assert prefill.reused == EXPECTED[arm]
            assert prefill.insert.stored == 0
        for arm in (Arm.COLD, Arm.HIT):
            list(ready.answer(arm, 4))
        assert ready.run(Arm.COLD).reused == 0
        assert nodes_of(engine) == before[1]


def test_other_namespaces_have_no_part_in_it(engine: Engine) -> None:
    engine.prefill(B)
    with experiment(engine, A, B) as ready:
        assert [ready.run(arm).reused for arm in Arm] == [EXPECTED[arm] for arm in Arm]
    assert engine.prefill(B).reused == len(B) - 1


class Forgetful(RadixCache):
    """Stores, but finds nothing again."""

    def match(self, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> Lease:
        return EmptyLease()


class Shared(RadixCache):
    """Takes every empty namespace of an experiment for the one that holds A."""

    def match(self, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> Lease:
        return super().match(ids, namespace.removesuffix("-empty"))


class Careless(RadixCache):
    """Does not look at the first token."""

    def match(self, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> Lease:
        first = next((node.ids[0] for node in self.nodes() if node.namespace == namespace), None)
        return super().match(ids if first is None else (first, *ids[1:]), namespace)


@pytest.mark.parametrize(
    ("broken", "arm"), [(Forgetful, Arm.HIT), (Shared, Arm.COLD), (Careless, Arm.CONTROL)]
)
def test_a_trial_on_a_broken_cache_is_refused(broken: type[RadixCache], arm: Arm) -> None:
    engine = tiny_engine(broken(bytes_per_token=BYTES_PER_TOKEN))
    with experiment(engine, A, B) as ready:
        for sound in set(Arm) - {arm}:
            assert ready.run(sound).reused == EXPECTED[sound]
        with pytest.raises(WrongReuse, match=f"{arm} trial") as raised:
            ready.run(arm)
    assert isinstance(raised.value, PrefixEngineError)
    assert engine.cache.stats.namespaces == 0


def test_where_nothing_of_a_was_stored_nothing_is_predicted() -> None:
    for cache in (NullCache(), tiny_cache(budget_tokens=3)):
        with experiment(tiny_engine(cache), A, B) as ready:
            assert ready.a_refused
            assert ready.predicted_reuse == 0
            assert [ready.run(arm).reused for arm in Arm] == [0, 0, 0]


def test_an_empty_a_works_and_predicts_nothing(engine: Engine) -> None:
    with experiment(engine, "", B) as ready:
        assert ready.a_prefill is None and not ready.a_refused
        assert ready.predicted_reuse == 0
        assert [ready.run(arm).reused for arm in Arm] == [0, 0, 0]


def test_an_empty_b_is_an_error_and_loses_nothing(engine: Engine) -> None:
    with pytest.raises(EmptyPrompt), experiment(engine, A, "") as ready:
        ready.run(Arm.HIT)
    assert engine.cache.stats.namespaces == 0


# ---- the control


@pytest.mark.parametrize("chat", [False, True])
def test_the_control_differs_from_b_in_the_first_id_only(engine: Engine, chat: bool) -> None:
    a, b = ((Message("user", text),) if chat else text for text in (A, B))
    with experiment(engine, a, b) as ready:
        hit, control = ready.run(Arm.HIT), ready.run(Arm.CONTROL)
        assert control.ids[1:] == hit.ids[1:] == ready.b_ids[1:]
        assert control.ids[0] != hit.ids[0]
        assert (control.reused, control.computed) == (0, len(hit.ids))


@pytest.mark.parametrize(("a", "b"), [("qu", "ÿ"), ("ÿ", "qu"), ("qu", "qu"), ("", "qu")])
def test_the_control_begins_neither_prompt_and_is_in_the_vocabulary(
    engine: Engine, a: str, b: str
) -> None:
    with experiment(engine, a + " and more", b + " and less") as ready:
        first = ready.run(Arm.CONTROL).ids[0]
    begun = {engine.tokenizer.encode(prompt + " ")[0] for prompt in (a, b)}
    info = engine.model.info
    assert first not in begun | info.stop_ids
    assert 0 <= first < info.vocabulary


# ---- rounds


def test_every_round_has_each_arm_once_and_round_0_comes_first(engine: Engine) -> None:
    with experiment(engine, A, B) as ready:
        trials = list(ready.rounds(3))
    rounds = [(number, list(group)) for number, group in groupby(trials, lambda t: t.round)]
    assert [number for number, _ in rounds] == [0, 1, 2, 3]
    for _, group in rounds:
        assert Counter(trial.arm for trial in group) == Counter(Arm)
    assert all(trial.reused == EXPECTED[trial.arm] for trial in trials)


def orders(engine: Engine, seed: int | None) -> list[tuple[Arm, ...]]:
    with experiment(engine, "a", "b") as ready:
        arms = [trial.arm for trial in ready.rounds(30, seed=seed)]
    return [tuple(arms[at : at + 3]) for at in range(0, len(arms), 3)]


def test_the_order_of_the_arms_is_random_in_each_round(engine: Engine) -> None:
    one, same, other = orders(engine, 1), orders(engine, 1), orders(engine, 2)
    assert len(set(one)) == 6  # each of the orders came up
    assert one == same != other
    assert orders(engine, None) != orders(engine, None)


def test_trials_are_yielded_as_they_are_run(engine: Engine) -> None:
    steps: list[int] = []
    with experiment(engine, A, B) as ready:
        trials = ready.rounds(1, on_step=lambda done, of: steps.append(of))
        for number in range(1, 7):
            assert isinstance(next(trials), Trial)
            assert steps == [len(B)] * number


# ---- what is left behind, and what can't be taken away


def test_a_namespace_is_fresh_and_gone_afterwards(engine: Engine) -> None:
    engine.prefill("kept")
    before = nodes_of(engine)
    with experiment(engine, A, B) as first, experiment(engine, A, B) as second:
        assert first.namespace != second.namespace
        assert {first.namespace, second.namespace} < {name for name, _ in nodes_of(engine)}
    assert nodes_of(engine) == before
    assert engine.cache.stats.pinned_tokens == 0


def test_the_namespace_is_cleared_after_an_exception(engine: Engine) -> None:
    with pytest.raises(Stopped), experiment(engine, A, B) as ready:
        ready.run(Arm.HIT)
        raise Stopped
    assert engine.cache.stats.namespaces == engine.cache.stats.pinned_tokens == 0


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_namespace_is_cleared_when_on_step_raises(engine: Engine, steps: int) -> None:
    heard: list[int] = []

    def stop(done: int, of: int) -> None:
        heard.append(of)
        if len(heard) == steps:
            raise Stopped

    with pytest.raises(Stopped), experiment(engine, A, B, stop) as ready:
        list(ready.rounds(1, stop))
    assert heard[0] == len(A)
    assert engine.cache.stats.namespaces == engine.cache.stats.pinned_tokens == 0
    engine.cache.check_integrity()


def test_the_namespace_is_cleared_when_a_is_too_long() -> None:
    engine = tiny_engine(max_prompt_tokens=50)
    with pytest.raises(PromptTooLong), experiment(engine, "x" * 51, B):
        raise AssertionError("not reached")
    assert engine.cache.stats.namespaces == 0


def test_a_is_pinned_during_a_trial_and_free_between_two(engine: Engine) -> None:
    pinned: list[int] = []
    with experiment(engine, A, B) as ready:
        assert engine.cache.stats.pinned_tokens == 0
        for arm in Arm:
            ready.run(arm, lambda done, of: pinned.append(engine.cache.stats.pinned_tokens))
        assert pinned == [len(A)] * 3
        assert engine.cache.stats.pinned_tokens == 0


@pytest.mark.parametrize("block_size", [1, 8])
def test_an_a_that_was_evicted_between_two_trials_is_stored_again_outside_the_timing(
    block_size: int,
) -> None:
    engine = tiny_engine(tiny_cache(block_size, budget_tokens=60))
    heard: list[tuple[int, int]] = []
    with experiment(engine, A, B) as ready:
        hit = ready.run(Arm.HIT)
        assert not engine.prefill("x" * 60, namespace="somebody else").insert.refused
        assert engine.cache.peek(ready.b_ids, ready.namespace) == 0
        again = ready.run(Arm.HIT, lambda done, of: heard.append((done, of)))
        assert heard == [(0, len(A)), (hit.reused, len(B))]
        assert again.reused == hit.reused == len(SHARED) // block_size * block_size
        heard.clear()
        ready.run(Arm.HIT, lambda done, of: heard.append((done, of)))
        assert heard == [(hit.reused, len(B))]


def test_where_there_is_no_room_any_more_the_message_says_what_to_do() -> None:
    engine = tiny_engine(tiny_cache(budget_tokens=60))
    with experiment(engine, A, B) as ready:
        engine.prefill("x" * 60, namespace="somebody else")
        with (
            engine.request("x" * 60, namespace="somebody else", store=False),
            pytest.raises(NoRoomNow, match="run it again in a minute"),
        ):
            ready.run(Arm.HIT)
        assert ready.run(Arm.HIT).reused == len(SHARED)


def test_more_runs_than_the_cache_has_room_for_take_turns_and_all_reuse() -> None:
    engine = tiny_engine(tiny_cache(budget_tokens=2 * len(A)))
    with ExitStack() as stack:
        ready = [stack.enter_context(experiment(engine, A, B)) for _ in range(5)]
        for _ in range(2):
            assert [one.run(Arm.HIT).reused for one in ready] == [len(SHARED)] * 5


# ---- turns


class Turns:
    """Counts turns, and knows whether one is being had."""

    def __init__(self) -> None:
        self.taken = 0
        self.having = False
        self.steps = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        assert not self.having
        self.taken += 1
        self.having = True
        try:
            yield
        finally:
            self.having = False

    def on_step(self, done: int, of: int) -> None:
        assert self.having, "computing without a turn"
        self.steps += 1


def test_a_turn_is_taken_for_a_and_for_each_trial_and_given_back_between_them(
    engine: Engine,
) -> None:
    turns = Turns()
    with experiment(engine, A, B, turns.on_step, turns.turn) as ready:
        assert (turns.taken, turns.having) == (1, False)
        for number, _ in enumerate(ready.rounds(2, turns.on_step, turns.turn), 2):
            assert (turns.taken, turns.having) == (number, False)
    assert turns.taken == turns.steps == 1 + 3 * 3


def test_a_turn_is_given_back_when_a_trial_raises(engine: Engine) -> None:
    turns = Turns()

    def stop(done: int, of: int) -> None:
        raise Stopped

    with experiment(engine, A, B) as ready, pytest.raises(Stopped):
        list(ready.rounds(1, stop, turns.turn))
    assert (turns.taken, turns.having) == (1, False)


# ---- a whole run


def test_a_run_computes_in_turns_only(engine: Engine) -> None:
    turns = Turns()
    run(engine, A, B, 1, reply_tokens=3, watch=RunWatch(turns.turn, turns.on_step))
    assert turns.steps == 1 + 6 + 2 + 2  # A, two rounds, the proof, two replies
    assert not turns.having


def test_a_run_answers_the_same_cold_and_from_the_cache(engine: Engine) -> None:
    cold, hit = run(engine, A, B, 1, reply_tokens=6).replies
    alone = [step.id for step in tiny_engine().generate(B, max_new_tokens=6)]
    assert (cold.arm, hit.arm) == (Arm.COLD, Arm.HIT)
    assert list(cold.ids) == list(hit.ids) == alone
    assert len(cold.later_s) == len(hit.later_s) == 5


def test_a_run_tells_each_trial_and_each_token(engine: Engine) -> None:
    trials: list[tuple[int, int]] = []
    tokens: list[Arm] = []
    watch = RunWatch(
        on_trial=lambda trial, of: trials.append((trial.round, of)),
        on_token=lambda arm, step: tokens.append(arm),
    )
    run(engine, A, B, 1, reply_tokens=2, watch=watch)
    assert trials == [(0, 6)] * 3 + [(1, 6)] * 3
    assert tokens == [Arm.COLD] * 2 + [Arm.HIT] * 2


def test_all_trials_of_a_run_are_held_against_what_is_known_in_the_end(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def share(shares: UnloadedShares, computed: int) -> float:
        return 0.0 if told < 9 else float(computed)

    told = 0

    def count(trial: Trial, of: int) -> None:
        nonlocal told
        told += 1

    monkeypatch.setattr(UnloadedShares, "share", share)
    made = run(engine, A, B, rounds=2, watch=RunWatch(on_trial=count))
    known = [(t.reused, t.timing.unloaded_cpu_over_wall) for t in made.trials]
    assert known == [(reused, len(B) - reused) for reused, _ in known]


@pytest.mark.parametrize("where", ["on_trial", "on_token"])
def test_a_run_that_is_stopped_leaves_nothing(engine: Engine, where: str) -> None:
    def stop(*_: object) -> None:
        raise Stopped

    watch = RunWatch(on_trial=stop) if where == "on_trial" else RunWatch(on_token=stop)
    with pytest.raises(Stopped):
        run(engine, A, B, 1, reply_tokens=3, watch=watch)
    assert engine.cache.stats.namespaces == engine.cache.stats.pinned_tokens == 0


@pytest.mark.parametrize(("a", "b", "name"), [("x" * 51, B, "A"), (A, "x" * 51, "B")])
def test_a_run_names_the_prompt_that_is_too_long(a: str, b: str, name: str) -> None:
    with pytest.raises(PromptTooLong, match=f"^{name} has 51 tokens; the limit is 50"):
        run(tiny_engine(max_prompt_tokens=50), a, b, 1)


def test_a_run_without_room_for_a_says_so_and_reuses_nothing() -> None:
    found = run(tiny_engine(tiny_cache(budget_tokens=3)), A, B, 1)
    assert found.a_refused
    assert (found.reused, found.computed) == (0, len(B))
    assert found.comparison.shared == len(SHARED)


def test_a_reply_that_is_too_long_is_refused_before_anything_runs(engine: Engine) -> None:
    trials: list[Trial] = []
    watch = RunWatch(on_trial=lambda trial, of: trials.append(trial))
    with pytest.raises(ReplyTooLong):
        run(engine, A, B, 1, engine.max_new_tokens + 1, watch)
    assert trials == []
    assert nodes_of(engine) == []


def test_a_reply_that_ends_at_once_is_empty_and_has_no_time() -> None:
    engine = tiny_engine(model=Scripted({len(A): STOP, len(B): STOP}))
    replies = run(engine, A, B, 1, reply_tokens=4).replies
    assert [(reply.ids, reply.text, reply.ttft_s) for reply in replies] == [((), "", None)] * 2


def test_the_time_spent_waiting_for_turns_is_told_and_is_in_no_trial(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = LateTurns(monkeypatch)
    made = run(engine, A, B, rounds=1, watch=RunWatch(turn=late.turn))
    turns = 1 + 2 * len(Arm) + 1  # A, the trials, the check of exactness
    assert made.waited_s == WAIT_S * turns
    assert len(made.trials) == 2 * len(Arm)
    assert all(0 < trial.ttft_s < 1 for trial in made.trials)
