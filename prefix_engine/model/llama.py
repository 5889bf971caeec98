"""A lean Llama forward pass for one prompt on the CPU, with KV in a preallocated slab.

What makes it lean: query, key and value projections are one matrix, gate and up another; 1/sqrt(d)
is folded into the query rows when the weights are converted (exact for d = 64: a factor of 1/8);
rotary tables are precomputed; keys and values are written in place; query heads that share a KV
head are folded into the rows of one batched matmul; only the last row goes through the output
matrix. The arithmetic follows "LLaMA" (Touvron et al., 2023) as Hugging Face's
`LlamaForCausalLM` computes it, which is the oracle in the tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from prefix_engine.compute import compute
from prefix_engine.model.attention import CausalAttention
from prefix_engine.model.base import CHUNK_ROWS, KVShape, Model, OnChunk, Slab, round_up
from prefix_engine.model.geometry import LlamaGeometry
from prefix_engine.model.info import ModelInfo
from prefix_engine.model.linear import Linear, MakeLinear, plain

FRAME = 64
"""Rows of a frame of the strict mode."""


@dataclass(frozen=True)
class Layer:
    """One decoder layer, fused: `qkv` gives query | key | value, `gate_up` gives gate | up."""

    attention_norm: Tensor
    qkv: Linear
    attention_out: Linear
    mlp_norm: Tensor
    gate_up: Linear
    down: Linear


@dataclass(frozen=True)
class Place:
    """Where a pass stands: its rows are the positions [start, end), of which [first, last) are
    wanted and the others are dummies; with what depends on the positions."""

    start: int
    end: int
    first: int
    last: int
    cos: Tensor
    sin: Tensor
    attention: CausalAttention

    @property
    def wanted(self) -> slice:
        """Of the pass's rows."""
        return slice(self.first - self.start, self.last - self.start)


class LlamaModel(Model):
    """Llama with the fused tensors that `convert.py` writes, computed in `dtype`.

    `strict` makes every pass one of 64 rows at a multiple of 64, the rows that are not wanted being
    dummies: a row then has the same bits, whatever kernels take its place among the rows for.
    """

    def __init__(
        self,
        geometry: LlamaGeometry,
        tensors: Mapping[str, Tensor],
        info: ModelInfo,
        dtype: torch.dtype = torch.float32,
        make_linear: MakeLinear = plain,
        make_output: MakeLinear = plain,
        strict: bool = False,
    ) -> None:
        self.info = info
        self.geometry = geometry
        self.strict = strict
        self.embedding = tensors["embedding"].clone()
        self.final_norm = tensors["final_norm"].to(dtype, copy=True)
        self._output = make_output(self.embedding)
        self.layers = [_layer(tensors, i, dtype, make_linear) for i in range(geometry.layers)]
        self.kv_shape = KVShape(geometry.layers, geometry.kv_heads, geometry.head_dim, dtype)
        self._cos, self._sin = rotary_tables(geometry, round_up(info.max_tokens, FRAME), dtype)

    def forward(
        self, ids: Sequence[int], slab: Slab, start: int, on_chunk: OnChunk | None = None
    ) -> Tensor:
        assert len(ids) > 0 and start + len(ids) <= slab.capacity
        tokens = torch.tensor(ids, dtype=torch.long)
        for first, last in self._passes(start, start + len(ids)):
            if on_chunk is not None:
                on_chunk(first - start)
            rows = tokens[first - start : last - start]
            last_row = compute(partial(self._pass, rows, slab, first))
        return compute(lambda: self._output(last_row[None])[0].float())

    def _passes(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Cut positions [start, end) into what is computed at once."""
        while start < end:
            stop = start - start % FRAME + FRAME if self.strict else start + CHUNK_ROWS
            yield start, min(stop, end)
            start = stop

    def _pass(self, tokens: Tensor, slab: Slab, first: int) -> Tensor:
        """Run some tokens; returns the last one's normed hidden state, [hidden]."""
        place = self._place(first, first + len(tokens))
        x = F.embedding(tokens, self.embedding).to(self.kv_shape.dtype)
        x = F.pad(x, (0, 0, place.first - place.start, place.end - place.last))
        for layer, kv in zip(self.layers, slab.padded.unbind(1), strict=True):
            x = x + self._attention(self._norm(x, layer.attention_norm), layer, kv, place)
            x = x + self._mlp(self._norm(x, layer.mlp_norm), layer)
        return self._norm(x[place.wanted][-1], self.final_norm)

    def _place(self, first: int, last: int) -> Place:
        start = first - first % FRAME if self.strict else first
        end = start + FRAME if self.strict else last
        group = self.geometry.heads // self.geometry.kv_heads
        return Place(
            start,
            end,
            first,
            last,
            self._cos[start:end, None],
            self._sin[start:end, None],
            CausalAttention(end - start, start, group, self.kv_shape.dtype),
        )

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (self.geometry.hidden,), weight, self.geometry.norm_eps)

    def _mlp(self, x: Tensor, layer: Layer) -> Tensor:
        gate, up = layer.gate_up(x).chunk(2, dim=-1)
        return layer.down(F.silu(gate).mul_(up))

    def _attention(self, x: Tensor, layer: Layer, kv: Tensor, place: Place) -> Tensor:
        """x [rows, hidden] → [rows, hidden]; writes this layer's kv [2, kv_heads, capacity, d]."""
        g, rows = self.geometry, len(x)
        heads = layer.qkv(x).view(rows, -1, g.head_dim)
        turned = rotate(heads[:, : g.heads + g.kv_heads], place.cos, place.sin)
        query, key, value = turned[:, : g.heads], turned[:, g.heads :], heads[:, -g.kv_heads :]
        kv[0, :, place.first : place.last] = key[place.wanted].transpose(0, 1)
        kv[1, :, place.first : place.last] = value[place.wanted].transpose(0, 1)
        by_kv_head = query.reshape(rows, g.kv_heads, -1, g.head_dim).transpose(0, 1)
        mixed = place.attention(by_kv_head.reshape(g.kv_heads, -1, g.head_dim), kv)
        by_row = mixed.view(g.kv_heads, rows, -1).transpose(0, 1)
        return layer.attention_out(by_row.reshape(rows, -1))


def _layer(
    tensors: Mapping[str, Tensor], i: int, dtype: torch.dtype, make_linear: MakeLinear
) -> Layer:
    def tensor(name: str) -> Tensor:
        return tensors[f"layers.{i}.{name}"]

    return Layer(
        attention_norm=tensor("attention_norm").to(dtype, copy=True),
        qkv=make_linear(tensor("qkv")),
        attention_out=make_linear(tensor("attention_out")),
        mlp_norm=tensor("mlp_norm").to(dtype, copy=True),
        gate_up=make_linear(tensor("gate_up")),
        down=make_linear(tensor("down")),
    )


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
