"""An engine small enough for tests: a random Llama and a tokenizer with a token for every byte."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

from prefix_engine.cache import PrefixCache, RadixCache
from prefix_engine.engine import Engine
from prefix_engine.model.base import KVShape, Model, OnChunk, Slab
from prefix_engine.model.geometry import LlamaGeometry
from prefix_engine.model.info import ModelInfo
from prefix_engine.model.llama import LlamaModel
from prefix_engine.tokenizer import VocabularyTokenizer
from prefix_engine.vocabulary import Vocabulary

DROPPED = "\x07"
"""The one character that the tokenizer has no token for."""

CHAT_TEMPLATE = (
    "{% for m in messages %}<|s|>{{ m.role }}\n{{ m.content }}<|e|>{% endfor %}<|s|>assistant\n"
)
STOP = 1
"""The id of <|e|>."""


def tiny_vocabulary() -> Vocabulary:
    """Two special tokens, every byte but one, and one merge, "qu": else, a token is a byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable]
    letters += [chr(0x100 + i) for i, byte in enumerate(others) if chr(byte) != DROPPED]
    return Vocabulary(("<|s|>", "<|e|>", *letters, "qu"), (0, STOP), (STOP,), CHAT_TEMPLATE)


VOCABULARY_SIZE = 2 + 255 + 1
GEOMETRY = LlamaGeometry(
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=16,
    hidden=64,
    intermediate=96,
    vocabulary=VOCABULARY_SIZE,
    context_length=1024,
    rope_base=10_000.0,
    norm_eps=1e-5,
)
INFO = ModelInfo("tiny", "00", "f32", "cpu", VOCABULARY_SIZE, 1024, frozenset({STOP}))
BYTES_PER_TOKEN = 2 * 2 * 2 * 16 * 4
"""K and V, 2 layers, 2 KV heads, 16 numbers of 4 bytes."""


class RowByRow(LlamaModel):
    """Computes each token by itself, so that no bit depends on how a prompt is divided."""

    def forward(
        self, ids: Sequence[int], slab: Slab, start: int, on_chunk: OnChunk | None = None
    ) -> Tensor:
        for done, token_id in enumerate(ids):
            if on_chunk is not None:
                on_chunk(done)
            logits = super().forward([token_id], slab, start + done)
        return logits


class Scripted(Model):
    """Says the ids of a script, whatever it is asked: the one at position p follows p tokens."""

    def __init__(self, script: Mapping[int, int]) -> None:
        self.info = INFO
        self.kv_shape = KVShape(2, 2, 16, torch.float32)
        self._script = script

    def forward(
        self, ids: Sequence[int], slab: Slab, start: int, on_chunk: OnChunk | None = None
    ) -> Tensor:
        logits = torch.zeros(VOCABULARY_SIZE)
        logits[self._script[start + len(ids)]] = 1.0
        return logits


@cache
def tiny_tensors() -> dict[str, Tensor]:
    g = GEOMETRY
    dice = torch.Generator().manual_seed(7)

    def some(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=dice) * 0.2

    tensors = {"embedding": some(g.vocabulary, g.hidden), "final_norm": 1 + some(g.hidden)}
    width = g.head_dim * (g.heads + 2 * g.kv_heads)
    for i in range(g.layers):
        tensors |= {
            f"layers.{i}.attention_norm": 1 + some(g.hidden),
            f"layers.{i}.qkv": some(width, g.hidden),
            f"layers.{i}.attention_out": some(g.hidden, g.heads * g.head_dim),
            f"layers.{i}.mlp_norm": 1 + some(g.hidden),
            f"layers.{i}.gate_up": some(2 * g.intermediate, g.hidden),
            f"layers.{i}.down": some(g.hidden, g.intermediate),
        }
    return tensors


def tiny_model(kind: Callable[..., LlamaModel] = LlamaModel, info: ModelInfo = INFO) -> LlamaModel:
    return kind(GEOMETRY, tiny_tensors(), info)


def tiny_cache(block_size: int = 1, budget_tokens: int | None = None) -> RadixCache:
    budget = None if budget_tokens is None else budget_tokens * BYTES_PER_TOKEN
    return RadixCache(block_size, bytes_per_token=BYTES_PER_TOKEN, budget_bytes=budget)


def tiny_engine(
    cache: PrefixCache | None = None,
    model: Model | None = None,
    max_prompt_tokens: int = 600,
    max_new_tokens: int = 64,
) -> Engine:
    """Each call makes one that shares nothing but the weights with any other."""
    return Engine(
        model or tiny_model(),
        VocabularyTokenizer(tiny_vocabulary()),
        cache or tiny_cache(),
        max_prompt_tokens=max_prompt_tokens,
        max_new_tokens=max_new_tokens,
    )
