from __future__ import annotations

import threading
import time

import pytest

from prefix_engine.cpuclock import TASKS
from prefix_engine.stopwatch import Stopwatch, Timing


class Clocks:
    """A wall clock and a processor clock that only `pass_` moves."""

    def __init__(self) -> None:
        self.wall_s, self.cpu_s = 1000.0, 50.0

    def pass_(self, wall_s: float, cpu_s: float = 0.0) -> None:
        self.wall_s += wall_s
        self.cpu_s += cpu_s

    def watch(self) -> Stopwatch:
        return Stopwatch(wall=lambda: self.wall_s, cpu=lambda: self.cpu_s)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_what_another_thread_computes_meanwhile_is_not_the_requests() -> None:
    if not TASKS.exists():
        pytest.skip("threads can't be told apart here")
    spun, over = threading.Event(), threading.Event()

    def draw() -> None:
        until = time.thread_time() + 0.2
        while time.thread_time() < until:
            pass
        spun.set()
        over.wait()

    watch = Stopwatch()
    other = threading.Thread(target=draw)
    other.start()
    spun.wait()
    timing = watch.read()
    over.set()
    other.join()
    assert timing.cpu_s < 0.1 < 0.2 <= timing.total_s


def test_each_stage_has_its_own_time_and_the_rest_is_other(clocks: Clocks) -> None:
    watch = clocks.watch()
    with watch.stage("tokenize"):
        clocks.pass_(1)
    clocks.pass_(4)
    with watch.stage("prefill"):
        clocks.pass_(2)
    timing = watch.read()
    assert timing.stages_s == {"tokenize": 1, "prefill": 2}
    assert timing.total_s == 7
    assert timing.other_s == 4


def test_a_stage_entered_twice_adds_up(clocks: Clocks) -> None:
    watch = clocks.watch()
    for seconds in (1, 2):
        with watch.stage("load"):
            clocks.pass_(seconds)
    assert watch.read().stages_s == {"load": 3}


def test_a_pause_counts_neither_in_its_stage_nor_in_the_total(clocks: Clocks) -> None:
    watch = clocks.watch()
    with watch.stage("prefill"):
        clocks.pass_(1, 1)
        with watch.pause():
            clocks.pass_(10, 8)
        clocks.pass_(2, 1)
    timing = watch.read()
    assert timing == Timing(total_s=3, cpu_s=2, stages_s={"prefill": 3})
    assert timing.other_s == 0


def test_a_pause_counts_in_no_later_stage_either(clocks: Clocks) -> None:
    watch = clocks.watch()
    with watch.pause():
        clocks.pass_(10)
    with watch.stage("pick"):
        clocks.pass_(1)
    assert watch.read().stages_s == {"pick": 1}
    assert watch.read().total_s == 1


def test_a_pause_ends_when_what_it_holds_raises(clocks: Clocks) -> None:
    watch = clocks.watch()
    with pytest.raises(KeyError), watch.pause():
        clocks.pass_(10, 10)
        raise KeyError
    clocks.pass_(1, 2)
    assert watch.read() == Timing(total_s=1, cpu_s=2, stages_s={})


def test_a_reading_is_not_altered_by_what_comes_after_it(clocks: Clocks) -> None:
    watch = clocks.watch()
    with watch.stage("lookup"):
        clocks.pass_(1)
    early = watch.read()
    with watch.stage("lookup"):
        clocks.pass_(5)
    assert early == Timing(total_s=1, cpu_s=0, stages_s={"lookup": 1})


def test_the_clock_starts_when_the_watch_is_made(clocks: Clocks) -> None:
    clocks.pass_(9, 9)
    watch = clocks.watch()
    clocks.pass_(2, 3)
    assert watch.read() == Timing(total_s=2, cpu_s=3, stages_s={})


@pytest.mark.parametrize(("cpu_s", "disturbed"), [(2.39, True), (2.41, False), (4.0, False)])
def test_what_got_less_than_0_8_of_its_unloaded_share_was_disturbed(
    cpu_s: float, disturbed: bool
) -> None:
    assert Timing(2.0, cpu_s, {}, unloaded_cpu_over_wall=1.5).disturbed is disturbed


def test_where_the_unloaded_share_is_not_known_nothing_is_called_disturbed() -> None:
    assert not Timing(2.0, 0.001, {}).disturbed


def test_processor_time_over_wall_time_tells_the_busy_threads(clocks: Clocks) -> None:
    watch = clocks.watch()
    clocks.pass_(2, 3)
    assert watch.read().cpu_over_wall == 1.5
