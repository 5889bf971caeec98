from __future__ import annotations

import pytest
import torch
from torch import Tensor

from prefix_engine.model import linear
from prefix_engine.model.linear import Linear, best_linear, packed, plain


def rounding_by_rows(weight: Tensor) -> Linear:
    """As right as any other, but the last bits depend on how many rows there are."""
    return lambda x: (x * (1 + len(x) * 1e-6)) @ weight.t()


def test_packed_weights_give_the_product_of_plain_ones() -> None:
    if best_linear(torch.float32) is plain:
        pytest.skip("packed weights don't work on this machine")
    weight, x = torch.randn(96, 64), torch.randn(7, 64)
    torch.testing.assert_close(packed(weight)(x), plain(weight)(x))


def test_packed_weights_are_a_copy() -> None:
    if best_linear(torch.float32) is plain:
        pytest.skip("packed weights don't work on this machine")
    weight, x = torch.randn(96, 64), torch.randn(7, 64)
    layer = packed(weight)
    before = layer(x)
    weight.zero_()
    assert torch.equal(layer(x), before)


@pytest.mark.parametrize("error", [RuntimeError, AttributeError])
def test_what_does_not_work_here_is_not_used(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def missing(weight: Tensor) -> Linear:
        raise error

    monkeypatch.setattr(linear, "packed", missing)
    assert best_linear(torch.float32) is plain


def test_what_changes_bits_with_the_number_of_rows_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linear, "packed", rounding_by_rows)
    assert best_linear(torch.float32) is plain


def test_what_keeps_its_bits_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def row_by_row(weight: Tensor) -> Linear:
        return lambda x: (x[:, None] * weight[:1]).sum(-1)

    monkeypatch.setattr(linear, "packed", row_by_row)
    assert best_linear(torch.float32) is row_by_row
