"""A clock that runs fast while one waits: what comes into a time of a request shows at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from prefix_engine.stopwatch import Stopwatch

WAIT_S = 100.0


class LateTurns:
    """A millisecond passes with each reading, `WAIT_S` before each turn, and much after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        monkeypatch.setattr("prefix_engine.engine.Stopwatch", lambda: Stopwatch(self, lambda: 0.0))
        monkeypatch.setattr("time.perf_counter", lambda: self.now_s)
        monkeypatch.setattr("time.monotonic", lambda: self.now_s)

    def __call__(self) -> float:
        self.now_s += 2**-10
        return self.now_s

    @contextmanager
    def turn(self) -> Iterator[None]:
        self.now_s += WAIT_S
        yield
        self.now_s += 50 * WAIT_S
