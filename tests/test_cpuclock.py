from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from prefix_engine import cpuclock
from prefix_engine.compute import compute
from prefix_engine.cpuclock import CpuClock

SPUN_S = 0.2
linux = pytest.mark.skipif(not cpuclock.TASKS.exists(), reason="threads can't be told apart here")


def spin(clock: Callable[[], float] = time.thread_time) -> None:
    """Use this thread's processor time, however long that takes."""
    until = clock() + SPUN_S
    while clock() < until:
        pass


@linux
@pytest.mark.parametrize("drawn", ["since before", "meanwhile"])
def test_what_another_page_computes_is_not_counted(drawn: str) -> None:
    started, spun, go_on, over = (threading.Event() for _ in range(4))

    def draw() -> None:
        spin()
        started.set()
        go_on.wait()
        spin()
        spun.set()
        over.wait()

    other = threading.Thread(target=draw)
    if drawn == "meanwhile":
        clock = CpuClock()
        other.start()
    else:
        other.start()
        started.wait()
        clock = CpuClock()
    go_on.set()
    spun.wait()
    assert clock() < SPUN_S / 2
    over.set()
    other.join()
    assert clock() < SPUN_S / 2


def test_what_the_thread_itself_computes_is_counted() -> None:
    clock = CpuClock()
    before = clock()
    spin()
    assert clock() - before >= SPUN_S * 0.9


@linux
def test_what_the_workers_of_a_matrix_product_compute_is_counted() -> None:
    if torch.get_num_threads() < 2:
        pytest.skip("there are no workers")
    clock, mine, all_s = CpuClock(), time.thread_time(), time.process_time()
    square = torch.ones(1024, 1024)
    while time.thread_time() - mine < SPUN_S:
        square @ square
    assert clock() >= 0.9 * (time.process_time() - all_s) > 1.1 * SPUN_S


@linux
def test_what_is_computed_for_it_is_counted() -> None:
    clock = CpuClock()
    before = clock()
    compute(spin)
    assert clock() - before >= SPUN_S * 0.9


def test_where_threads_can_not_be_told_apart_the_process_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cpuclock, "TASKS", tmp_path)
    clock = CpuClock()
    before = clock()
    other = threading.Thread(target=spin)
    other.start()
    other.join()
    assert clock() - before >= SPUN_S * 0.9
