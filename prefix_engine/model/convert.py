"""A GGUF file → one safetensors file that the lean forward maps and lays out for its products.

The converted file holds, for every layer i (sizes are those of `LlamaGeometry`):

    layers.{i}.attention_norm  [hidden]
    layers.{i}.qkv             [(heads + 2 * kv_heads) * head_dim, hidden]  rows: q, then k, then v
    layers.{i}.attention_out   [hidden, heads * head_dim]
    layers.{i}.mlp_norm        [hidden]
    layers.{i}.gate_up         [2 * intermediate, hidden]                   rows: gate, then up
    layers.{i}.down            [hidden, intermediate]

and once `embedding` [vocabulary, hidden], which is the output projection too, and `final_norm`
[hidden]. The attention scale 1/sqrt(head_dim) is folded into the q rows: with 64-wide heads it is
1/8, which changes no bit of the products. All numbers are bfloat16, the precision that the model
was published in: whoever computes in float32 widens them, which is exact.

Needs numpy and gguf, not torch, and never holds more than a few thousand dequantized rows: the
whole model never stands in memory twice. The same GGUF always gives the same bytes.

Formats: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and
https://huggingface.co/docs/safetensors (8 bytes header length, JSON header, raw tensors).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from prefix_engine.model.geometry import LlamaGeometry
from prefix_engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from gguf import GGUFReader, ReaderTensor

Progress = Callable[[str, float], None]
"""Told what is being done, and how much of that is done (0 to 1). It may raise to stop."""

Rows = npt.NDArray[np.float32]

CONVERSION = 2
"""Raise it when the converted files change: copies with another number are made anew."""

NUMBER_BYTES = 2
NORMAL_TOKEN = 1  # GGUF's `tokenizer.ggml.token_type`; everything else is a control token
ROWS_AT_ONCE = 4096  # a multiple of every head dimension, so that no head is torn


@dataclass(frozen=True)
class _Part:
    """Rows of one GGUF tensor, and what is done to them on the way."""

    source: ReaderTensor
    change: Callable[[Rows], Rows]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in reversed(self.source.shape))


@dataclass(frozen=True)
class _Target:
    """A tensor of the converted file: the rows of its parts, one after the other."""

    name: str
    parts: tuple[_Part, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        rows = sum(part.shape[0] for part in self.parts)
        return (rows, *self.parts[0].shape[1:])


def convert(
    gguf: Path,
    safetensors: Path,
    vocabulary: Path,
    on_progress: Progress = lambda message, done: None,
) -> None:
    """Write the converted weights and the vocabulary of a Llama-shaped GGUF file.

    Both targets are overwritten. Raises OSError (a full disk, for example)
    and whatever `on_progress` raises; the targets are then incomplete.
    """
    from gguf import GGUFReader  # numpy views of 100,000 strings: 3 s that a cached start saves

    on_progress("Reading the model file", 0.0)
    reader = GGUFReader(gguf)
    geometry = read_geometry(reader)
    read_vocabulary(reader).write(vocabulary)
    _write_tensors(safetensors, _targets(reader, geometry), geometry, on_progress)


def read_geometry(reader: GGUFReader) -> LlamaGeometry:
    """The sizes a Llama-shaped GGUF file states about itself. KeyError if one is missing."""
    heads = int(_field(reader, "llama.attention.head_count"))
    hidden = int(_field(reader, "llama.embedding_length"))
    return LlamaGeometry(
        layers=int(_field(reader, "llama.block_count")),
        heads=heads,
        kv_heads=int(_field(reader, "llama.attention.head_count_kv")),
        head_dim=hidden // heads,
        hidden=hidden,
        intermediate=int(_field(reader, "llama.feed_forward_length")),
        vocabulary=len(_field(reader, "tokenizer.ggml.tokens")),
        context_length=int(_field(reader, "llama.context_length")),
        rope_base=float(_field(reader, "llama.rope.freq_base")),
        norm_eps=float(_field(reader, "llama.attention.layer_norm_rms_epsilon")),
    )


def read_vocabulary(reader: GGUFReader) -> Vocabulary:
    """The tokens, the special ids among them, the ids that end a reply, and the chat template."""
    tokens = tuple(_field(reader, "tokenizer.ggml.tokens"))
    types = _field(reader, "tokenizer.ggml.token_type")
    special = tuple(id for id, kind in enumerate(types) if kind != NORMAL_TOKEN)
    end_of_text = {id for id in special if tokens[id] == "<|endoftext|>"}
    template = reader.fields.get("tokenizer.chat_template")
    return Vocabulary(
        tokens=tokens,
        special_ids=special,
        stop_ids=tuple(sorted(end_of_text | {int(_field(reader, "tokenizer.ggml.eos_token_id"))})),
        chat_template=None if template is None else template.contents(),
    )


def _field(reader: GGUFReader, name: str) -> Any:
    return reader.fields[name].contents()


def _targets(reader: GGUFReader, geometry: LlamaGeometry) -> list[_Target]:
    sources = {tensor.name: tensor for tensor in reader.tensors}
    scale = np.float32(geometry.head_dim**-0.5)

    def as_is(rows: Rows) -> Rows:
        return rows

    def half_split(rows: Rows) -> Rows:
        return _half_split(rows, geometry.head_dim)

    def half_split_scaled(rows: Rows) -> Rows:
        return _half_split(rows, geometry.head_dim) * scale

    def target(name: str, *parts: tuple[str, Callable[[Rows], Rows]]) -> _Target:
        return _Target(
            name, tuple(_Part(sources[f"{source}.weight"], change) for source, change in parts)
        )

    targets = [target("embedding", ("token_embd", as_is))]
    for i in range(geometry.layers):
        to, of = f"layers.{i}", f"blk.{i}"
        targets += [
            target(f"{to}.attention_norm", (f"{of}.attn_norm", as_is)),
            target(
                f"{to}.qkv",
                (f"{of}.attn_q", half_split_scaled),
                (f"{of}.attn_k", half_split),
                (f"{of}.attn_v", as_is),
            ),
            target(f"{to}.attention_out", (f"{of}.attn_output", as_is)),
            target(f"{to}.mlp_norm", (f"{of}.ffn_norm", as_is)),
            target(f"{to}.gate_up", (f"{of}.ffn_gate", as_is), (f"{of}.ffn_up", as_is)),
            target(f"{to}.down", (f"{of}.ffn_down", as_is)),
        ]
    targets.append(target("final_norm", ("output_norm", as_is)))
    return targets


def _half_split(rows: Rows, head_dim: int) -> Rows:
    """Reorder each head's rows from (0, 1), (2, 3), … to halves, as rotate-half RoPE pairs them.

    llama.cpp rotates neighbouring rows of a Llama head, so its files store row j of the first half
    and row j of the second next to each other; the lean forward, as transformers does, rotates row
    j of the first half with row j of the second.
    """
    paired = rows.reshape(-1, head_dim // 2, 2, rows.shape[-1])
    return paired.swapaxes(1, 2).reshape(rows.shape)


def _write_tensors(
    path: Path,
    targets: list[_Target],
    geometry: LlamaGeometry,
    on_progress: Progress,
) -> None:
    with path.open("wb") as file:
        file.write(_header(targets, geometry))
        for number, target in enumerate(targets, start=1):
            for part in target.parts:
                for rows in _dequantized(part):
                    file.write(_encode(part.change(rows)))
            on_progress("Converting the weights", number / len(targets))


def _header(targets: list[_Target], geometry: LlamaGeometry) -> bytes:
    entries: dict[str, Any] = {"__metadata__": geometry.to_metadata()}
    offset = 0
    for target in targets:
        end = offset + prod(target.shape) * NUMBER_BYTES
        entries[target.name] = {
            "dtype": "BF16",
            "shape": target.shape,
            "data_offsets": (offset, end),
        }
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    # the tensors then begin on a cache line of the mapped file
    text += b" " * (-(len(text) + 8) % 64)
    return len(text).to_bytes(8, "little") + text


def _dequantized(part: _Part) -> Iterator[Rows]:
    from gguf import dequantize

    stored = part.source.data
    for start in range(0, part.shape[0], ROWS_AT_ONCE):
        yield dequantize(stored[start : start + ROWS_AT_ONCE], part.source.tensor_type)


def _encode(rows: Rows) -> bytes:
    # numpy has no bfloat16: keep the upper half of a float32, rounded to nearest, ties to even
    bits: npt.NDArray[np.uint32] = rows.astype("<f4").view("<u4")
    rounded: npt.NDArray[np.uint16] = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    return rounded.tobytes()
