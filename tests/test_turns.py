from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from prefix_engine.turns import ComputeSlot

PATIENCE_S = 30.0
"""How long a test waits for another thread before it fails; it never has to wait that long."""


class Leave(Exception):
    pass


class Visitor:
    """A thread that wants a turn; `told` are the places it heard of, each once."""

    def __init__(self, slot: ComputeSlot, served: list[str], name: str) -> None:
        self.told: list[int] = []
        self.leave, self.left = Event(), Event()
        self._slot, self._served, self._name = slot, served, name
        self._waiting = {place: Event() for place in range(1, 5)}
        self._thread = Thread(target=self._visit, daemon=True)
        self._thread.start()

    def _visit(self) -> None:
        try:
            with self._slot.turn(self._on_wait):
                self._served.append(self._name)
        except Leave:
            self.left.set()

    def _on_wait(self, before: int) -> None:
        if self.told[-1:] != [before]:
            self.told.append(before)
        self._waiting[before].set()
        if self.leave.is_set():
            raise Leave

    def wait_until_told(self, before: int) -> None:
        assert self._waiting[before].wait(PATIENCE_S), f"never told {before}: {self.told}"

    def join(self) -> None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@contextmanager
def queue_of(slot: ComputeSlot, served: list[str], names: str) -> Iterator[list[Visitor]]:
    """The slot is held in the block; the visitors stand behind it in the order of their names."""
    with slot.turn():
        visitors = []
        for place, name in enumerate(names, 1):
            visitors.append(Visitor(slot, served, name))
            visitors[-1].wait_until_told(place)
        yield visitors


def test_turns_are_taken_in_the_order_of_arrival() -> None:
    served: list[str] = []
    with queue_of(ComputeSlot(), served, "abc") as visitors:
        assert served == []
    for visitor in visitors:
        visitor.join()
    assert served == ["a", "b", "c"]


def test_who_waits_is_told_how_many_are_before() -> None:
    with queue_of(ComputeSlot(), [], "ab") as (first, second):
        pass
    first.join()
    second.join()
    assert first.told == [1]
    assert second.told[0] == 2 and second.told in ([2], [2, 1])


def test_who_raises_while_waiting_leaves_the_queue_and_the_others_move_up() -> None:
    served: list[str] = []
    with queue_of(ComputeSlot(), served, "abc") as (first, second, third):
        second.leave.set()
        assert second.left.wait(PATIENCE_S)
        third.wait_until_told(2)
        assert third.told == [3, 2]
    for visitor in (first, second, third):
        visitor.join()
    assert served == ["a", "c"]


def test_the_slot_is_handed_on_when_a_turn_raises() -> None:
    slot, served = ComputeSlot(), list[str]()
    with pytest.raises(Leave), queue_of(slot, served, "a") as (visitor,):
        raise Leave
    visitor.join()
    assert served == ["a"]


def test_nobody_is_told_anything_where_nobody_waits() -> None:
    slot, told = ComputeSlot(), list[int]()
    for _ in range(2):
        with slot.turn(told.append):
            pass
    assert told == []


def test_one_at_a_time_holds_the_slot() -> None:
    slot, inside, most = ComputeSlot(), list[int](), list[int]()

    def visit() -> None:
        for _ in range(50):
            with slot.turn():
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [Thread(target=visit, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert most == [1] * 200
