"""One compute slot for everybody, in the order of arrival."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

OnWait = Callable[[int], None]
"""Told, several times a second, how many are before this one; may raise to leave the queue."""

POLL_S = 0.1


class ComputeSlot:
    """Two computations at once would slow, and so falsify, each other: one holds the slot."""

    def __init__(self) -> None:
        self._queue: list[object] = []
        self._changed = Condition()

    @contextmanager
    def turn(self, on_wait: OnWait | None = None) -> Iterator[None]:
        """Wait for the slot, hold it for the block, hand it on, whatever the block raises."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
        try:
            while (before := self._before(ticket)) > 0:
                if on_wait is not None:
                    on_wait(before)
            yield
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _before(self, ticket: object) -> int:
        """How many are before this ticket, after a wait for it to become none."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue[0] is ticket, timeout=POLL_S)
            return self._queue.index(ticket)
