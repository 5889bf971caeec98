from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.peers.stock import stock_network
from prefix_engine.model.base import CHUNK_ROWS, Slab
from prefix_engine.model.geometry import LlamaGeometry
from prefix_engine.model.info import ModelInfo, Precision
from prefix_engine.model.llama import LlamaModel
from prefix_engine.model.weights import LocalWeights
from prefix_engine.tokenizer import VocabularyTokenizer

VOCABULARY, POSITIONS, LENGTH = 97, 650, 40
HEADS = {"a KV head for each query head": (3, 3), "three query heads share a KV head": (6, 2)}


def some_ids(count: int) -> list[int]:
    return [(i * i + 3 * i) % VOCABULARY for i in range(count)]


def config_of(geometry: LlamaGeometry) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=geometry.vocabulary,
        hidden_size=geometry.hidden,
        intermediate_size=geometry.intermediate,
        num_hidden_layers=geometry.layers,
        num_attention_heads=geometry.heads,
        num_key_value_heads=geometry.kv_heads,
        head_dim=geometry.head_dim,
        max_position_embeddings=geometry.context_length,
        rms_norm_eps=geometry.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": geometry.rope_base},
        tie_word_embeddings=True,
        # large enough for attention to matter: with 0.02 every position is much like another
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=None,
    )


def fused(network: Any, geometry: LlamaGeometry) -> dict[str, Tensor]:
    """The weights of transformers' model in the layout of the converted file."""
    weights = {name.removeprefix("model."): value for name, value in network.state_dict().items()}
    tensors = {"embedding": weights["embed_tokens.weight"], "final_norm": weights["norm.weight"]}
    for i in range(geometry.layers):
        attention, mlp = f"layers.{i}.self_attn", f"layers.{i}.mlp"
        query = weights[f"{attention}.q_proj.weight"] * geometry.head_dim**-0.5
        key_value = [weights[f"{attention}.{name}_proj.weight"] for name in "kv"]
        gate_up = [weights[f"{mlp}.{name}_proj.weight"] for name in ("gate", "up")]
        tensors |= {
            f"layers.{i}.attention_norm": weights[f"layers.{i}.input_layernorm.weight"],
            f"layers.{i}.qkv": torch.cat([query, *key_value]),
            f"layers.{i}.attention_out": weights[f"{attention}.o_proj.weight"],
            f"layers.{i}.mlp_norm": weights[f"layers.{i}.post_attention_layernorm.weight"],
            f"layers.{i}.gate_up": torch.cat(gate_up),
            f"layers.{i}.down": weights[f"{mlp}.down_proj.weight"],
        }
    return tensors


@dataclass(frozen=True)
class Pair:
    """The lean model, and transformers' with the same weights."""

    lean: LlamaModel
    oracle: Any

    def uncached(self, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Logits after the last token, and KV [2, layers, kv_heads, tokens, head_dim]."""
        with torch.inference_mode():
            output = self.oracle(torch.tensor([ids]), logits_to_keep=1)
        layers = output.past_key_values.layers
        kv = torch.stack([torch.cat((layer.keys, layer.values)) for layer in layers], dim=1)
        return output.logits[0, -1].float(), kv

    def in_parts(self, ids: Sequence[int], *cuts: int) -> tuple[Tensor, Tensor]:
        """The same by the lean model, one call for each part."""
        slab, start = self.lean.new_slab(len(ids)), 0
        for end in (*cuts, len(ids)):
            logits = self.lean.forward(ids[start:end], slab, start)
            start = end
        return logits, slab.kv


def make_pair(heads: int, kv_heads: int, dtype: torch.dtype = torch.float32) -> Pair:
    geometry = LlamaGeometry(
        layers=3,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=16,
        hidden=heads * 16,
        intermediate=80,
        vocabulary=VOCABULARY,
        context_length=POSITIONS,
        rope_base=5_000.0,
        norm_eps=1e-5,
    )
    torch.manual_seed(0)
    oracle: Any = LlamaForCausalLM(config_of(geometry))
    for name, weight in oracle.named_parameters():
        if "norm" in name:  # which are all ones at first
            torch.nn.init.uniform_(weight, 0.5, 1.5)
    oracle = oracle.to(dtype)
    info = ModelInfo("small", "", "f32", "cpu", VOCABULARY, POSITIONS, frozenset())
    return Pair(LlamaModel(geometry, fused(oracle, geometry), info, dtype), oracle)


@pytest.fixture(scope="module", params=HEADS, ids=str)
def pair(request: pytest.FixtureRequest) -> Pair:
    return make_pair(*HEADS[request.param])


def assert_same(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("length", [1, 2, 7, 255, 256, 257, 600])
def test_a_whole_prompt_is_computed_as_transformers_does(pair: Pair, length: int) -> None:
    ids = some_ids(length)
    assert_same(pair.in_parts(ids), pair.uncached(ids))


@pytest.mark.parametrize("cut", range(1, LENGTH))
def test_after_a_prefix_nothing_is_different(pair: Pair, cut: int) -> None:
    ids = some_ids(LENGTH)
    assert_same(pair.in_parts(ids, cut), pair.uncached(ids))


@pytest.mark.parametrize(
    "cuts",
    [(255,), (256,), (257,), (1,), (599,), (255, 256, 257), (300, 301), (88, 344)],
    ids=str,
)
def test_chunks_and_prefixes_may_be_cut_anywhere(pair: Pair, cuts: tuple[int, ...]) -> None:
    ids = some_ids(600)
    assert_same(pair.in_parts(ids, *cuts), pair.uncached(ids))


def test_on_chunk_is_called_before_each_chunk_with_the_rows_done(pair: Pair) -> None:
    slab, start, told = pair.lean.new_slab(POSITIONS), 10, []

    def on_chunk(rows: int) -> None:
        told.append((rows, written_rows(slab)))

    pair.lean.forward(some_ids(start), slab, 0)
    pair.lean.forward(some_ids(600), slab, start, on_chunk)
    assert told == [(rows, start + rows) for rows in range(0, 600, CHUNK_ROWS)]


def written_rows(slab: Slab) -> int:
    return int(slab.kv[0, 0, 0].any(dim=-1).sum())


@pytest.mark.parametrize("stop_at", [0, CHUNK_ROWS])
def test_what_on_chunk_raises_passes_through(pair: Pair, stop_at: int) -> None:
    slab = pair.lean.new_slab(600)

    def on_chunk(rows: int) -> None:
        if rows == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pair.lean.forward(some_ids(600), slab, 0, on_chunk)
    assert written_rows(slab) == stop_at


@pytest.mark.parametrize("rows", [1, 5, 300])
def test_rows_beyond_the_end_are_not_read(pair: Pair, rows: int) -> None:
    prefix, ids = some_ids(20), some_ids(rows)
    logits = []
    for litter in (0.0, 1e30, -1e30):
        slab = pair.lean.new_slab(400)
        slab.kv.fill_(litter)
        pair.lean.forward(prefix, slab, 0)
        logits.append(pair.lean.forward(ids, slab, 20))
    assert torch.equal(logits[0], logits[1]) and torch.equal(logits[0], logits[2])


def test_only_the_rows_of_the_given_tokens_are_written(pair: Pair) -> None:
    slab = pair.lean.new_slab(64)
    slab.kv.fill_(3.0)
    pair.lean.forward(some_ids(20), slab, 0)
    before = slab.kv.clone()
    pair.lean.forward(some_ids(10), slab, 20)
    changed = (slab.kv != before).any(dim=-1)
    assert changed[..., 20:30].all() and not changed[..., :20].any() and not changed[..., 30:].any()


def test_logits_are_float32_and_one_for_each_token_of_the_vocabulary(pair: Pair) -> None:
    logits, _ = pair.in_parts(some_ids(5))
    assert (logits.shape, logits.dtype) == ((VOCABULARY,), torch.float32)


@pytest.mark.parametrize("cuts", [(), (1,), (30,), (LENGTH - 1,)], ids=str)
@pytest.mark.parametrize("heads", HEADS)
def test_bf16_rounds_about_as_much_as_transformers(heads: str, cuts: tuple[int, ...]) -> None:
    pair, ids = make_pair(*HEADS[heads], torch.bfloat16), some_ids(LENGTH)
    found, rounded = pair.in_parts(ids, *cuts), pair.uncached(ids)
    assert (found[0].dtype, found[1].dtype) == (torch.float32, torch.bfloat16)
    exact = Pair(pair.lean, pair.oracle.float()).uncached(ids)
    for mine, theirs, truth in zip(found, rounded, exact, strict=True):
        assert 0 < (mine - truth).norm() < 2 * (theirs - truth).norm()


PROMPT = (
    "You are a travel assistant. Answer in one short paragraph, name the temperature, and end with "
    "a question.\n\nUser: Weather in SF today? What should I wear?\nAssistant: In San Francisco"
)


@pytest.mark.parametrize("cut", [None, 1, 20, -1])
def test_the_built_in_model_computes_as_transformers_does(
    model: LlamaModel,
    local_weights: LocalWeights,
    tokenizer: VocabularyTokenizer,
    cut: int | None,
) -> None:
    pair, ids = (
        Pair(model, oracle_of(local_weights, model.info.precision)),
        tokenizer.encode(PROMPT),
    )
    found = pair.in_parts(ids, *([] if cut is None else [cut % len(ids)]))
    tolerance = 1e-4 if model.kv_shape.dtype == torch.float32 else 0.03
    for mine, theirs in zip(found, pair.uncached(ids), strict=True):
        assert (mine - theirs).norm() < tolerance * theirs.norm()
    assert found[0].argmax() == tokenizer.encode(",")[0]


@cache
def oracle_of(weights: LocalWeights, precision: Precision) -> Any:
    return stock_network(weights.safetensors, precision)


STRICT_CUTS = [(1,), (63,), (64,), (65,), (64, 128), (10, 11, 12, 100)]


@pytest.mark.parametrize("cuts", STRICT_CUTS, ids=str)
def test_in_the_strict_mode_no_bit_depends_on_the_cuts(pair: Pair, cuts: tuple[int, ...]) -> None:
    strict = Pair(strictly(pair), pair.oracle)
    whole, parts = strict.in_parts(some_ids(150)), strict.in_parts(some_ids(150), *cuts)
    assert all(map(torch.equal, parts, whole))
    assert_same(whole, pair.uncached(some_ids(150)))


def test_the_strict_mode_writes_only_the_rows_of_the_given_tokens(pair: Pair) -> None:
    slab = pair.lean.new_slab(200)
    slab.kv.fill_(3.0)
    strictly(pair).forward(some_ids(10), slab, 70)
    changed = (slab.kv != 3.0).any(dim=-1)
    assert changed[..., 70:80].all() and not changed[..., :70].any() and not changed[..., 80:].any()


def test_the_strict_mode_computes_frame_by_frame(pair: Pair) -> None:
    told: list[int] = []
    strictly(pair).forward(some_ids(150), pair.lean.new_slab(200), 50, told.append)
    assert told == [0, 14, 78, 142]


def test_the_strict_mode_reaches_the_last_position(pair: Pair) -> None:
    strict = strictly(pair)
    assert len(strict.forward([1], strict.new_slab(POSITIONS), POSITIONS - 1)) == VOCABULARY


def strictly(pair: Pair) -> LlamaModel:
    geometry = pair.lean.geometry
    return LlamaModel(geometry, fused(pair.oracle, geometry), pair.lean.info, strict=True)
