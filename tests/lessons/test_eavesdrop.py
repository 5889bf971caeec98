"""Listening to a cache: what is sent, in which turns, and that evictions falsify nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from prefix_engine.cache import DEFAULT_NAMESPACE, Insert, RadixCache, TakeKV
from prefix_engine.engine import Engine
from prefix_engine.lessons.eavesdrop import (
    eavesdrop,
    listen_and_salt,
    open_and_close,
)
from prefix_engine.lessons.heard import SideChannel
from prefix_engine.room import Salted
from prefix_engine.tokenizer import Message, Prompt
from prefix_engine.trials import NoRoomNow, WrongReuse
from prefix_engine.unloaded import UnloadedShares
from prefix_engine.watch import Watch
from tests.late import LateTurns
from tests.tiny_engine import BYTES_PER_TOKEN, tiny_cache, tiny_engine

pytestmark = pytest.mark.usefixtures("one_thread")

SYSTEM = "Answer in one sentence."
QUESTIONS = ("What is a cyst?", "Is my knee broken?", "Am I depressed?")
ROOM = "room"


def prompt(question: str) -> Prompt:
    return Message("system", SYSTEM), Message("user", question)


def crowd_out(engine: Engine) -> Watch:
    """Between two probes another visitor stores so much that all else is evicted."""

    def store(part: float, what: str) -> None:
        engine.prefill("z" * 200, namespace="other")
        engine.cache.evict(engine.cache.stats.evictable_tokens)

    return Watch(tell=store)


def test_in_a_shared_namespace_only_the_secret_is_found_whole_and_with_a_salt_nothing() -> None:
    for salted in (False, True):
        engine = tiny_engine()
        made = eavesdrop(engine, SYSTEM, QUESTIONS, 2, salted, rounds=2, seed=1)
        found_whole = {p.question for p in made.probes if p.reused == p.tokens - 1}
        assert found_whole == (set() if salted else {2})
        assert all(probe.reused >= made.shared > len(SYSTEM) for probe in made.probes)
        assert engine.cache.stats.stored_tokens == 0


def test_every_question_is_sent_once_in_each_round() -> None:
    made = eavesdrop(tiny_engine(), SYSTEM, QUESTIONS, 0, False, rounds=3, seed=1)
    assert sorted((p.round, p.question) for p in made.probes) == [
        (number, question) for number in range(4) for question in range(3)
    ]


def test_a_stopped_eavesdropper_leaves_nothing_behind() -> None:
    engine = tiny_engine()

    def stop(part: float, what: str) -> None:
        if part > 0.5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        eavesdrop(engine, SYSTEM, QUESTIONS, 0, True, rounds=2, watch=Watch(tell=stop))
    assert engine.cache.stats.stored_tokens == 0


@pytest.mark.parametrize("salted", [False, True])
def test_what_others_evict_between_two_probes_is_stored_again(salted: bool) -> None:
    calm, crowded = tiny_engine(), tiny_engine(tiny_cache(budget_tokens=300))

    def reuse(engine: Engine, watch: Watch) -> list[tuple[int, int, int]]:
        made = eavesdrop(engine, SYSTEM, QUESTIONS, 2, salted, 2, watch, seed=1)
        return [(p.round, p.question, p.reused) for p in made.probes]

    assert reuse(crowded, crowd_out(crowded)) == reuse(calm, Watch())
    assert crowded.cache.stats.evicted_tokens > 0


def test_where_others_hold_all_the_room_it_says_so_and_gives_no_times() -> None:
    engine = tiny_engine(tiny_cache(budget_tokens=300))
    engine.prefill("z" * 290, namespace="other")
    with (
        engine.cache.pin(engine.tokenizer.encode("z" * 290), "other"),
        pytest.raises(NoRoomNow, match="run it again"),
    ):
        eavesdrop(engine, SYSTEM, QUESTIONS, 0, False, rounds=1)
    assert engine.cache.stats.namespaces == 1


class Leaking(RadixCache):
    """Stores what a victim with a salt asked in the eavesdropper's namespace as well."""

    def insert(
        self, ids: Sequence[int], take: TakeKV, namespace: str = DEFAULT_NAMESPACE
    ) -> Insert:
        super().insert(ids, take, namespace.removesuffix("-victim"))
        return super().insert(ids, take, namespace)


def test_a_probe_that_reuses_what_the_rule_does_not_say_is_refused() -> None:
    engine = tiny_engine(Leaking(bytes_per_token=BYTES_PER_TOKEN))
    with pytest.raises(WrongReuse, match="rule says"):
        eavesdrop(engine, SYSTEM, QUESTIONS, 0, True, rounds=1)


def test_every_probe_takes_a_turn_of_its_own_and_nothing_is_computed_outside() -> None:
    engine, held, turns = tiny_engine(), [False], [0]

    @contextmanager
    def turn() -> Iterator[None]:
        assert not held[0]
        held[0] = True
        turns[0] += 1
        yield
        held[0] = False

    def on_step(done: int, total: int) -> None:
        assert held[0]

    watch = Watch(turn=turn, on_step=on_step)
    made = eavesdrop(engine, SYSTEM, QUESTIONS, 0, False, 2, watch)
    assert turns[0] == 1 + len(made.probes) == 1 + 3 * 3


def test_the_order_is_not_the_same_in_every_round() -> None:
    made = eavesdrop(tiny_engine(), SYSTEM, QUESTIONS, 0, False, rounds=7, seed=1)
    orders = {tuple(p.question for p in made.probes if p.round == number) for number in range(8)}
    assert len(orders) > 2


def test_probes_are_marked_that_got_less_than_the_unloaded_machine_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def told(share: float) -> set[bool]:
        monkeypatch.setattr(UnloadedShares, "share", lambda *_: share)
        made = eavesdrop(tiny_engine(), SYSTEM, QUESTIONS, 0, False, rounds=2)
        return {probe.disturbed for probe in made.probes}

    assert (told(0.0), told(1e9)) == ({False}, {True})


def test_in_a_room_what_was_asked_is_found_and_with_a_salt_nothing() -> None:
    engine = tiny_engine()
    for asked in (0, 2):
        engine.prefill(prompt(QUESTIONS[asked]), namespace=ROOM)
    before = engine.cache.stats.stored_tokens
    made = listen_and_salt(engine, lambda: ROOM, SYSTEM, QUESTIONS, rounds=2)
    assert made.shared.asked == (0, 2) and not made.shared.changed
    assert made.salted.asked == (0, 2) and made.salted.salted, "they were asked, in the room"
    whole = {probe.question for probe in made.salted.probes if probe.reused == probe.tokens - 1}
    assert whole == set()
    assert engine.cache.stats.stored_tokens == before


def test_a_room_that_changes_meanwhile_can_not_be_told_from() -> None:
    engine = tiny_engine()
    engine.prefill(prompt(QUESTIONS[0]), namespace=ROOM)

    def ask(part: float, what: str) -> None:
        if 0.25 < part < 0.5:
            engine.prefill(prompt(QUESTIONS[1]), namespace=ROOM)

    made = listen_and_salt(engine, lambda: ROOM, SYSTEM, QUESTIONS, 7, Watch(tell=ask))
    assert made.shared.changed and made.shared.accused == ()
    assert "changed while you listened" in made.shared.sentence
    assert "changed while you listened" in made.sentence


def test_a_room_that_is_salted_meanwhile_is_not_listened_to_any_longer() -> None:
    engine, turns = tiny_engine(), iter([ROOM, ROOM, None, ROOM])

    def listen() -> str:
        namespace = next(turns)
        if namespace is None:
            raise Salted
        return namespace

    with pytest.raises(Salted):
        listen_and_salt(engine, listen, SYSTEM, QUESTIONS, rounds=1)
    assert next(turns) == ROOM, "the first turn without leave was the last"
    assert engine.cache.stats.stored_tokens == 0


def test_who_listens_to_a_room_is_not_told_how_much_of_a_guess_is_in_its_cache() -> None:
    def heard(*asked: str) -> tuple[list[str], list[tuple[int, int]]]:
        engine, told, steps = tiny_engine(), list[str](), list[tuple[int, int]]()
        for question in asked:
            engine.prefill(prompt(question), namespace=ROOM)
        watch = Watch(
            on_step=lambda done, total: steps.append((done, total)),
            tell=lambda part, what: told.append(what),
        )
        listen_and_salt(engine, lambda: ROOM, SYSTEM, QUESTIONS, 1, watch, seed=1)
        return told, steps

    nobody, somebody = heard(), heard(QUESTIONS[0])
    assert nobody == somebody
    assert nobody[1] == [] and len(nobody[0]) > 4 * len(QUESTIONS), "each chunk can be stopped"


def test_a_room_where_nobody_asked_holds_nothing_of_any_guess() -> None:
    engine = tiny_engine()
    made = listen_and_salt(engine, lambda: ROOM, SYSTEM, QUESTIONS, rounds=1)
    assert made.shared.asked == () and {p.reused for p in made.shared.probes} == {0}
    assert engine.cache.stats.namespaces == 0


def test_the_time_of_waiting_is_in_no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = LateTurns(monkeypatch)
    made = eavesdrop(tiny_engine(), SYSTEM, QUESTIONS, 0, False, 2, Watch(turns.turn))
    assert all(0 < probe.ttft_s < 1 for probe in made.probes)


def test_two_who_listen_at_the_same_time_hear_nothing_of_each_other() -> None:
    engine, other = tiny_engine(), list[SideChannel]()

    def listen_too(part: float, what: str) -> None:
        if part > 0.3 and not other:
            other.append(open_and_close(engine, SYSTEM, QUESTIONS, 1, seed=1))

    mine = open_and_close(engine, SYSTEM, QUESTIONS, 2, Watch(tell=listen_too), seed=0)
    assert mine.shared.secret != other[0].shared.secret
    for made in mine, *other:
        whole = {p.question for p in made.shared.probes if p.reused == p.tokens - 1}
        assert whole == {made.shared.secret}
        assert not any(p.reused == p.tokens - 1 for p in made.salted.probes)


def test_both_halves_listen_for_the_same_secret_in_namespaces_apart() -> None:
    made = open_and_close(tiny_engine(), SYSTEM, QUESTIONS, rounds=1, seed=3)
    assert made.shared.secret == made.salted.secret
    assert (made.shared.salted, made.salted.salted) == (False, True)
