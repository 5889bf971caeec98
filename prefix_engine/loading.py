"""Put an engine together: weights, model, tokenizer, cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

from safetensors import safe_open
from torch import Tensor

from prefix_engine.cache.radix import RadixCache
from prefix_engine.compute import compute
from prefix_engine.engine import Engine
from prefix_engine.errors import PromptTooLong
from prefix_engine.model.base import Model
from prefix_engine.model.exactness import keeps_bits
from prefix_engine.model.geometry import LlamaGeometry
from prefix_engine.model.hub import load_hub_model
from prefix_engine.model.info import ModelInfo, Precision
from prefix_engine.model.linear import best_linear, int8_for_few_rows, plain_linear
from prefix_engine.model.llama import FRAME, LlamaModel
from prefix_engine.model.precision import DTYPES, choose_precision
from prefix_engine.model.weights import LocalWeights, ensure_weights
from prefix_engine.settings import Settings
from prefix_engine.tokenizer import Tokenizer, VocabularyTokenizer
from prefix_engine.unloaded import IN_A_ROW
from prefix_engine.vocabulary import Vocabulary

OnProgress = Callable[[str, float], None]
"""Hears what is being done and which part of that is done, 0 to 1."""

CALIBRATED_TOKENS = (1, 8, 64)
"""Lengths of the prefills that tell what an undisturbed machine gives; 2 s in all on two cores."""
CALIBRATION_S = 4.0
"""With a large or slow model it ends after so long; what is missing is learned from visitors."""


def load_engine(
    settings: Settings, block_size: int = 1, on_progress: OnProgress | None = None
) -> Engine:
    """The engine that the settings ask for, its cache empty. In the strict mode a block is a frame.

    Raises `WeightsUnavailable` or `ModelRefused`, with what to do; what `on_progress` raises stops
    it and leaves nothing half done.
    """
    model, tokenizer = load_model(settings, on_progress)
    bytes_per_token = model.kv_shape.bytes_per_token
    cache = RadixCache(
        FRAME if settings.strict else block_size,
        bytes_per_token=bytes_per_token,
        budget_bytes=settings.kv_budget_bytes,
        namespace_bytes=settings.kv_budget_each_bytes,
    )
    kv_bytes = min(settings.kv_budget_bytes, settings.kv_budget_each_bytes)
    engine = Engine(
        model,
        tokenizer,
        cache,
        # what could not be stored is refused as too long, with the limit, and not run in vain
        max_prompt_tokens=min(settings.max_prompt_tokens, kv_bytes // bytes_per_token),
        max_trials=settings.max_trials,
    )
    _calibrate(engine, on_progress)
    return engine


def _calibrate(engine: Engine, on_progress: OnProgress | None) -> None:
    """Let the engine learn, before anybody uses it, what prefills get from this machine."""
    end_s = time.monotonic() + CALIBRATION_S
    planned = [tokens for tokens in CALIBRATED_TOKENS for _ in range(IN_A_ROW)]
    with suppress(PromptTooLong):  # no prompt of anybody's is as long, then
        for number, tokens in enumerate(planned):
            if time.monotonic() >= end_s:
                return
            if on_progress is not None:
                on_progress("Measuring what this machine gives", number / len(planned))
            engine.prefill("a" + " a" * (tokens - 1), read=False, store=False)


def load_model(
    settings: Settings, on_progress: OnProgress | None = None
) -> tuple[Model, Tokenizer]:
    """The model and its tokenizer; the built-in model is fetched and converted if need be."""
    if settings.model is not None:
        return load_hub_model(settings.model, settings.device)
    weights = ensure_weights(on_progress)
    vocabulary = Vocabulary.read(weights.vocabulary)
    precision = compute(partial(choose_precision, settings.precision)).chosen
    read = partial(read_llama, weights, vocabulary, precision, settings.strict, settings.fast)
    model = compute(read)
    return model, VocabularyTokenizer(vocabulary)


class MappedTensors(Mapping[str, Tensor]):
    """The tensors of a safetensors file, each in a memory map of its own: pages are read as they
    are first used, and leave memory with the last reference to their tensor."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with safe_open(path, framework="pt") as file:
            self.metadata: dict[str, str] = file.metadata()
            self._names = tuple(file.keys())

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        with safe_open(self._path, framework="pt") as file:
            return cast(Tensor, file.get_tensor(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def read_llama(
    weights: LocalWeights,
    vocabulary: Vocabulary,
    precision: Precision,
    strict: bool = False,
    fast: bool = False,
) -> LlamaModel:
    """The lean model, computing in `precision`; in its `info.exact` is what it can promise of a hit
    on this machine."""
    tensors = MappedTensors(weights.safetensors)
    geometry = LlamaGeometry.from_metadata(tensors.metadata)
    info = ModelInfo(
        label=weights.label,
        weights_sha256=weights.gguf_sha256,
        precision=precision,
        device="cpu",
        vocabulary=geometry.vocabulary,
        max_tokens=geometry.context_length,
        stop_ids=frozenset(vocabulary.stop_ids),
    )
    dtype = DTYPES[precision]
    linear, output = best_linear(dtype), plain_linear(dtype)
    if fast:
        info = replace(info, exact="fast")
        linear, output = int8_for_few_rows(linear), int8_for_few_rows(output)
        return LlamaModel(geometry, tensors, info, dtype, linear, output)
    model = LlamaModel(geometry, tensors, info, dtype, linear, output, strict)
    if keeps_bits(model):
        model.info = replace(info, exact="frames" if strict else "bits")
    return model
