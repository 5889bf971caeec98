"""A lean Llama forward pass for one prompt on the CPU, with KV in a preallocated slab.

What makes it lean: query, key and value projections are one matrix, gate and up another; 1/sqrt(d)
is folded into the query rows when the weights are converted (exact for d = 64: a factor of 1/8);
rotary tables are precomputed; keys and values are written in place; query heads that share a KV
head are folded into the rows of one batched matmul; only the last row goes through the output
matrix. The arithmetic follows "LLaMA" (Touvron et al., 2023) as Hugging Face's
`LlamaForCausalLM` computes it, which is the oracle in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from prefix_engine.model.base import CHUNK_ROWS, KVShape, Model, OnChunk, Slab
from prefix_engine.model.geometry import LlamaGeometry
from prefix_engine.model.info import ModelInfo


@dataclass(frozen=True)
class LayerWeights:
    """One decoder layer, fused: `qkv` rows are query | key | value, `gate_up` rows gate | up."""

    attention_norm: Tensor
    qkv: Tensor
    attention_out: Tensor
    mlp_norm: Tensor
    gate_up: Tensor
    down: Tensor


@dataclass(frozen=True)
class Place:
    """Where a chunk of `rows` tokens stands: positions [start, end), with what depends on them."""

    start: int
    end: int
    cos: Tensor
    sin: Tensor
    future: Tensor

    @property
    def rows(self) -> int:
        return self.end - self.start


class LlamaModel(Model):
    """Llama with the fused tensors that `convert.py` writes."""

    def __init__(
        self, geometry: LlamaGeometry, tensors: Mapping[str, Tensor], info: ModelInfo
    ) -> None:
        self.info = info
        self.geometry = geometry
        self.embedding = tensors["embedding"]
        self.final_norm = tensors["final_norm"]
        names = [field.name for field in fields(LayerWeights)]
        self.layers = [
            LayerWeights(**{name: tensors[f"layers.{i}.{name}"] for name in names})
            for i in range(geometry.layers)
        ]
        dtype = self.embedding.dtype
        self.kv_shape = KVShape(geometry.layers, geometry.kv_heads, geometry.head_dim, dtype)
        self._cos, self._sin = rotary_tables(geometry, info.max_tokens, dtype)

    @torch.inference_mode()
    def forward(
        self, ids: Sequence[int], slab: Slab, start: int, on_chunk: OnChunk | None = None
    ) -> Tensor:
        assert len(ids) > 0 and start + len(ids) <= slab.capacity
        tokens = torch.tensor(ids, dtype=torch.long)
        for done in range(0, len(ids), CHUNK_ROWS):
            if on_chunk is not None:
                on_chunk(done)
            last_row = self._chunk(tokens[done : done + CHUNK_ROWS], slab, start + done)
        return F.linear(last_row, self.embedding).float()

    def _chunk(self, tokens: Tensor, slab: Slab, start: int) -> Tensor:
        """Run up to CHUNK_ROWS tokens; returns the last one's normed hidden state, [hidden]."""
        place = self._place(start, start + len(tokens))
        x = F.embedding(tokens, self.embedding)
        for weights, kv in zip(self.layers, slab.kv.unbind(1), strict=True):
            x = x + self._attention(self._norm(x, weights.attention_norm), weights, kv, place)
            x = x + self._mlp(self._norm(x, weights.mlp_norm), weights)
        return self._norm(x[-1], self.final_norm)

    def _place(self, start: int, end: int) -> Place:
        rows = end - start
        return Place(
            start,
            end,
            self._cos[start:end, None],
            self._sin[start:end, None],
            future=torch.ones(rows, rows, dtype=torch.bool).triu(1),
        )

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (self.geometry.hidden,), weight, self.geometry.norm_eps)

    def _mlp(self, x: Tensor, weights: LayerWeights) -> Tensor:
        gate, up = F.linear(x, weights.gate_up).chunk(2, dim=-1)
        return F.linear(F.silu(gate) * up, weights.down)

    def _attention(self, x: Tensor, weights: LayerWeights, kv: Tensor, place: Place) -> Tensor:
        """x [rows, hidden] → [rows, hidden]; writes this layer's kv [2, kv_heads, capacity, d]."""
        g = self.geometry
        heads = F.linear(x, weights.qkv).view(place.rows, -1, g.head_dim)
        turned = rotate(heads[:, : g.heads + g.kv_heads], place.cos, place.sin)
        kv[0, :, place.start : place.end] = turned[:, g.heads :].transpose(0, 1)
        kv[1, :, place.start : place.end] = heads[:, g.heads + g.kv_heads :].transpose(0, 1)
        mixed = self._attend(turned[:, : g.heads], kv[:, :, : place.end], place)
        return F.linear(mixed, weights.attention_out)

    def _attend(self, query: Tensor, kv: Tensor, place: Place) -> Tensor:
        """Causal attention of [rows, heads, d] over kv [2, kv_heads, end, d] → [rows, hidden]."""
        g = self.geometry
        group = g.heads // g.kv_heads
        grouped = query.view(place.rows, g.kv_heads, group, g.head_dim).permute(1, 2, 0, 3)
        folded = grouped.reshape(g.kv_heads, group * place.rows, g.head_dim)
        scores = folded @ kv[0].transpose(1, 2)
        own = scores.view(g.kv_heads, group, place.rows, place.end)[..., place.start :]
        own.masked_fill_(place.future, float("-inf"))
        mixed = torch.softmax(scores, dim=-1) @ kv[1]
        unfolded = mixed.view(g.kv_heads, group, place.rows, g.head_dim).permute(2, 0, 1, 3)
        return unfolded.reshape(place.rows, -1)


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding in Hugging Face's half-split form; [rows, heads, d] → the same."""
    low, high = heads.chunk(2, dim=-1)
    return heads * cos + torch.cat((-high, low), dim=-1) * sin


def rotary_tables(
    geometry: LlamaGeometry, positions: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """cos and sin of every position's angles, [positions, head_dim] (RoFormer, Su et al. 2021)."""
    steps = torch.arange(0, geometry.head_dim, 2, dtype=torch.int64).float() / geometry.head_dim
    angles = torch.outer(torch.arange(positions).float(), 1.0 / geometry.rope_base**steps)
    both = torch.cat((angles, angles), dim=-1)
    return both.cos().to(dtype), both.sin().to(dtype)
