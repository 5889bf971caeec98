"""What the engine asks of a language model: run some tokens after the KV of others.

One interface for the lean Llama forward (`llama.py`) and for any other full-attention causal model
(`hub.py`). A model keeps no state between calls: keys and values live in the slab it is given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from prefix_engine.model.info import ModelInfo

CHUNK_ROWS = 256
"""Rows of one pass: with fewer the weights are read more often, with more nothing is gained."""

OnChunk = Callable[[int], None]
"""Called before each chunk of a forward pass with the rows done so far; may raise to stop it."""


@dataclass(frozen=True)
class KVShape:
    """The size of one token's keys and values."""

    layers: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype

    @property
    def bytes_per_token(self) -> int:
        """2 (K and V) x layers x heads x dimension x bytes per number."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.dtype.itemsize


class Slab:
    """Preallocated keys and values for one running request.

    `kv` has the shape [2, layers, kv_heads, capacity, head_dim]; `kv[0]` are keys, `kv[1]` values,
    at their absolute position. Rows that were not written yet hold arbitrary finite numbers.
    """

    def __init__(self, shape: KVShape, capacity: int, device: torch.device | str = "cpu") -> None:
        self.shape = shape
        self.capacity = capacity
        sizes = (2, shape.layers, shape.kv_heads, capacity, shape.head_dim)
        # NumPy's zeros come from the kernel page by page, as they are first written: a slab costs
        # what was used of it. torch.zeros would write all of them now.
        zeros = np.zeros(shape.bytes_per_token * capacity, dtype=np.uint8)
        self.kv = torch.from_numpy(zeros).view(shape.dtype).view(sizes).to(device)


class Model(ABC):
    """A causal language model with full attention."""

    info: ModelInfo
    kv_shape: KVShape

    @abstractmethod
    def forward(
        self, ids: Sequence[int], slab: Slab, start: int, on_chunk: OnChunk | None = None
    ) -> torch.Tensor:
        """Compute `ids` at positions start, start+1, … after the KV of positions [0, start).

        Writes their keys and values into the slab at those positions, reads none beyond them, and
        returns the logits after the last of them: float32, shape [vocabulary]. At least one id;
        start + len(ids) must not exceed the slab's capacity. What `on_chunk` raises passes through;
        the slab's rows from `start` on are then undefined.
        """

    def new_slab(self, capacity: int) -> Slab:
        """An empty slab for `capacity` tokens."""
        return Slab(self.kv_shape, capacity, self.info.device)
