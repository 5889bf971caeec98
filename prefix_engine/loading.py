"""Put an engine together: weights, model, tokenizer, cache."""

from __future__ import annotations

from collections.abc import Callable

from safetensors import safe_open

from prefix_engine.cache.radix import RadixCache
from prefix_engine.engine import Engine
from prefix_engine.model.base import Model
from prefix_engine.model.geometry import LlamaGeometry
from prefix_engine.model.hub import load_hub_model
from prefix_engine.model.info import ModelInfo
from prefix_engine.model.llama import LlamaModel
from prefix_engine.model.precision import choose_precision
from prefix_engine.model.weights import LocalWeights, ensure_weights
from prefix_engine.settings import Settings
from prefix_engine.tokenizer import Tokenizer, VocabularyTokenizer
from prefix_engine.vocabulary import Vocabulary

OnProgress = Callable[[str, float], None]
"""Hears what is being done and which part of that is done, 0 to 1."""


def load_engine(
    settings: Settings, block_size: int = 1, on_progress: OnProgress | None = None
) -> Engine:
    """The engine that the settings ask for, its cache empty.

    Raises `WeightsUnavailable` or `ModelRefused`, with what to do; what `on_progress` raises stops
    it and leaves nothing half done.
    """
    model, tokenizer = load_model(settings, on_progress)
    cache = RadixCache(
        block_size,
        bytes_per_token=model.kv_shape.bytes_per_token,
        budget_bytes=settings.kv_budget_bytes,
    )
    return Engine(model, tokenizer, cache, max_prompt_tokens=settings.max_prompt_tokens)


def load_model(
    settings: Settings, on_progress: OnProgress | None = None
) -> tuple[Model, Tokenizer]:
    """The model and its tokenizer; the built-in model is fetched and converted if need be."""
    if settings.model is not None:
        return load_hub_model(settings.model, settings.device)
    weights = ensure_weights(choose_precision().chosen, on_progress)
    vocabulary = Vocabulary.read(weights.vocabulary)
    return read_llama(weights, vocabulary), VocabularyTokenizer(vocabulary)


def read_llama(weights: LocalWeights, vocabulary: Vocabulary) -> LlamaModel:
    """The lean model over its memory-mapped weights: pages are read as they are first used."""
    with safe_open(weights.safetensors, framework="pt") as file:
        geometry = LlamaGeometry.from_metadata(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    info = ModelInfo(
        label=weights.label,
        weights_sha256=weights.gguf_sha256,
        precision=weights.precision,
        device="cpu",
        vocabulary=geometry.vocabulary,
        max_tokens=geometry.context_length,
        stop_ids=frozenset(vocabulary.stop_ids),
    )
    return LlamaModel(geometry, tensors, info)
