"""Processor time of whoever computes here, without that of other people's pages beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

TASKS = Path("/proc/self/task")

COMPUTES = "first-difference-compute"
"""So begins the name of the thread that multiplies matrices for all others."""


class CpuClock:
    """Seconds of processor time, from its making on, of the thread that made it, of the one that
    computes, and of the native threads of this process, which are the workers of matrix products.

    What is computed for others meanwhile counts too: the compute slot keeps them apart.

    Other threads that Python knows are not counted: pages being drawn for others slow a request
    down, and if their time counted as its own, nothing would tell. Where there is no Linux to tell
    threads apart, all of the process counts.
    """

    def __init__(self) -> None:
        self._mine = threading.get_native_id()
        self._others: set[int] = set()
        self._seen_ns: dict[int, int] = {}
        self._total_ns = 0
        self()

    def __call__(self) -> float:
        times_ns = dict(thread_times_ns())
        if not times_ns:
            return time.process_time()
        # for good: a thread that ends is no longer known, while its time can still be read
        self._others |= {
            thread.native_id
            for thread in threading.enumerate()
            if thread.native_id is not None and not thread.name.startswith(COMPUTES)
        }
        self._others.discard(self._mine)
        for thread, time_ns in times_ns.items():
            if thread not in self._others:
                self._total_ns += time_ns - self._seen_ns.get(
                    thread, 0 if self._seen_ns else time_ns
                )
        self._seen_ns |= times_ns
        return self._total_ns / 1e9


def thread_times_ns() -> Iterator[tuple[int, int]]:
    """Native id and processor time of each thread of this process; nothing where it isn't known.

    Source: the Linux kernel's Documentation/scheduler/sched-stats.rst.
    """
    for task in TASKS.glob("[0-9]*"):
        try:
            yield int(task.name), int((task / "schedstat").read_bytes().split()[0])
        except OSError:  # it has ended meanwhile, or the kernel keeps no such account
            continue
