from __future__ import annotations

import pytest
import torch
from torch import Tensor

from prefix_engine.model.attention import TILE_ROWS, CausalAttention
from prefix_engine.model.base import KEY_BLOCK

KV_HEADS, GROUP, DIM, POSITIONS = 2, 3, 16, 3 * KEY_BLOCK
DICE = torch.Generator().manual_seed(3)
QUERY = torch.randn(POSITIONS, KV_HEADS, GROUP, DIM, generator=DICE)
KV = torch.randn(2, KV_HEADS, POSITIONS, DIM, generator=DICE)


def attend(start: int, end: int, kv: Tensor = KV) -> Tensor:
    """[rows, kv_heads, group, d] for the queries at [start, end)."""
    rows = end - start
    folded = QUERY[start:end].transpose(0, 1).reshape(KV_HEADS, rows * GROUP, DIM)
    mixed = CausalAttention(rows, start, GROUP, KV.dtype)(folded, kv)
    return mixed.view(KV_HEADS, rows, GROUP, DIM).transpose(0, 1)


def by_definition(start: int, end: int) -> Tensor:
    seen = torch.ones(end - start, end, dtype=torch.bool).tril(start)
    scores = torch.einsum("rhgd,hkd->rhgk", QUERY[start:end].double(), KV[0, :, :end].double())
    weights = scores.masked_fill(~seen[:, None, None], float("-inf")).softmax(-1)
    return torch.einsum("rhgk,hkd->rhgd", weights, KV[1, :, :end].double()).float()


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (0, 5), (0, 300), (255, 256), (256, 257), (100, 103), (511, 513), (200, 600)],
)
def test_each_row_sees_itself_and_what_stands_before_it(start: int, end: int) -> None:
    torch.testing.assert_close(attend(start, end), by_definition(start, end))


@pytest.mark.parametrize("litter", [1e30, -1e30])
def test_what_stands_behind_a_row_changes_no_bit(litter: float) -> None:
    kv = KV.clone()
    kv[:, :, 300:] = litter
    for start in (0, 250, 299):
        assert torch.equal(attend(start, 300, kv), attend(start, 300))


def test_tiles_are_put_together_as_they_were_cut() -> None:
    rows = 2 * TILE_ROWS + 1
    torch.testing.assert_close(attend(5, 5 + rows), by_definition(5, 5 + rows))
