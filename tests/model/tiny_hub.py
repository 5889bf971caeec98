"""Small models with random weights, saved as they would come from the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

VOCABULARY = 300
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "max_position_embeddings": 640,
    # large enough for attention to matter: with the usual 0.02 every position is much like another
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": 7,
    "pad_token_id": None,
}
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 24, "n_layer": 2, "n_head": 6, "n_positions": 640},
    "llama": {},
    "mistral": {"sliding_window": None, "head_dim": 8},
    "qwen2": {"use_sliding_window": False},
}


def tiny_config(kind: str, **changes: Any) -> Any:
    """A small config of this model type; `changes` to the sizes above."""
    return transformers.AutoConfig.for_model(kind, **{**SIZES, **SHAPES.get(kind, {}), **changes})


def tiny_network(kind: str, **changes: Any) -> Any:
    """A small causal language model of this type, its weights always the same."""
    torch.manual_seed(0)
    factory: Any = transformers.AutoModelForCausalLM
    return factory.from_config(tiny_config(kind, **changes)).eval()


def byte_tokenizer() -> Any:
    """A byte-level tokenizer in which every byte is a token of its own, and nothing else is."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: token_id for token_id, letter in enumerate(letters)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    fast_tokenizer: Any = transformers.PreTrainedTokenizerFast
    return fast_tokenizer(tokenizer_object=backend)


def save_tiny_model(folder: Path, kind: str, **changes: Any) -> Path:
    """The model and the byte tokenizer in a folder, which is returned."""
    tiny_network(kind, **changes).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder
