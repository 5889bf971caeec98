"""Causal attention over a slab, so that no bit of a row depends on the rows and keys around it.

Three things keep it so; each was found by comparing bits.

- Keys are read in whole blocks of KEY_BLOCK, the later ones masked: a matrix product adds up in
  another order where the length is another one. For the same reason the weighted values are added
  up block by block, at absolute positions.
- A product of fewer than FEWEST_ROWS rows takes another kernel: dummy rows fill it up.
- Query heads that share a KV head are folded into the rows of one product, so that keys and values
  are read where they lie.

Many rows are taken TILE_ROWS at a time and one KV head after the other: the scores then stay in the
processor's cache, and fewer of them are computed only to be masked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from prefix_engine.model.base import KEY_BLOCK, round_up

TILE_ROWS = 128
MANY_ROWS = 64
FEWEST_ROWS = 4


@dataclass(frozen=True)
class Tile:
    """The rows [first, last) of a chunk: how many keys they are multiplied with, and what is added
    to the scores of those from `unmasked` on, [folded rows, keys - unmasked]: minus infinity for a
    key that a row must not see, else nothing."""

    first: int
    last: int
    keys: int
    unmasked: int
    mask: Tensor


class CausalAttention:
    """Attention of `rows` tokens at positions start, start + 1, … for all layers of one pass.

    `group` query heads share a KV head; they, keys and values are of `dtype`.
    """

    def __init__(self, rows: int, start: int, group: int, dtype: torch.dtype) -> None:
        self._group = group
        self._tiles = tuple(tiles(rows, start, group, dtype))

    def __call__(self, query: Tensor, kv: Tensor) -> Tensor:
        """query [kv_heads, rows * group, d], rows outside group; kv [2, kv_heads, whole blocks, d],
        with the rows' own keys and values in place → as query."""
        mixed = torch.empty_like(query)
        for tile in self._tiles:
            folded = slice(tile.first * self._group, tile.last * self._group)
            attend = _attend_many if tile.last - tile.first >= MANY_ROWS else _attend_few
            attend(query[:, folded], kv[:, :, : tile.keys], tile, mixed[:, folded])
        return mixed


def tiles(rows: int, start: int, group: int, dtype: torch.dtype) -> Iterator[Tile]:
    """A chunk of `rows` tokens at `start`, cut into tiles."""
    for first in range(0, rows, TILE_ROWS):
        last = min(first + TILE_ROWS, rows)
        unmasked = start + first
        keys = round_up(start + last, KEY_BLOCK)
        mask = torch.full((last - first, keys - unmasked), float("-inf"), dtype=dtype).triu(1)
        yield Tile(first, last, keys, unmasked, mask.repeat_interleave(group, dim=0))


def _attend_many(query: Tensor, kv: Tensor, tile: Tile, out: Tensor) -> None:
    scores = query.new_empty(query.shape[1], tile.keys)
    for one_query, keys, values, mixed in zip(query, *kv, out, strict=True):
        torch.mm(one_query, keys.t(), out=scores)
        scores[:, tile.unmasked :].add_(tile.mask)
        torch.softmax(scores, dim=-1, out=scores)
        torch.mm(scores[:, :KEY_BLOCK], values[:KEY_BLOCK], out=mixed)
        for block in range(KEY_BLOCK, tile.keys, KEY_BLOCK):
            there = slice(block, block + KEY_BLOCK)
            mixed.addmm_(scores[:, there], values[there])


def _attend_few(query: Tensor, kv: Tensor, tile: Tile, out: Tensor) -> None:
    rows = query.shape[1]
    filled = F.pad(query, (0, 0, 0, max(0, FEWEST_ROWS - rows)))
    scores = filled @ kv[0].transpose(1, 2)
    scores[:, :rows, tile.unmasked :].add_(tile.mask)
    torch.softmax(scores, dim=-1, out=scores)
    mixed = scores[:, :, :KEY_BLOCK] @ kv[1, :, :KEY_BLOCK]
    for block in range(KEY_BLOCK, tile.keys, KEY_BLOCK):
        there = slice(block, block + KEY_BLOCK)
        mixed.baddbmm_(scores[:, :, there], kv[1, :, there])
    out.copy_(mixed[:, :rows])
