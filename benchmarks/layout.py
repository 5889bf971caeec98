"""How stored KV should lie in memory: `python -m benchmarks.layout` measures and prints a table.

The shape is that of the default model (30 layers, 3 KV heads, dimension 64) and 1,024 tokens. A
layout is an order of the five axes of the slab; what is stored in it must be copied out of a slab,
put back whole or in pieces, and copied out again when a part of it was evicted. Layouts take turns
within every round, so that a disturbance of the machine hits them alike. Shown are the median and,
in brackets, the fastest round: the copy itself, when nothing else wanted the machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

LAYERS, KV_HEADS, HEAD_DIM = 30, 3, 64
TOKENS, CAPACITY, PIECE = 1024, 2048, 16
ROUNDS = 15
TOKEN_AXIS = 3

LAYOUTS = {
    "[kv, layer, head, token, dim]": (0, 1, 2, 3, 4),
    "[kv, layer, token, head, dim]": (0, 1, 3, 2, 4),
    "[layer, head, token, kv, dim]": (1, 2, 3, 0, 4),
    "[token, kv, layer, head, dim]": (3, 0, 1, 2, 4),
}
"""The slab's axes in the order in which they are stored; the first is the slab's own order."""

Order = tuple[int, ...]
Work = Callable[[], object]


def copied(kv: torch.Tensor, order: Order) -> torch.Tensor:
    """KV [2, layers, heads, tokens, dim] copied into the layout, viewed in the slab's order."""
    stored = kv.permute(order).clone(memory_format=torch.contiguous_format)
    return stored.permute([order.index(axis) for axis in range(kv.ndim)])


def cut(kv: torch.Tensor, tokens: int) -> list[torch.Tensor]:
    """KV in views of so many tokens each."""
    return [kv.narrow(TOKEN_AXIS, start, tokens) for start in range(0, TOKENS, tokens)]


def load(slab: torch.Tensor, pieces: list[torch.Tensor]) -> None:
    """Put the pieces one after another at the beginning of the slab."""
    start = 0
    for piece in pieces:
        slab.narrow(TOKEN_AXIS, start, piece.shape[TOKEN_AXIS]).copy_(piece)
        start += piece.shape[TOKEN_AXIS]


def works(slab: torch.Tensor, order: Order) -> dict[str, Work]:
    """What is timed for one layout, by name."""
    whole = slab.narrow(TOKEN_AXIS, 0, TOKENS)
    stored = copied(whole, order)
    halves = cut(stored, TOKENS // 2)
    views = cut(stored, PIECE)
    blocks = [copied(view, order) for view in views]
    return {
        "store": lambda: copied(whole, order),
        "load whole": lambda: load(slab, [stored]),
        "load 2 views": lambda: load(slab, halves),
        f"load {len(views)} views": lambda: load(slab, views),
        f"load {len(blocks)} own": lambda: load(slab, blocks),
        "compact half": lambda: copied(halves[0], order),
    }


def measure(dtype: torch.dtype) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of every round, by layout and work."""
    slab = torch.randn(2, LAYERS, KV_HEADS, CAPACITY, HEAD_DIM).to(dtype)
    table = {layout: works(slab, order) for layout, order in LAYOUTS.items()}
    times: dict[str, dict[str, list[float]]] = {
        layout: {name: [] for name in row} for layout, row in table.items()
    }
    for _ in range(ROUNDS):
        for name in next(iter(table.values())):
            for layout, row in table.items():
                began = time.perf_counter()
                row[name]()
                times[layout][name].append((time.perf_counter() - began) * 1000)
    return times


def main() -> None:
    print(
        f"{TOKENS:,} tokens, {LAYERS} layers, {KV_HEADS} KV heads, dimension {HEAD_DIM}; "
        f"{torch.get_num_threads()} threads; torch {torch.__version__}; "
        f"{ROUNDS} rounds, ms: median (fastest)"
    )
    for dtype in (torch.bfloat16, torch.float32):
        table = measure(dtype)
        names = next(iter(table.values()))
        print(f"\n{dtype!s:32}" + "".join(f"{name:>17}" for name in names))
        for layout, row in table.items():
            cells = (f"{statistics.median(ms):.2f} ({min(ms):.2f})" for ms in row.values())
            print(f"{layout:32}" + "".join(f"{cell:>17}" for cell in cells))


if __name__ == "__main__":
    main()
