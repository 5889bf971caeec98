"""Time one request in stages, leaving out what is not part of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prefix_engine.cpuclock import CpuClock

DISTURBED_BELOW = 0.8
"""A request that got less than this part of its unloaded share of the processors was disturbed."""


@dataclass(frozen=True)
class Timing:
    """Seconds from the first stage's begin to the last one's end.

    `stages_s` maps each stage to its seconds; `other_s` is what they leave of `total_s`; `cpu_s` is
    the processor time that the request used meanwhile, over all threads that worked for it.
    `unloaded_cpu_over_wall` is what such a request gets while nothing else runs on this machine;
    0.0 where that is not known.
    """

    total_s: float
    cpu_s: float
    stages_s: dict[str, float]
    unloaded_cpu_over_wall: float = 0.0

    @property
    def other_s(self) -> float:
        return self.total_s - sum(self.stages_s.values())

    @property
    def cpu_over_wall(self) -> float:
        """About the number of busy threads; low where the machine gave its time to others."""
        return self.cpu_s / self.total_s

    @property
    def disturbed(self) -> bool:
        """Whether the machine gave the request clearly less of its processors than it does when
        nothing else runs."""
        return self.cpu_over_wall < DISTURBED_BELOW * self.unloaded_cpu_over_wall


class Stopwatch:
    """Runs from its making; `pause` stops it for what the request does not answer for."""

    def __init__(
        self,
        wall: Callable[[], float] = time.perf_counter,
        cpu: Callable[[], float] | None = None,
    ) -> None:
        self._wall, self._cpu = wall, cpu or CpuClock()
        self._paused_wall_s = self._paused_cpu_s = 0.0
        self._stages_s: dict[str, float] = {}
        # the processor's clock takes a moment to read: outside of what the wall clock times
        self._cpu_start, self._wall_start = self._cpu(), wall()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time of the block, less its pauses, to the stage."""
        begin, paused = self._wall(), self._paused_wall_s
        yield
        spent = self._wall() - begin - (self._paused_wall_s - paused)
        self._stages_s[name] = self._stages_s.get(name, 0.0) + spent

    @contextmanager
    def pause(self) -> Iterator[None]:
        """The block counts neither in its stage nor in the total."""
        wall, cpu = self._wall(), self._cpu()
        try:
            yield
        finally:
            self._paused_cpu_s += self._cpu() - cpu
            self._paused_wall_s += self._wall() - wall

    def read(self) -> Timing:
        """What has passed so far."""
        return Timing(
            total_s=self._wall() - self._wall_start - self._paused_wall_s,
            cpu_s=self._cpu() - self._cpu_start - self._paused_cpu_s,
            stages_s=dict(self._stages_s),
        )
