from __future__ import annotations

import pytest
import torch
from torch import Tensor

from prefix_engine.model import linear
from prefix_engine.model.linear import (
    FEW_ROWS,
    Linear,
    best_linear,
    int8_for_few_rows,
    packed,
    plain,
)


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


def test_eight_bits_come_near_the_product_and_are_for_few_rows_only() -> None:
    dice = torch.Generator().manual_seed(0)
    weight, many = (
        torch.randn(96, 64, generator=dice),
        torch.randn(FEW_ROWS + 1, 64, generator=dice),
    )
    both, exact = int8_for_few_rows(plain)(weight), plain(weight)
    assert torch.equal(both(many), exact(many))
    few = many[:FEW_ROWS]
    error = (both(few) - exact(few)).norm() / exact(few).norm()
    assert 1e-4 < error < 0.03


def test_each_output_has_a_scale_of_its_own_and_one_of_zeros_stays_zero() -> None:
    weight = torch.tensor([[100.0, -100.0], [0.01, 0.01], [0.0, 0.0]])
    product = int8_for_few_rows(plain)(weight)(torch.tensor([[1.0, 0.5]]))[0]
    torch.testing.assert_close(product, torch.tensor([50.0, 0.015, 0.0]), rtol=0.03, atol=1e-6)


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
