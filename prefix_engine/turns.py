"""One compute slot for everybody, and fair turns at it.

Two computations at once would slow, and so falsify, each other: one holds the slot, for one trial,
and gives it back. A visit's turns are counted in shares. Whoever has had the fewest shares goes
first, and of these whoever came first: so everybody's first share comes before anybody's second, in
the order of arrival, and further shares go round. Who begins again while others wait does not
go before them again: each visit before counts as a share.
"""

from __future__ import annotations

import time
from bisect import insort
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean
from threading import Condition

from prefix_engine.errors import PrefixEngineError

FIRST_SHARE = 7
"""Turns that A, the discarded round and a first measured round take, one trial an arm."""
FURTHER_SHARE = 3
"""Turns of one more round."""
MAX_WAITING = 100
POLL_S = 0.1
BACK_S = 0.25
"""How long the slot is kept for a visit between two turns of one share: it has a page to update."""
RECENT_TURNS = 30
REMEMBERED = 1000
"""Visitors whose visits are counted; of more, who was here longest ago is forgotten."""


class QueueFull(PrefixEngineError):
    """As many wait as are let in; who came last has to try again later."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The queue is full: {limit:,} are waiting, and more are not let in. "
            "Nothing was run and nothing is lost. Try again in a minute."
        )
        self.limit = limit


@dataclass(frozen=True)
class Waiting:
    """A place in the queue: how many runs are `before`, and about how long until the turn.

    `estimate_s` is the mean of recent turns times the turns that those before have until then. It
    is None as long as no turn has ended; whoever comes later and has had less can prolong it.
    """

    before: int
    estimate_s: float | None


OnWait = Callable[[Waiting], None]
"""Told at once, and then every tenth of a second, as long as one waits; may raise to leave."""


class ComputeSlot:
    """Held by one visit at a time. At most `max_waiting` wait; `back_s` as in `BACK_S`."""

    def __init__(
        self,
        max_waiting: int = MAX_WAITING,
        back_s: float = BACK_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_waiting = max_waiting
        self._back_s = back_s
        self._clock = clock
        self._changed = Condition()
        self._waiting: list[Visit] = []
        self._holder: Visit | None = None
        self._between: Visit | None = None
        self._free_since_s = 0.0
        self._arrivals = 0
        self._visits = Counter[str]()
        self._recent_s = deque[float](maxlen=RECENT_TURNS)

    def visit(self, visitor: str, on_wait: OnWait | None = None, turns: int = FIRST_SHARE) -> Visit:
        """Turns for one run; close it when the run is over. The name tells visitors apart; `turns`
        are those that it needs at first, which the estimates of others are made from."""
        return Visit(self, visitor, on_wait, min(turns, FIRST_SHARE))

    # ---- what a visit does

    def _join(self, visit: Visit) -> Waiting | None:
        """Begin to wait, or take the slot at once."""
        with self._changed:
            if visit.turns == 0:
                if len(self._waiting) >= self.max_waiting:
                    raise QueueFull(self.max_waiting)
                self._arrivals += 1
                visit.arrive(self._arrivals, self._visits[visit.visitor])
            insort(self._waiting, visit, key=lambda one: one.order)
            return self._try(visit)

    def _wait(self, visit: Visit) -> Waiting | None:
        """Take the slot as soon as it is this visit's turn, or say after a while how it waits."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_next(visit), POLL_S)
            return self._try(visit)

    def _leave(self, visit: Visit) -> None:
        """Stop waiting."""
        with self._changed:
            self._waiting.remove(visit)
            self._changed.notify_all()

    def _give_back(self, visit: Visit, held_s: float) -> None:
        with self._changed:
            visit.count_turn()
            self._recent_s.append(held_s)
            self._holder, self._between = None, visit
            self._free_since_s = self._clock()
            self._changed.notify_all()

    def _end(self, visit: Visit) -> None:
        with self._changed:
            if self._between is visit:
                self._between = None
            if not self._waiting and self._holder is None and self._between is None:
                # nobody was kept waiting, so nobody goes last for having had turns
                self._visits.clear()
            self._changed.notify_all()

    # ---- the order

    def _try(self, visit: Visit) -> Waiting | None:
        if not self._is_next(visit):
            return self._place(visit)
        self._waiting.remove(visit)
        self._count_gap()
        self._holder, self._between = visit, None
        if visit.turns == 0:
            self._count_visit(visit.visitor)
        return None

    def _count_gap(self) -> None:
        """What passed since the last turn, while its visit was expected back, is a part of it."""
        gap_s = self._clock() - self._free_since_s
        if self._between is not None and self._recent_s and 0 <= gap_s <= self._back_s:
            self._recent_s[-1] += gap_s

    def _count_visit(self, visitor: str) -> None:
        self._visits[visitor] = self._visits.pop(visitor, 0) + 1
        if len(self._visits) > REMEMBERED:
            del self._visits[next(iter(self._visits))]

    def _is_next(self, visit: Visit) -> bool:
        return self._holder is None and self._waiting[0] is visit and not self._is_kept_from(visit)

    def _is_kept_from(self, visit: Visit) -> bool:
        """Whether the slot is kept for a visit that goes before and is between two turns."""
        return (
            self._between is not None
            and self._between.order < visit.order
            and 0 <= self._clock() - self._free_since_s < self._back_s
        )

    def _place(self, visit: Visit) -> Waiting:
        before = self._waiting[: self._waiting.index(visit)]
        turns = sum(other.left for other in before)
        if self._between is not None and self._is_kept_from(visit):
            before.append(self._between)
            turns += self._between.left
        elif self._holder is not None:
            before.append(self._holder)
            turns += self._holder.left if self._holder.order < visit.order else 1
        estimate_s = turns * fmean(self._recent_s) if self._recent_s else None
        return Waiting(len(before), estimate_s)


class Visit:
    """One visitor's run: takes turns, one after the other, never two at once.

    It arrives with its first turn. Until it is closed, the slot is kept for it between two turns of
    a share, though not for long.

    `order` says who goes first: the shares had, then the arrival; the smaller does. `left` are the
    turns left of the present share, as far as is known.
    """

    def __init__(self, slot: ComputeSlot, visitor: str, on_wait: OnWait | None, turns: int) -> None:
        self.visitor = visitor
        self.turns = 0
        self.order = 0, 0
        self.left = turns
        self._slot = slot
        self._on_wait = on_wait

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the slot, hold it for the block, hand it on, whatever the block raises.

        Raises `QueueFull` instead of a first turn, and what `on_wait` raises.
        """
        waiting = self._slot._join(self)
        while waiting is not None:
            try:
                if self._on_wait is not None:
                    self._on_wait(waiting)
            except BaseException:
                self._slot._leave(self)
                raise
            waiting = self._slot._wait(self)
        began = self._slot._clock()
        try:
            yield
        finally:
            self._slot._give_back(self, self._slot._clock() - began)

    def close(self) -> None:
        """No more turns are wanted: keep nobody waiting for them."""
        self._slot._end(self)

    def arrive(self, arrival: int, visits_before: int) -> None:
        """Get a place in the order."""
        self.order = visits_before, arrival

    def count_turn(self) -> None:
        """One turn more was had."""
        self.turns += 1
        further = self.turns - FIRST_SHARE
        if further >= 0 and further % FURTHER_SHARE == 0:
            self.left = FURTHER_SHARE
            self.order = self.order[0] + 1, self.order[1]
        else:
            self.left = max(self.left - 1, 1)
