from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from prefix_engine.model import linear
from prefix_engine.model.linear import (
    FEW_ROWS,
    OUTPUTS_AT_ONCE,
    Linear,
    MakeLinear,
    Widened,
    best_linear,
    int8_for_few_rows,
    packed,
    plain,
)


def rounding_by_rows(weight: Tensor) -> Linear:
    """As right as any other, but the last bits depend on how many rows there are."""
    return lambda x: (x.float() * (1 + len(x) * 1e-6)) @ weight.float().t()


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape) + shape[0]))


@pytest.fixture
def can_pack() -> None:
    try:
        packed(torch.ones(96, 64))(torch.ones(7, 64))
    except (RuntimeError, AttributeError):
        pytest.skip("packed weights don't work on this machine")


@pytest.mark.usefixtures("can_pack")
def test_packed_weights_give_the_product_of_plain_ones() -> None:
    weight, x = normal(96, 64), normal(7, 64)
    torch.testing.assert_close(packed(weight)(x), plain(weight)(x))


@pytest.mark.usefixtures("can_pack")
@pytest.mark.parametrize("wide", [False, True])
def test_packed_weights_are_a_copy(wide: bool) -> None:
    weight, x = normal(96, 64), normal(7, 64)
    layer = Widened().packed(weight.bfloat16()) if wide else packed(weight)
    before = layer(x)
    weight.zero_()
    assert torch.equal(layer(x), before)


@pytest.mark.usefixtures("can_pack")
@pytest.mark.parametrize("rows", [1, 7, 64])
def test_widened_weights_give_the_bits_of_the_same_ones_in_float32(rows: int) -> None:
    makes = Widened()
    weights = [
        normal(96, 64).bfloat16(),
        normal(96, 64).neg().bfloat16(),
        normal(64, 96).bfloat16(),
    ]
    layers = [makes.packed(weight) for weight in weights]  # two of one size, in one scratch
    for _ in range(2):
        for weight, layer in zip(weights, layers, strict=True):
            x = normal(rows, weight.shape[1])
            assert torch.equal(layer(x), packed(weight.float())(x))


def test_plain_layers_take_a_weight_of_another_precision() -> None:
    weight, x = normal(6, 8).bfloat16(), normal(3, 8)
    assert torch.equal(plain(weight)(x), plain(weight.float())(x))


def test_widened_piece_by_piece_nothing_is_lost_at_the_seams() -> None:
    weight, x = normal(2 * OUTPUTS_AT_ONCE + 5, 8).bfloat16(), normal(3, 8)
    product = Widened().plain(weight)(x)
    torch.testing.assert_close(product, plain(weight.float())(x))


@pytest.mark.usefixtures("can_pack")
def test_memory_does_not_grow_with_the_numbers_of_rows_that_were_seen() -> None:
    script = """
import prefix_engine, psutil, torch
from prefix_engine.model.linear import Widened
layer, x = Widened().packed(torch.ones(576, 1536, dtype=torch.bfloat16)), torch.ones(512, 1536)
for rows in range(1, 513):
    layer(x[:rows])
    if rows == 64:
        before = psutil.Process().memory_info().rss
print(psutil.Process().memory_info().rss - before)
"""
    grown = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert int(grown.stdout) < 64 * 2**20


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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("error", [RuntimeError, AttributeError])
def test_what_does_not_work_here_is_not_used(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception], dtype: torch.dtype
) -> None:
    def missing(weight: Tensor) -> Tensor:
        raise error

    monkeypatch.setattr(linear, "_lay_out", missing)
    assert_plain(best_linear(dtype), dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_what_changes_bits_with_the_number_of_rows_is_not_used(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    packs(monkeypatch, rounding_by_rows)
    assert_plain(best_linear(dtype), dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_what_keeps_its_bits_is_used(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    def row_by_row(weight: Tensor) -> Linear:
        return lambda x: (x[:, None].double() @ weight.t().double())[:, 0].to(x.dtype)

    packs(monkeypatch, row_by_row)
    weight, x = normal(8, 4).bfloat16(), normal(3, 4).to(dtype)
    assert torch.equal(best_linear(dtype)(weight)(x), row_by_row(weight)(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_what_keeps_its_bits_but_has_another_product_is_not_used(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    def of_another_weight(weight: Tensor) -> Linear:
        return lambda x: (x[:, None].double() @ weight.t().double())[:, 0].to(x.dtype) * 1.1

    packs(monkeypatch, of_another_weight)
    assert_plain(best_linear(dtype), dtype)


def packs(monkeypatch: pytest.MonkeyPatch, make: MakeLinear) -> None:
    """Let packed layers be those that `make` makes."""
    monkeypatch.setattr(linear, "packed", make)
    monkeypatch.setattr(Widened, "packed", lambda self, weight: make(weight))


def assert_plain(make: MakeLinear, dtype: torch.dtype) -> None:
    weight, x = normal(8, 4).bfloat16(), normal(3, 4).to(dtype)
    assert make is plain or make.__func__ is Widened.plain
    assert torch.equal(make(weight)(x), plain(weight.to(dtype))(x))
