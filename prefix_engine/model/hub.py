"""Any other full-attention causal language model, by hub id or local folder, through transformers.

Only the forward pass is transformers'; keys and values go into our slab (`hub_cache.py`). No config
can be trusted to tell how a model attends, so before a model is served it is tried: a few tokens in
one pass without any cache, and the same tokens piece by piece after their prefix, must give the
same keys, values and logits. That finds masks that ignore the cached prefix, positions counted from
the chunk's start, attention to later tokens, and state outside the slab.

transformers is imported in functions: it takes seconds, and the built-in model needs none of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from prefix_engine.compute import compute
from prefix_engine.errors import ModelRefused
from prefix_engine.hub_tokenizer import HubTokenizer, load_hub_tokenizer
from prefix_engine.model.base import CHUNK_ROWS, KVShape, Model, OnChunk, Slab
from prefix_engine.model.hub_files import HubFiles, find_files
from prefix_engine.model.info import ModelInfo, Precision
from prefix_engine.model.precision import DTYPES, choose_precision

PROBE_PARTS = (6, 4, 1)
"""Rows of the trial run's pieces: after nothing, after a prefix, and a single one."""

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.15}
"""Of the spread of what is compared. Of a real model in bf16, rounding took 0.05 and the mildest of
the faults above 0.45; in f32 rounding takes a millionth."""


class HubModel(Model):
    """A transformers model that passed the trial run."""

    def __init__(self, network: Any, info: ModelInfo) -> None:
        """`network` is a transformers `PreTrainedModel` for causal language modelling.

        Raises `ModelRefused` if it can't go on after a cached prefix, or not as if it hadn't been
        cached.
        """
        self.info = info
        self._network = network
        only_last = "logits_to_keep" in inspect.signature(network.forward).parameters
        self._options = {"logits_to_keep": 1} if only_last else {}
        try:
            compute(self._probe)
        except ModelRefused:
            raise
        except Exception as error:  # whatever other people's code may raise
            raise ModelRefused(
                f"{info.label} can't be run through the prefix cache: {error}"
            ) from error

    @torch.inference_mode()
    def forward(
        self, ids: Sequence[int], slab: Slab, start: int, on_chunk: OnChunk | None = None
    ) -> Tensor:
        from prefix_engine.model.hub_cache import slab_cache

        assert len(ids) > 0 and start + len(ids) <= slab.capacity
        tokens = self._tokens(ids)
        for done in range(0, len(ids), CHUNK_ROWS):
            if on_chunk is not None:
                on_chunk(done)
            chunk = tokens[:, done : done + CHUNK_ROWS]
            cache = slab_cache(slab, start + done)
            step = partial(self._network, chunk, past_key_values=cache, use_cache=True)
            output = compute(partial(step, **self._options))
        return compute(partial(_last_row, output))

    def _tokens(self, ids: Sequence[int]) -> Tensor:
        return torch.tensor([ids], dtype=torch.long, device=self.info.device)

    @torch.inference_mode()
    def _probe(self) -> None:
        """Set `kv_shape`, and compare a run in pieces with one without a cache."""
        rows = sum(PROBE_PARTS)
        ids = [self.info.vocabulary * (i + 1) // (rows + 2) for i in range(rows)]
        whole = self._record_kv(ids)
        self.kv_shape = self._kv_shape(whole)
        slab, start = self.new_slab(rows), 0
        for part in PROBE_PARTS:
            logits = self.forward(ids[start : start + part], slab, start)
            start += part
        uncached = _last_row(self._network(self._tokens(ids), use_cache=False))
        distances = [_distance(logits, uncached)]
        distances += map(_distance, slab.kv.unbind(1), map(torch.cat, whole))
        # NaN is no distance either
        if not all(distance < TOLERANCE[self.kv_shape.dtype] for distance in distances):
            raise ModelRefused(
                f"{self.info.label} can't be served: after a cached prefix it computes something "
                f"else than without a cache (a difference of {max(distances):.1%})."
            )

    def _record_kv(self, ids: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        """What each layer caches: keys and values, [1, kv_heads, rows, head_dim] each."""
        from prefix_engine.model.hub_cache import RecordingCache

        cache = RecordingCache()
        self._network(self._tokens(ids), past_key_values=cache, use_cache=True)
        layers = self._network.config.num_hidden_layers
        if sorted(layer for layer, _, _ in cache.calls) != list(range(layers)):
            raise ModelRefused(
                f"{self.info.label} can't be served: not every one of its {layers} layers keeps "
                "keys and values of its own."
            )
        return [(keys, values) for _, keys, values in sorted(cache.calls, key=itemgetter(0))]

    def _kv_shape(self, whole: Sequence[tuple[Tensor, Tensor]]) -> KVShape:
        kinds = {(tensor.shape, tensor.dtype) for both in whole for tensor in both}
        if len(kinds) > 1:
            shapes = " and ".join(sorted(f"{list(shape)} {dtype}" for shape, dtype in kinds))
            raise ModelRefused(
                f"{self.info.label} can't be served: its keys and values differ in shape or type: "
                f"{shapes}."
            )
        (_, heads, _, head_dim), dtype = kinds.pop()
        return KVShape(len(whole), heads, head_dim, dtype)


def _distance(found: Tensor, expected: Tensor) -> float:
    """How far apart two tensors are, by the spread of the expected one; 1 and more: unrelated."""
    expected = expected.float()
    spread = (expected - expected.mean()).norm()
    return float((found.float() - expected).norm() / spread)


def _last_row(output: Any) -> Tensor:
    """The logits after the last token. Waits for a GPU, so that its time counts as prefill."""
    logits: Tensor = output.logits[0, -1]
    return logits.float().cpu()


def load_hub_model(
    model_id: str, device: str = "cpu", precision: Precision | None = None
) -> tuple[HubModel, HubTokenizer]:
    """The model under a hub id or in a local folder, with its tokenizer.

    `precision` defaults to what is fast: measured on a CPU, bf16 elsewhere. What the hub's cache
    doesn't have is fetched into it. Raises `ModelRefused` with the reason.
    """
    _check_device(device)
    files = find_files(model_id)
    tokenizer = load_hub_tokenizer(files.folder)
    if precision is None:
        on_cpu = torch.device(device).type == "cpu"
        precision = compute(choose_precision).chosen if on_cpu else "bf16"
    network = compute(partial(_load_network, files, device, precision))
    info = ModelInfo(
        label=files.label,
        weights_sha256=files.weights_sha256(),
        precision=precision,
        device=device,
        vocabulary=network.get_input_embeddings().num_embeddings,
        max_tokens=files.max_tokens,
        stop_ids=_stop_ids(network.generation_config),
    )
    return HubModel(network, info), tokenizer


def _check_device(device: str) -> None:
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelRefused(f"There is no device {device!r} here: leave it at cpu.") from error


def _load_network(files: HubFiles, device: str, precision: Precision) -> Any:
    from transformers import AutoModelForCausalLM

    loader: Any = AutoModelForCausalLM  # its types know nothing of loading reports
    try:
        network, report = loader.from_pretrained(
            files.folder,
            dtype=DTYPES[precision],
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:  # whatever other people's code may raise
        raise ModelRefused(f"transformers can't load {files.label}: {error}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        # transformers would fill them with random numbers
        raise ModelRefused(f"The weights of {files.label} are incomplete: {missing[0]} is missing.")
    return network.to(device).eval()


def _stop_ids(generation: Any) -> frozenset[int]:
    stated = generation.eos_token_id if generation is not None else None
    return frozenset([stated] if isinstance(stated, int) else stated or ())
