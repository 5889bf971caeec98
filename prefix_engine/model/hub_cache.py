"""A slab in the shape of a transformers cache: keys and values are written where they belong.

transformers grows its own caches by concatenation, which copies all KV for every chunk and leaves
it where the prefix cache can't see it. Here each layer writes its new rows into the slab and hands
back views of it. Contract: `CacheLayerMixin` and `Cache` in transformers/cache_utils.py (5.23).

Importing this imports transformers, which takes a second or two.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicLayer

from prefix_engine.model.base import Slab


class SlabLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's kv [2, kv_heads, capacity, head_dim], filled up to position `length`."""

    def __init__(self, kv: Tensor, length: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kv = kv
        self.length = length
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write [1, kv_heads, rows, head_dim] of each; returns all keys and values up to there."""
        start, self.length = self.length, self.length + key_states.shape[2]
        self.kv[0, :, start : self.length] = key_states[0]
        self.kv[1, :, start : self.length] = value_states[0]
        filled = self.kv[:, :, : self.length]
        return filled[0:1], filled[1:2]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How many keys a chunk of this many rows sees, and the position of the first."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return self.kv.shape[2]

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing: the slab is there already."""


def slab_cache(slab: Slab, start: int) -> Cache:
    """A cache that holds the slab's positions [0, start) and writes from there on."""
    return Cache(layers=[SlabLayer(kv, start) for kv in slab.kv.unbind(1)])


class RecordingCache(Cache):
    """Writes down which layers cached what, as (layer, keys, values)."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=DynamicLayer)
        self.calls: list[tuple[int, Tensor, Tensor]] = []

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        self.calls.append((layer_idx, key_states, value_states))
        return super().update(key_states, value_states, layer_idx, *args, **kwargs)
