"""Linear layers: packed for oneDNN where that works and keeps the bits, else as PyTorch has them;
and, for who asks for it, eight-bit ones for a few rows.

How `F.linear` adds up a row in float32 depends on how many rows there are: with a few it takes
other kernels than with many, and the last bits differ. Weights that were laid out for oneDNN
beforehand take one kernel for any number of rows, and are faster for a few. The two operations are
private to PyTorch, so they are tried before they are used. SmolLM2's layers, two Zen 3 cores, ms:

    rows          1     4     16    64    256   512   1024
    F.linear      24    55    54    127   349   693   1275
    packed        15    22    46    108   378   679   1336
"""

from __future__ import annotations

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
PACKED_FOR_ROWS = 512  # a hint: many rows gain a little by it, few lose nothing
TRIED_ROWS = (*range(1, 33), *(rows + i for rows in range(48, 257, 16) for i in (-1, 0, 1)))
TRIED_SIZES = ((960, 576), (576, 1536))  # outputs and inputs, one of them a long sum


def plain(weight: Tensor) -> Linear:
    """PyTorch's own."""
    return lambda x: F.linear(x, weight)


def packed(weight: Tensor) -> Linear:
    """A copy of the weight in oneDNN's layout; the weight itself is not kept.

    Raises RuntimeError or AttributeError where PyTorch or the processor can't do it.
    """
    layout = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), PACKED_FOR_ROWS)
    multiply = torch.ops.mkldnn._linear_pointwise
    return lambda x: multiply(x, layout, None, "none", [], "")


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


def best_linear(dtype: torch.dtype) -> MakeLinear:
    """`packed` if it works here and gives a row the same bits among any others, else `plain`.

    Takes a few tenths of a second, with the threads that torch is set to use.
    """
    try:
        sound = all(_keeps_rows(packed, sizes, dtype) for sizes in TRIED_SIZES)
    except (RuntimeError, AttributeError):
        sound = False
    return packed if sound else plain


@torch.inference_mode()
def _keeps_rows(make: MakeLinear, sizes: tuple[int, int], dtype: torch.dtype) -> bool:
    outputs, inputs = sizes
    dice = torch.Generator().manual_seed(0)
    weight = torch.randn(outputs, inputs, generator=dice)
    x = torch.randn(max(TRIED_ROWS), inputs, generator=dice).to(dtype)
    linear = make(weight.to(dtype))
    whole = linear(x)
    return all(torch.equal(linear(x[-rows:].clone()), whole[-rows:]) for rows in TRIED_ROWS)
