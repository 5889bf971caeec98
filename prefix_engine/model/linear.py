"""Linear layers: packed for oneDNN where that works and keeps the bits, else as PyTorch has them.

How `F.linear` adds up a row in float32 depends on how many rows there are: with a few it takes
other kernels than with many, and the last bits differ. Weights that were laid out for oneDNN
beforehand take one kernel for any number of rows, and are faster for a few. The two operations are
private to PyTorch, so they are tried before they are used. SmolLM2's layers, two Zen 3 cores, ms:

    rows          1     4     16    64    256   512   1024
    F.linear      24    55    54    127   349   693   1275
    packed        15    22    46    108   378   679   1336
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Linear = Callable[[Tensor], Tensor]
"""x [rows, inputs] → [rows, outputs]; each row by itself, without a bias."""

MakeLinear = Callable[[Tensor], Linear]
"""From a weight [outputs, inputs]; what is made may or may not keep that tensor."""

PACKED_FOR_ROWS = 512  # a hint: many rows gain a little by it, few lose nothing
TRIED_ROWS = (*range(1, 17), 63, 64, 65, 255, 256, 511, 512)
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


def best_linear(dtype: torch.dtype) -> MakeLinear:
    """`packed` if it works here and gives a row the same bits among any others, else `plain`.

    Takes a few hundredths of a second, with the threads that torch is set to use.
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
    x = torch.randn(TRIED_ROWS[-1], inputs, generator=dice).to(dtype)
    linear = make(weight.to(dtype))
    whole = linear(x)
    return all(torch.equal(linear(x[-rows:].clone()), whole[-rows:]) for rows in TRIED_ROWS)
