"""What share of the processors a prefill gets from this machine while nothing else runs on it.

A trial that got clearly less was disturbed. The share, CPU time over wall time, is about the number
of busy threads. It grows with the tokens that are computed, for many rows are divided among threads
better than one, and hardly with those that are reused. So it is known by classes of lengths.
"""

from __future__ import annotations

import statistics
from collections import defaultdict, deque
from functools import partial
from threading import Lock

IN_A_ROW = 5
"""Prefills of one class whose median counts: one alone may be lucky."""


class UnloadedShares:
    """The best that the machine has given so far. Safe to use from several threads.

    Taught by prefills of a start without visitors, and by every later one: a server that was
    started on a busy machine learns better once that is over.

    Where it `grows`, on processors, a long prefill gets at least what a shorter one does, so that
    one of a new length is judged although others of it were never seen undisturbed. With a device
    beside the processors, which they only wait for, nothing is known of the one from the other.
    """

    def __init__(self, grows: bool = True) -> None:
        self._grows = grows
        self._last: defaultdict[int, deque[float]] = defaultdict(partial(deque, maxlen=IN_A_ROW))
        self._best: dict[int, float] = {}
        self._lock = Lock()

    def learn(self, computed: int, cpu_over_wall: float) -> None:
        """Hear the share that a prefill got which computed so many tokens."""
        length = _length_class(computed)
        with self._lock:
            last = self._last[length]
            last.append(cpu_over_wall)
            if len(last) == IN_A_ROW:
                median = statistics.median(last)
                self._best[length] = max(median, self._best.get(length, median))

    def share(self, computed: int) -> float:
        """What such a prefill gets, undisturbed; 0.0 while that is not known."""
        own = _length_class(computed)
        with self._lock:
            if not self._grows:
                return self._best.get(own, 0.0)
            return max((best for length, best in self._best.items() if length <= own), default=0.0)


def _length_class(computed: int) -> int:
    """The same for 4 to 7 tokens, for 8 to 15, and so on."""
    return computed.bit_length()
