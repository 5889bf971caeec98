"""Two prompts through blocks of several sizes: what each size can reuse, what rounding loses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prefix_engine.cache import RadixCache, count_tokens
from prefix_engine.compare import common_prefix

BLOCK_SIZES = (1, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class BlockView:
    """What B reuses of A in blocks of this size, and how many tokens more single tokens would."""

    block_size: int
    reused: int
    lost: int


@dataclass(frozen=True)
class Lens:
    """Two prompts with `shared` leading tokens in common; a view for each block size."""

    a_tokens: int
    b_tokens: int
    shared: int
    views: tuple[BlockView, ...]

    @property
    def sentence(self) -> str:
        """What rounding to whole blocks costs."""
        single, *larger = self.views
        if not single.reused:
            return "B shares no token with A that it could reuse, whatever the block size."
        worst = max(larger, key=lambda view: view.lost)
        none = next((view.block_size for view in larger if not view.reused), None)
        told = f"Token by token B reuses {single.reused:,} of its {self.b_tokens:,} tokens. "
        if not worst.lost:
            return told + "All of these block sizes reuse as much: it ends where blocks end."
        if none is None:
            return told + f"Blocks of {worst.block_size:,} lose {worst.lost:,} of them to rounding."
        return told + f"From blocks of {none:,} on it reuses nothing of the same text."


def look_through(a: Sequence[int], b: Sequence[int]) -> Lens:
    """Store A in an index of each block size and ask it for B. Only tokens count: no KV is held."""
    found = []
    for size in BLOCK_SIZES:
        index = RadixCache(size)
        index.insert(a, count_tokens)
        found.append(index.peek(b))
    return Lens(
        a_tokens=len(a),
        b_tokens=len(b),
        shared=common_prefix(a, b),
        views=tuple(
            BlockView(size, reused, found[0] - reused)
            for size, reused in zip(BLOCK_SIZES, found, strict=True)
        ),
    )
