from __future__ import annotations

import os
import platform
import subprocess
import sys
from time import perf_counter

import pytest
import torch

from prefix_engine.model.info import Precision
from prefix_engine.model.precision import (
    MOST_ROUNDS,
    choose_precision,
    judge,
    measure_precision,
)
from prefix_engine.settings import PRECISION_VARIABLE


def test_bf16_is_chosen_where_it_is_clearly_faster() -> None:
    choice = judge(bf16_s=0.010, f32_s=0.025)
    assert choice.chosen == "bf16"
    assert choice.ratio == 2.5
    assert "10.00 ms in bf16" in choice.reason and "25.00 ms in f32" in choice.reason


@pytest.mark.parametrize("f32_s", [0.0119, 0.010, 0.002])
def test_f32_is_chosen_where_bf16_is_not_clearly_faster(f32_s: float) -> None:
    choice = judge(bf16_s=0.010, f32_s=f32_s)
    assert choice.chosen == "f32"
    assert "10.00 ms in bf16" in choice.reason and f"{f32_s * 1e3:.2f} ms in f32" in choice.reason


@pytest.mark.parametrize("precision", ["bf16", "f32"])
def test_a_wish_overrides_the_measurement_and_is_the_reason(precision: Precision) -> None:
    choice = choose_precision(precision)
    assert choice.chosen == precision
    assert choice.bf16_s is choice.f32_s is choice.ratio is None
    assert PRECISION_VARIABLE in choice.reason


def test_the_wish_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PRECISION_VARIABLE, "bf16")
    assert choose_precision().chosen == "bf16"


def test_without_a_wish_it_is_measured() -> None:
    choice = choose_precision("auto")
    assert choice.bf16_s and choice.f32_s
    assert choice == judge(choice.bf16_s, choice.f32_s)


@pytest.mark.parametrize(("tick_s", "rounds"), [(0.0, MOST_ROUNDS), (1.0, 1)])
def test_a_slow_machine_measures_fewer_rounds_but_at_least_one(tick_s: float, rounds: int) -> None:
    reads = 0

    def clock() -> float:
        nonlocal reads
        reads += 1
        return reads * (tick_s or 1e-6)

    measure_precision(clock)
    assert reads == 1 + rounds * 5  # the beginning; per round two starts, two ends, one look


def test_it_is_measured_on_one_thread_and_computed_on_as_many_as_before() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    during: set[int] = set()

    def clock() -> float:
        during.add(torch.get_num_threads())
        return perf_counter()

    try:
        measure_precision(clock)
        assert (during, torch.get_num_threads()) == ({1}, 2)
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="only there it can be switched off"
)
def test_on_a_processor_without_fast_bf16_it_is_f32() -> None:
    script = "import prefix_engine.model.precision as p; print(p.measure_precision().chosen)"
    environ = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "f32"
