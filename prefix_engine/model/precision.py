"""bf16 or f32: which of the two this processor multiplies faster, found out by doing it.

A processor's flags don't tell: with native bfloat16 a prefill is about twice as fast as in float32,
without it several times slower, and what decides is the kernel that the library picks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch
import torch.nn.functional as F

from prefix_engine.model.info import Precision
from prefix_engine.settings import PRECISION_VARIABLE, PrecisionWish, Settings

DTYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "f32": torch.float32}

CLEARLY_FASTER = 1.2
"""bf16 rounds more, so it has to be worth it: f32's time over bf16's."""

ROWS, INPUTS, OUTPUTS = 64, 576, 3072  # a short prefill through the fused gate and up matrix
MOST_ROUNDS = 15
BUDGET_S = 0.15  # one round may still follow; a slow one takes 0.1 s


@dataclass(frozen=True)
class PrecisionChoice:
    """The precision to compute in, and why, in a sentence for the person at the screen.

    `bf16_s` and `f32_s` are median seconds of one matrix product and `ratio` is f32_s / bf16_s;
    all three are None where the choice was made by hand and nothing was measured.
    """

    chosen: Precision
    bf16_s: float | None
    f32_s: float | None
    ratio: float | None
    reason: str


def choose_precision(wish: PrecisionWish | None = None) -> PrecisionChoice:
    """What is wished for, by default in FIRST_DIFFERENCE_PRECISION; for "auto", what
    `measure_precision` finds. Raises `BadSetting` if the variable holds anything else.
    """
    wish = wish or Settings.from_environment().precision
    if wish == "auto":
        return measure_precision()
    return PrecisionChoice(wish, None, None, None, f"{wish}, because {PRECISION_VARIABLE} says so.")


def measure_precision(clock: Callable[[], float] = perf_counter) -> PrecisionChoice:
    """Time one representative matrix product in both precisions, in turn; takes about 0.2 s. On one
    thread: where other work holds a core, several wait for each other, most in what takes least.
    """
    with _one_thread():
        return _measure(clock)


def _measure(clock: Callable[[], float]) -> PrecisionChoice:
    began = clock()
    arms = {precision: _product(dtype) for precision, dtype in DTYPES.items()}
    for product in arms.values():
        product()  # the first call builds the kernel
    seconds: dict[Precision, list[float]] = {precision: [] for precision in arms}
    for _ in range(MOST_ROUNDS):
        for precision, product in arms.items():
            start = clock()
            product()
            seconds[precision].append(clock() - start)
        if clock() - began > BUDGET_S:
            break
    return judge(bf16_s=median(seconds["bf16"]), f32_s=median(seconds["f32"]))


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def judge(bf16_s: float, f32_s: float) -> PrecisionChoice:
    """bf16 where it is clearly faster, else f32."""
    ratio = f32_s / bf16_s
    figures = (
        f"on this machine a {ROWS}-row matrix product on one thread took {bf16_s * 1e3:.2f} ms in "
        f"bf16 and {f32_s * 1e3:.2f} ms in f32"
    )
    if ratio >= CLEARLY_FASTER:
        reason = f"bf16, because {figures}: {ratio:.1f} times as fast."
        return PrecisionChoice("bf16", bf16_s, f32_s, ratio, reason)
    reason = f"f32, because {figures}: bf16 is not clearly faster."
    return PrecisionChoice("f32", bf16_s, f32_s, ratio, reason)


def _product(dtype: torch.dtype) -> Callable[[], object]:
    rows = torch.ones(ROWS, INPUTS, dtype=dtype)
    weights = torch.ones(OUTPUTS, INPUTS, dtype=dtype)
    return lambda: F.linear(rows, weights)
