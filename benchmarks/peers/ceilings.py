"""What this machine could do at best: the speed of matrix products, and of reading memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from prefix_engine.model.geometry import LlamaGeometry

SIDE = 2048
READ_BYTES = 256 * 2**20
TRIES = 3


@dataclass(frozen=True)
class Ceilings:
    """Floating-point operations a second of a large matrix product in the engine's precision, and
    bytes a second that all threads together read of 256 MiB; the best of several tries."""

    flop_per_s: float
    read_bytes_per_s: float

    def best_of(self, other: Ceilings) -> Ceilings:
        return Ceilings(
            max(self.flop_per_s, other.flop_per_s),
            max(self.read_bytes_per_s, other.read_bytes_per_s),
        )


@torch.inference_mode()
def measure_ceilings(dtype: torch.dtype) -> Ceilings:
    """Takes a few tenths of a second."""
    left, right = torch.ones(SIDE, SIDE, dtype=dtype), torch.ones(SIDE, SIDE, dtype=dtype)
    memory = torch.ones(READ_BYTES // 4)
    product_s = _shortest(lambda: left @ right)
    read_s = _shortest(lambda: memory.sum())
    return Ceilings(2 * SIDE**3 / product_s, READ_BYTES / read_s)


@dataclass(frozen=True)
class Work:
    """The least that a prefill of `new` tokens after `shared` ones has to do, in any program:
    every product of it, and reading every weight and every reused key and value once."""

    flop: float
    read_bytes: float

    @staticmethod
    def of(geometry: LlamaGeometry, shared: int, new: int, bytes_per_number: int) -> Work:
        g = geometry
        in_heads = g.head_dim * (2 * g.heads + 2 * g.kv_heads)  # query, output, key and value
        layers = g.layers * g.hidden * (in_heads + 3 * g.intermediate)
        output = g.vocabulary * g.hidden  # for the last token only
        seen = new * shared + new * (new + 1) / 2  # pairs of a token and one it attends to
        attention = g.layers * 4 * g.heads * g.head_dim * seen
        kv = 2 * g.layers * g.kv_heads * g.head_dim * shared
        return Work(
            flop=2 * (layers * new + output) + attention,
            read_bytes=(layers + output + kv) * bytes_per_number,
        )

    def least_s(self, ceilings: Ceilings) -> float:
        """The roofline: the longer one of computing and reading, were each at its ceiling."""
        return max(self.flop / ceilings.flop_per_s, self.read_bytes / ceilings.read_bytes_per_s)


def _shortest(work: Callable[[], object]) -> float:
    times = []
    for _ in range(TRIES + 1):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times[1:])
