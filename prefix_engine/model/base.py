"""What the engine asks of a language model: run some tokens after the KV of others.

One interface for the lean Llama forward (`llama.py`) and for any other full-attention causal model
(`hub.py`). A model keeps no state between calls: keys and values live in the slab it is given.
"""

from __future__ import annotations

import mmap
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from prefix_engine.model.info import ModelInfo

CHUNK_ROWS = 256
"""Rows of one pass: with fewer the weights are read more often, with more nothing is gained."""

KEY_BLOCK = 256
"""A slab holds whole blocks of this many positions, so that a model may read keys by the block."""

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
    `padded` is the same memory with its capacity rounded up to whole blocks of KEY_BLOCK.
    """

    def __init__(self, shape: KVShape, capacity: int, device: torch.device | str = "cpu") -> None:
        self.shape = shape
        self.capacity = capacity
        rows = round_up(capacity, KEY_BLOCK)
        sizes = (2, shape.layers, shape.kv_heads, rows, shape.head_dim)
        self.padded = _zeros(shape.bytes_per_token * rows).view(shape.dtype).view(sizes).to(device)
        self.kv = self.padded.narrow(3, 0, capacity)


def _zeros(nbytes: int) -> torch.Tensor:
    """Memory that the kernel gives page by page, as it is first written: a slab costs what was used
    of it. torch.zeros would write all of it now; with huge pages, which NumPy asks for, a few
    tokens, whose rows lie far apart, would take as much as thousands."""
    memory = mmap.mmap(-1, nbytes)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.uint8)


def round_up(count: int, block: int) -> int:
    """The smallest multiple of `block` that is not below `count`."""
    return -(-count // block) * block


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
