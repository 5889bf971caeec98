"""Keys and values of stored tokens as tensors: copied out of a slab, put back into one.

Stored KV lies as it does in the slab: [2, layers, kv_heads, tokens, head_dim]. Of the orders that
`python -m benchmarks.layout` compares it is the fastest to put back into a slab, which is the only
copy that a time to first token contains: every (K or V, layer, head) is then one run of memory on
both sides. SmolLM2's shape, 1,024 tokens, two cores, torch 2.13, median ms to load:

                                      bf16                 f32
                                      whole   64 pieces    whole   64 pieces
    [kv, layer, head, token, dim]     2.0     3.0          4.4     5.3
    [kv, layer, token, head, dim]     2.8     3.5          5.3     5.6
    [layer, head, token, kv, dim]     2.6     3.9          5.1     6.1
    [token, kv, layer, head, dim]     2.8     3.6          5.5     5.9

The others are a little faster only at copying half of a storage out of it (1.0 to 1.1 ms against
1.2 in bf16), which happens after an eviction, outside every timed region.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch

from ..compute import compute
from ..model.base import Slab
from .base import Segment, Storage

TOKEN_AXIS = 3


class KVStorage(Storage):
    """One tensor, [2, layers, kv_heads, tokens, head_dim], owned by the segments that view it."""

    def __init__(self, kv: torch.Tensor) -> None:
        self.kv = kv

    @property
    def nbytes(self) -> int:
        return self.kv.untyped_storage().nbytes()


class KVSegment(Segment):
    """The KV of the tokens [start, end) of a storage."""

    def __init__(self, storage: KVStorage, start: int, end: int) -> None:
        self._storage = storage
        self._start = start
        self._end = end

    @property
    def tokens(self) -> int:
        return self._end - self._start

    @property
    def storage(self) -> KVStorage:
        return self._storage

    @property
    def kv(self) -> torch.Tensor:
        """A view, [2, layers, kv_heads, tokens, head_dim]; to be read, never written."""
        return self._storage.kv.narrow(TOKEN_AXIS, self._start, self.tokens)

    def split(self, at: int) -> tuple[KVSegment, KVSegment]:
        middle = self._start + at
        return (
            KVSegment(self._storage, self._start, middle),
            KVSegment(self._storage, middle, self._end),
        )

    def compact(self) -> KVSegment:
        return _copied(self.kv)


@torch.inference_mode()
def copy_out(slab: Slab, start: int, end: int) -> KVSegment:
    """The KV at positions [start, end) of a slab, in storage of its own.

    `functools.partial(copy_out, slab)` is the `take` of an insertion.
    Raises ValueError if the slab has no such positions.
    """
    if not 0 <= start < end <= slab.capacity:
        raise ValueError(f"positions {start} to {end} are not in a slab of {slab.capacity}")
    return _copied(slab.kv.narrow(TOKEN_AXIS, start, end - start))


@torch.inference_mode()
def load(segments: Iterable[Segment], slab: Slab) -> int:
    """Copy the segments one after another to the beginning of the slab; returns their tokens.

    Takes what a `Lease` gives, which must be `KVSegment`s of the slab's own shape; they are only
    read. Raises ValueError, having written nothing, if they don't fit into the slab.
    """
    views = [_kv(segment) for segment in segments]
    tokens = sum(view.shape[TOKEN_AXIS] for view in views)
    if tokens > slab.capacity:
        raise ValueError(f"{tokens} tokens don't fit into a slab of {slab.capacity}")
    start = 0
    for view in views:
        slab.kv.narrow(TOKEN_AXIS, start, view.shape[TOKEN_AXIS]).copy_(view)
        start += view.shape[TOKEN_AXIS]
    return tokens


def _kv(segment: Segment) -> torch.Tensor:
    if not isinstance(segment, KVSegment):
        raise TypeError(f"a {type(segment).__name__} holds no KV")
    return segment.kv


def _copied(kv: torch.Tensor) -> KVSegment:
    own = compute(partial(kv.clone, memory_format=torch.contiguous_format))
    return KVSegment(KVStorage(own), 0, own.shape[TOKEN_AXIS])
