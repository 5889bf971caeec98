"""Stock transformers with the prefix reuse it offers: a `DynamicCache` that is cropped back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from benchmarks.peers.base import Answer, Peer, PeerMissing
from prefix_engine.model.geometry import LlamaGeometry
from prefix_engine.model.info import Precision
from prefix_engine.model.precision import DTYPES

NAME = "transformers"


class StockPeer(Peer):
    """`LlamaForCausalLM` with SDPA attention in the engine's precision, weights in memory.

    The cache is extended in place by a request and cropped afterwards, outside the timing: cheaper
    than the copy of it that transformers' guide makes for each request.
    """

    settings = (NAME,)

    def __init__(self, safetensors: Path, precision: Precision) -> None:
        self._network = stock_network(safetensors, precision)
        self._cache: Any = None
        self._held = 0

    @torch.inference_mode()
    def hold(self, setting: str, ids: Sequence[int]) -> None:
        from transformers import DynamicCache

        self._cache, self._held = DynamicCache(config=self._network.config), len(ids)
        if ids:
            self._network(torch.tensor([ids]), past_key_values=self._cache, logits_to_keep=1)

    @torch.inference_mode()
    def answer(self, setting: str, ids: Sequence[int]) -> Answer:
        if not self._held:
            self.hold(setting, ())
        began = time.perf_counter()
        new = torch.tensor([ids[self._held :]])
        output = self._network(new, past_key_values=self._cache, logits_to_keep=1)
        first_id = int(output.logits[0, -1].argmax())
        seconds = time.perf_counter() - began
        if self._held:
            self._cache.crop(self._held - len(ids))  # negative: so many tokens go
        return Answer(seconds, first_id)


def stock_network(safetensors: Path, precision: Precision) -> Any:
    """transformers' Llama with the weights that `convert.py` wrote, taken apart again.

    Raises `PeerMissing` if transformers can't be imported.
    """
    try:
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError as error:
        raise PeerMissing(f"transformers is not installed ({error})") from error
    dtype = DTYPES[precision]
    with safe_open(safetensors, framework="pt") as file:
        geometry = LlamaGeometry.from_metadata(file.metadata())
        fused = {name: file.get_tensor(name).to(dtype) for name in file.keys()}  # noqa: SIM118
    config = LlamaConfig(
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
        bos_token_id=None,
        eos_token_id=None,
    )
    config._attn_implementation = "sdpa"
    network: Any = LlamaForCausalLM(config)
    network = network.to(dtype).eval()
    weights = unfused(fused, geometry)
    network.load_state_dict(weights | {"lm_head.weight": weights["model.embed_tokens.weight"]})
    return network


def unfused(fused: dict[str, Tensor], geometry: LlamaGeometry) -> dict[str, Tensor]:
    """The converted tensors under the names that transformers has for them."""
    g = geometry
    rows = [heads * g.head_dim for heads in (g.heads, g.kv_heads, g.kv_heads)]
    weights = {"embed_tokens.weight": fused["embedding"], "norm.weight": fused["final_norm"]}
    for layer in (f"layers.{i}" for i in range(g.layers)):
        query, key, value = torch.split(fused[f"{layer}.qkv"], rows)
        gate, up = fused[f"{layer}.gate_up"].chunk(2)
        weights |= {
            f"{layer}.input_layernorm.weight": fused[f"{layer}.attention_norm"],
            f"{layer}.self_attn.q_proj.weight": query * g.head_dim**0.5,
            f"{layer}.self_attn.k_proj.weight": key,
            f"{layer}.self_attn.v_proj.weight": value,
            f"{layer}.self_attn.o_proj.weight": fused[f"{layer}.attention_out"],
            f"{layer}.post_attention_layernorm.weight": fused[f"{layer}.mlp_norm"],
            f"{layer}.mlp.gate_proj.weight": gate,
            f"{layer}.mlp.up_proj.weight": up,
            f"{layer}.mlp.down_proj.weight": fused[f"{layer}.down"],
        }
    return {f"model.{name}": tensor for name, tensor in weights.items()}
