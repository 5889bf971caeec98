from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from threading import Event, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefix_engine.run import RunWatch, run
from prefix_engine.speed import Trial
from prefix_engine.turns import FIRST_SHARE, FURTHER_SHARE, ComputeSlot, QueueFull, Waiting
from tests.tiny_engine import tiny_engine

PATIENCE_S = 30.0
"""How long a test waits for another thread before it fails; it never has to wait that long."""


class Leave(Exception):
    pass


def slot_of(max_waiting: int = 100) -> ComputeSlot:
    """A slot that is kept for whoever is between two turns, however slow the machine is."""
    return ComputeSlot(max_waiting, back_s=PATIENCE_S)


class Visitor:
    """A thread that wants turns and writes its name when it has one; `told` is what it heard."""

    def __init__(self, slot: ComputeSlot, served: list[str], name: str, turns: int = 1) -> None:
        self.told: list[Waiting] = []
        self.waits, self.leave, self.left = Event(), Event(), Event()
        self.error: Exception | None = None
        self._slot, self._served, self._name, self._turns = slot, served, name, turns
        self._place = 0
        self._moved = Event()
        self._thread = Thread(target=self._visit, daemon=True)
        self._thread.start()

    def _visit(self) -> None:
        try:
            with closing(self._slot.visit(self._name, self._on_wait)) as visit:
                for _ in range(self._turns):
                    with visit.turn():
                        self._served.append(self._name)
        except Leave:
            self.left.set()
        except Exception as error:
            self.error = error

    def _on_wait(self, waiting: Waiting) -> None:
        self.told.append(waiting)
        self.waits.set()
        if waiting.before == self._place:
            self._moved.set()
        if self.leave.is_set():
            raise Leave

    def wait_until_told(self, before: int) -> None:
        self._place = before
        self._moved.clear()
        assert self._moved.wait(PATIENCE_S), f"never told {before}: {self.told[-3:]}"

    def join(self) -> None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@contextmanager
def held(slot: ComputeSlot, name: str = "holder") -> Iterator[None]:
    with closing(slot.visit(name)) as visit, visit.turn():
        yield


def arrive(slot: ComputeSlot, served: list[str], name: str, turns: int = 1) -> Visitor:
    """A visitor who waits by now, while somebody else holds the slot."""
    visitor = Visitor(slot, served, name, turns)
    assert visitor.waits.wait(PATIENCE_S)
    return visitor


def all_join(*visitors: Visitor) -> None:
    for visitor in visitors:
        visitor.join()


# ---- who goes first


def test_turns_are_taken_in_the_order_of_arrival() -> None:
    slot, served = slot_of(), list[str]()
    with held(slot):
        visitors = [arrive(slot, served, name) for name in "abc"]
        assert served == []
    all_join(*visitors)
    assert served == ["a", "b", "c"]


def test_everybodys_first_share_comes_before_anybodys_second_and_then_rounds_go_round() -> None:
    slot, served = slot_of(), list[str]()
    turns = FIRST_SHARE + 2 * FURTHER_SHARE
    with held(slot):
        visitors = [arrive(slot, served, name, turns) for name in "ab"]
    all_join(*visitors)
    first, further = FIRST_SHARE, FURTHER_SHARE
    assert "".join(served) == "a" * first + "b" * first + ("a" * further + "b" * further) * 2


@pytest.mark.usefixtures("one_thread")
def test_everybodys_first_round_of_a_run_goes_before_anybodys_further_rounds() -> None:
    """A turn is noted as the visitor and the round of its trial, or none: for A, for the proof. It
    is noted while the slot is held, and the round is added when the run tells it."""
    engine, slot, turns = tiny_engine(), slot_of(), list[tuple[str, list[int]]]()

    class Runner(Visitor):
        def _visit(self) -> None:
            with closing(slot.visit(self._name, self._on_wait)) as visit:

                @contextmanager
                def turn() -> Iterator[None]:
                    with visit.turn():
                        self._rounds = list[int]()
                        turns.append((self._name, self._rounds))
                        yield

                def on_trial(trial: Trial, of: int) -> None:
                    self._rounds.append(trial.round)

                watch = RunWatch(turn, on_trial=on_trial)
                run(engine, "Weather in SF?", "Weather in NYC?", rounds=2, watch=watch)

    runners = list[Runner]()
    with held(slot):
        for name in "abc":
            runners.append(Runner(slot, [], name))
            assert runners[-1].waits.wait(PATIENCE_S)
    all_join(*runners)
    first, further, proof = [[], [0], [0], [0], [1], [1], [1]], [[2], [2], [2]], [[]]
    expected = [(name, one) for part in (first, further, proof) for name in "abc" for one in part]
    assert turns == expected


def test_a_newcomers_first_share_comes_before_the_next_share_of_who_is_at_it() -> None:
    slot, served = slot_of(), list[str]()
    with closing(slot.visit("early")) as early:
        for _ in range(FIRST_SHARE):
            with early.turn():
                served.append("early")
        with early.turn():
            late = arrive(slot, served, "late", FIRST_SHARE)
        with early.turn():
            served.append("early")
        late.join()
    assert served == ["early"] * FIRST_SHARE + ["late"] * FIRST_SHARE + ["early"]


def test_who_begins_again_while_others_wait_comes_after_their_first_share() -> None:
    slot, served = slot_of(), list[str]()
    with held(slot, "hasty"):
        hasty = arrive(slot, served, "hasty", FIRST_SHARE)
        patient = arrive(slot, served, "patient", FIRST_SHARE + FURTHER_SHARE)
    all_join(hasty, patient)
    order = ["patient"] * FIRST_SHARE + ["hasty"] * FIRST_SHARE + ["patient"] * FURTHER_SHARE
    assert served == order


def test_who_came_again_is_remembered_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefix_engine.turns.REMEMBERED", 2)
    slot, served = ComputeSlot(back_s=0), list[str]()
    with ExitStack() as visits:
        for name in "aba":
            with visits.enter_context(closing(slot.visit(name))).turn():
                pass
        with visits.enter_context(closing(slot.visit("c"))).turn():  # and b is forgotten
            visitors = [arrive(slot, served, name) for name in "bd"]
        all_join(*visitors)
    assert "".join(served) == "bd"


@pytest.mark.parametrize(("limit", "order"), [(1, "ac"), (2, "ca")])
def test_of_more_visitors_than_the_limit_who_was_here_longest_ago_is_as_new(
    monkeypatch: pytest.MonkeyPatch, limit: int, order: str
) -> None:
    monkeypatch.setattr("prefix_engine.turns.REMEMBERED", limit)
    slot, served = ComputeSlot(back_s=0), list[str]()
    with closing(slot.visit("a")) as first, closing(slot.visit("b")) as second:
        with first.turn():
            pass
        with second.turn():
            visitors = [arrive(slot, served, name) for name in "ac"]
        all_join(*visitors)
    assert "".join(served) == order


def test_where_nobody_waited_beginning_again_costs_nothing() -> None:
    slot, served = slot_of(), list[str]()
    with held(slot, "again"):
        pass
    with held(slot):
        visitors = [arrive(slot, served, name) for name in ("again", "new")]
    all_join(*visitors)
    assert served == ["again", "new"]


def test_who_waited_and_left_without_a_turn_is_as_new() -> None:
    slot, served = slot_of(), list[str]()
    with held(slot):
        gone = arrive(slot, served, "gone")
        gone.leave.set()
        gone.join()
        visitors = [arrive(slot, served, name) for name in ("gone", "new")]
    all_join(*visitors)
    assert served == ["gone", "new"]


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.integers(1, FIRST_SHARE + 2 * FURTHER_SHARE)),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=40, deadline=None)
def test_at_every_turn_it_is_had_by_who_has_had_least_and_came_first(
    arrivals: list[tuple[int, int]],
) -> None:
    """Visitors arrive during given turns and want given numbers of turns."""
    slot, served = slot_of(), list[str]()
    wanted = {str(number): turns for number, (_, turns) in enumerate(arrivals)}
    present: list[str] = []
    log: list[tuple[str, tuple[str, ...]]] = []
    threads: list[Visitor] = []
    errors: list[AssertionError] = []

    def let_in() -> None:
        for number, (at, turns) in enumerate(arrivals):
            if at == len(log) and str(number) not in present:
                present.append(str(number))
                threads.append(LoggedVisitor(str(number), turns))

    class LoggedVisitor(Visitor):
        def __init__(self, name: str, turns: int) -> None:
            super().__init__(slot, served, name, turns)
            assert self.waits.wait(PATIENCE_S)

        def _visit(self) -> None:
            with closing(slot.visit(self._name, self._on_wait)) as visit:
                for _ in range(self._turns):
                    with visit.turn():
                        log.append((self._name, tuple(present)))
                        served.append(self._name)
                        try:
                            let_in()
                        except AssertionError as error:
                            errors.append(error)

    with held(slot):
        let_in()
    for thread in threads:
        thread.join()
    assert errors == []

    had = dict.fromkeys(wanted, 0)
    for name, there in log:
        want_more = [one for one in there if had[one] < wanted[one]]
        assert name == min(want_more, key=lambda one: (shares(had[one]), present.index(one)))
        had[name] += 1
    assert all(had[name] == wanted[name] for name in present)


def shares(turns: int) -> int:
    return 0 if turns < FIRST_SHARE else 1 + (turns - FIRST_SHARE) // FURTHER_SHARE


def test_the_slot_is_not_kept_for_ever_for_who_does_not_come_back() -> None:
    slot, served = ComputeSlot(back_s=0.0), list[str]()
    with closing(slot.visit("gone")) as gone:
        with gone.turn():
            visitor = arrive(slot, served, "next")
        visitor.join()
        assert served == ["next"]


def test_a_clock_that_jumps_back_keeps_nobody_waiting() -> None:
    now = [1000.0]
    slot, served = ComputeSlot(back_s=PATIENCE_S, clock=lambda: now[0]), list[str]()
    with closing(slot.visit("gone")) as gone:
        with gone.turn():
            visitor = arrive(slot, served, "next")
        now[0] -= 500.0
        visitor.join()
    assert served == ["next"]


# ---- what one hears


def test_who_waits_is_told_at_once_how_many_are_before() -> None:
    slot = slot_of()
    with held(slot):
        visitors = [arrive(slot, [], name) for name in "ab"]
        assert [visitor.told[0].before for visitor in visitors] == [1, 2]
    all_join(*visitors)


def test_the_estimate_is_the_mean_turn_times_the_turns_before() -> None:
    now = [0.0]
    slot = ComputeSlot(back_s=PATIENCE_S, clock=lambda: now[0])
    for seconds in (1.0, 3.0):
        with held(slot, "one before"):
            now[0] += seconds
    with held(slot):
        visitors = [arrive(slot, [], name) for name in "abc"]
        estimates = [visitor.told[0].estimate_s for visitor in visitors]
    all_join(*visitors)
    mean_s = 2.0
    assert estimates == [FIRST_SHARE * mean_s * before for before in (1, 2, 3)]


def test_of_a_holder_who_goes_behind_only_the_present_turn_counts() -> None:
    now = [0.0]
    slot = ComputeSlot(back_s=PATIENCE_S, clock=lambda: now[0])
    with closing(slot.visit("early")) as early:
        for _ in range(FIRST_SHARE):
            with early.turn():
                now[0] += 2.0
        with early.turn():
            late = arrive(slot, [], "late")
            assert late.told[0] == Waiting(1, 2.0)
    late.join()


def test_a_visit_between_two_turns_is_before_who_comes_then() -> None:
    now = [0.0]
    slot = ComputeSlot(back_s=PATIENCE_S, clock=lambda: now[0])
    with closing(slot.visit("early")) as early:
        with early.turn():
            now[0] += 2.0
        late = arrive(slot, [], "late")
        assert late.told[0] == Waiting(1, (FIRST_SHARE - 1) * 2.0)
    late.join()


def test_who_needs_a_single_turn_is_counted_for_one() -> None:
    now = [0.0]
    slot, served = ComputeSlot(back_s=PATIENCE_S, clock=lambda: now[0]), list[str]()
    with held(slot, "one before"):
        now[0] += 2.0
    with closing(slot.visit("asks", turns=1)) as asks, asks.turn():
        visitor = arrive(slot, served, "a")
        assert visitor.told[0] == Waiting(1, 2.0)
    visitor.join()


def test_what_passes_between_two_turns_of_a_visit_is_part_of_the_estimate() -> None:
    now = [0.0]
    slot = ComputeSlot(back_s=PATIENCE_S, clock=lambda: now[0])
    with closing(slot.visit("early")) as early:
        with early.turn():
            now[0] += 2.0
        now[0] += 1.0
        with early.turn():
            late = arrive(slot, [], "late")
            assert late.told[0] == Waiting(1, (FIRST_SHARE - 1) * 3.0)
    late.join()


def test_an_idle_slot_makes_no_estimate_longer() -> None:
    now = [0.0]
    slot = ComputeSlot(back_s=PATIENCE_S, clock=lambda: now[0])
    with held(slot, "one before"):
        now[0] += 2.0
    now[0] += 20.0
    with held(slot):
        visitor = arrive(slot, [], "a")
        assert visitor.told[0] == Waiting(1, FIRST_SHARE * 2.0)
    visitor.join()


def test_a_visit_that_ends_between_the_turns_of_another_forgets_nobody() -> None:
    slot, served = ComputeSlot(back_s=0), list[str]()
    with closing(slot.visit("busy")) as busy:
        with closing(slot.visit("again")) as again:
            for visit in (again, busy):
                with visit.turn():
                    pass
        with busy.turn():
            visitors = [arrive(slot, served, name) for name in ("again", "new")]
        all_join(*visitors)
    assert served == ["new", "again"]


def test_without_an_ended_turn_there_is_no_estimate() -> None:
    slot = slot_of()
    with held(slot):
        visitor = arrive(slot, [], "a")
        assert visitor.told[0] == Waiting(1, None)
    visitor.join()


def test_nobody_is_told_anything_where_nobody_waits() -> None:
    slot, told = slot_of(), list[Waiting]()
    with closing(slot.visit("a", told.append)) as visit:
        for _ in range(2):
            with visit.turn():
                pass
    assert told == []


# ---- leaving


def test_who_raises_while_waiting_leaves_the_queue_and_the_others_move_up() -> None:
    slot, served = slot_of(), list[str]()
    with held(slot):
        first, second, third = (arrive(slot, served, name) for name in "abc")
        second.leave.set()
        assert second.left.wait(PATIENCE_S)
        third.wait_until_told(2)
    all_join(first, second, third)
    assert served == ["a", "c"]


def test_the_slot_is_handed_on_when_a_turn_raises() -> None:
    slot, served = slot_of(), list[str]()
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(Leave))
        with held(slot):
            visitor = arrive(slot, served, "a")
            raise Leave
    visitor.join()
    assert served == ["a"]


def test_one_at_a_time_holds_the_slot() -> None:
    slot, inside, most = slot_of(), list[int](), list[int]()

    def visit(name: str) -> None:
        with closing(slot.visit(name)) as visit:
            for _ in range(50):
                with visit.turn():
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()

    threads = [Thread(target=visit, args=[name], daemon=True) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert most == [1] * 200


# ---- the limit


def test_a_full_queue_takes_nobody_in_and_says_the_limit_and_what_to_do() -> None:
    slot, served = slot_of(max_waiting=2), list[str]()
    with held(slot):
        visitors = [arrive(slot, served, name) for name in "ab"]
        refused = Visitor(slot, served, "c")
        refused.join()
        assert isinstance(refused.error, QueueFull)
        assert "2 are waiting" in str(refused.error) and "Try again" in str(refused.error)
    all_join(*visitors)
    with held(slot):
        visitors.append(arrive(slot, served, "c"))
    visitors[-1].join()
    assert served == ["a", "b", "c"]


def test_a_full_queue_turns_nobody_away_who_has_begun() -> None:
    slot, served = slot_of(max_waiting=1), list[str]()
    with closing(slot.visit("begun")) as begun:
        with begun.turn():
            waiting = arrive(slot, served, "waiting")
        with begun.turn():
            served.append("begun")
    waiting.join()
    assert served == ["begun", "waiting"]
