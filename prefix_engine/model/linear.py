"""Linear layers: packed for oneDNN where that works and keeps the bits, else as PyTorch has them;
and, for who asks for it, eight-bit ones for a few rows.

How `F.linear` adds up a row in float32 depends on how many rows there are: with a few it takes
other kernels than with many, and the last bits differ. Weights that were laid out for oneDNN
beforehand take one kernel for any number of rows, and are faster for a few.

Weights are kept in bfloat16. To compute in float32 they are widened just before each product, into
a scratch that stays in the processor's cache: the same bits as with weights kept in float32, in
half the memory. SmolLM2's layers, two Zen 3 cores, ms:

    rows                              1     4    16    64   256   512  1024
    F.linear                         35    66    67   155   410   695  1323
    packed, weights in float32       26    30    47   112   368   700  1418
    packed, weights widened          32    40    59   135   380   734  1421

The operations for oneDNN are private to PyTorch, so they are tried before they are used.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Linear = Callable[[Tensor], Tensor]
"""x [rows, inputs] → [rows, outputs]; each row by itself, without a bias."""

MakeLinear = Callable[[Tensor], Linear]
"""From a weight [outputs, inputs]; what is made may or may not keep that tensor."""

FEW_ROWS = 16
OUTPUTS_AT_ONCE = 4096
PACKED_FOR_ROWS = 512  # a hint: many rows gain a little by it, few lose nothing
TRIED_ROWS = (*range(1, 33), *(rows + i for rows in range(48, 257, 16) for i in (-1, 0, 1)))
TRIED_SIZES = ((960, 576), (576, 1536))  # outputs and inputs, one of them a long sum


def plain(weight: Tensor) -> Linear:
    """PyTorch's own. A weight in another precision than x is converted anew in each call."""
    return lambda x: F.linear(x, weight.to(x.dtype))


def packed(weight: Tensor) -> Linear:
    """A copy of the weight in oneDNN's layout; the weight itself is not kept.

    Raises RuntimeError or AttributeError where PyTorch or the processor can't do it.
    """
    layout = _lay_out(weight)
    return lambda x: _multiply(x, layout)


class Widened:
    """Makes layers for float32 that keep their weights in bfloat16.

    Those of one size work in one scratch: one product at a time.
    """

    def __init__(self) -> None:
        self._scratches: dict[tuple[int, ...], Tensor] = {}

    def plain(self, weight: Tensor) -> Linear:
        """`plain`, some outputs at a time. Keeps the weight."""
        pieces = torch.split(weight, OUTPUTS_AT_ONCE)
        scratch = self._scratch(torch.empty(pieces[0].shape))
        return lambda x: torch.cat(
            [F.linear(x, scratch[: len(piece)].copy_(piece)) for piece in pieces], dim=-1
        )

    def packed(self, weight: Tensor) -> Linear:
        """`packed`; raises as that does."""
        layout = _lay_out(weight.float())
        kept = _numbers(layout).bfloat16()
        scratch = self._scratch(layout)
        numbers = _numbers(scratch)

        def widen_and_multiply(x: Tensor) -> Tensor:
            numbers.copy_(kept)
            return _multiply(x, scratch)

        return widen_and_multiply

    def _scratch(self, like: Tensor) -> Tensor:
        """The one for this size: the first that was asked for."""
        return self._scratches.setdefault(tuple(like.shape), like)


def _lay_out(weight: Tensor) -> Tensor:
    layout: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), PACKED_FOR_ROWS)
    return layout


def _multiply(x: Tensor, layout: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, layout, None, "none", [], "")
    return product


def _numbers(layout: Tensor) -> Tensor:
    """What a tensor in oneDNN's layout holds, in the order of that layout: a view, for as long as
    the tensor lives."""
    size = torch.ops.mkldnn._nbytes(layout)
    memory = (ctypes.c_char * size).from_address(torch.ops.mkldnn.data_ptr(layout))
    return torch.frombuffer(memory, dtype=layout.dtype)


def int8(weight: Tensor) -> Linear:
    """A copy of the weight in eight bits, with a scale for each output; x is rounded to eight bits
    in each call, by the largest number in it."""
    scales = (weight.abs().amax(dim=1).double() / 127).clamp_min(torch.finfo(torch.float32).tiny)
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with warnings.catch_warnings():
        # a later PyTorch will drop it; the one that requirements.txt pins has it
        warnings.filterwarnings("ignore", message="torch.quantize_per_tensor")
        rounded = torch.quantize_per_channel(weight.float(), scales, zeros, 0, torch.qint8)
    layout = torch.ops.quantized.linear_prepack(rounded, None)
    multiply = torch.ops.quantized.linear_dynamic
    # the reduced range keeps sums of two products within 16 bits, where AVX2 would cut them off
    return lambda x: multiply(x.float(), layout, reduce_range=True).to(x.dtype)


def int8_for_few_rows(make: MakeLinear) -> MakeLinear:
    """`int8` for up to FEW_ROWS rows, what `make` makes for more."""

    def make_both(weight: Tensor) -> Linear:
        few, many = int8(weight), make(weight)
        return lambda x: few(x) if len(x) <= FEW_ROWS else many(x)

    return make_both


def plain_linear(dtype: torch.dtype) -> MakeLinear:
    """For weights in bfloat16, to compute in `dtype`."""
    return plain if dtype == torch.bfloat16 else Widened().plain


def best_linear(dtype: torch.dtype) -> MakeLinear:
    """`plain_linear`, or the packed kind of it if that works here, gives the same product, and a
    row the same bits among any others.

    Takes a few tenths of a second, with the threads that torch is set to use.
    """
    make = packed if dtype == torch.bfloat16 else Widened().packed
    try:
        sound = all(_keeps_rows(make, sizes, dtype) for sizes in TRIED_SIZES)
    except (RuntimeError, AttributeError):
        sound = False
    return make if sound else plain_linear(dtype)


@torch.inference_mode()
def _keeps_rows(make: MakeLinear, sizes: tuple[int, int], dtype: torch.dtype) -> bool:
    outputs, inputs = sizes
    dice = torch.Generator().manual_seed(0)
    weight = torch.randn(outputs, inputs, generator=dice).bfloat16()
    x = torch.randn(max(TRIED_ROWS), inputs, generator=dice).to(dtype)
    make(-weight)  # layers of one size may share memory: what the first one left there must go
    linear = make(weight)
    whole = linear(x)
    right = F.linear(x.float(), weight.float())
    if not (whole.float() - right).norm() < 0.01 * right.norm():
        return False
    return all(torch.equal(linear(x[-rows:].clone()), whole[-rows:]) for rows in TRIED_ROWS)
