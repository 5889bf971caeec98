from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from benchmarks.common.memory_limit import memory_limit
from benchmarks.load import Press, out_of_order
from benchmarks.soak import growth_mb

GREEDY = "kept = [bytearray(b'x' * 2**20) for _ in range({mb})]; print(len(kept))"


def test_whoever_pressed_clearly_earlier_is_to_be_served_earlier() -> None:
    first, second = Press(0.0, 5.0, 9.0), Press(3.0, 3.0, 9.0)
    assert out_of_order([first, second]) == 0
    overtaking = Press(3.0, 1.0, 9.0)
    assert out_of_order([first, second, overtaking]) == 1
    pressed_with_it = Press(0.5, 1.0, 9.0)
    assert out_of_order([first, pressed_with_it]) == 0


def test_growth_is_from_the_first_quarter_to_the_last_and_one_sample_says_nothing() -> None:
    assert growth_mb([100, 100, 900, 100, 100, 100, 100, 100, 100, 100, 900, 100]) == 0
    assert growth_mb([100, 101, 102, 103, 104, 105, 106, 107]) == 6


@pytest.mark.parametrize(("mb", "dies"), [(20, False), (400, True)])
def test_a_process_over_the_limit_is_killed_and_one_under_it_is_not(mb: int, dies: bool) -> None:
    with memory_limit(150 * 2**20) as limit:
        process = subprocess.Popen(
            [*limit.before, sys.executable, "-c", GREEDY.format(mb=mb) + "; input()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        limit.watch(process.pid)
        if dies:
            assert process.wait(timeout=60) in (-signal.SIGKILL, 128 + signal.SIGKILL)
        else:
            out, _ = process.communicate(b"\n", timeout=60)
            assert out.strip() == str(mb).encode()
            assert limit.peak_bytes() < 150 * 2**20
