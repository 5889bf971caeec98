"""A model's files: found in a folder or fetched from the hub, refused early if they can't be used.

A model is refused on the strength of its config, before its weights are fetched. What a config
doesn't tell, a trial run finds out (`hub.py`). Only safetensors are ever read, since other formats
are programs that run when they are opened; for the same reason no code that comes with a model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefix_engine.errors import ModelRefused

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
FETCHED = (
    "*.json",  # config, tokenizer, index of the weights
    "*.jinja",
    "tokenizer.model",
    "merges.txt",
    "vocab.txt",
    WEIGHTS,
    "model-?????-of-?????.safetensors",
)

LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
"""Under which names configs say how many positions there are."""


@dataclass(frozen=True)
class HubFiles:
    """Where a usable model lies, under what name it is shown, and its longest prompt."""

    label: str
    folder: Path
    weights: tuple[Path, ...]
    max_tokens: int

    def weights_sha256(self) -> str:
        """Of the one file of weights; of several, that of their hashes in the order of names."""
        hashes = [_sha256(path) for path in self.weights]
        if len(hashes) == 1:
            return hashes[0]
        return hashlib.sha256("".join(hashes).encode()).hexdigest()


def find_files(model_id: str) -> HubFiles:
    """The files of a model, by local folder or hub id; fetched to the hub's cache if need be.

    Raises `ModelRefused` with the reason if there is no such model or it can't be served.
    """
    folder = Path(model_id).expanduser()
    local = folder.is_dir()
    if not local:
        folder = _fetch(model_id, ("config.json",))
    config = read_config(folder, model_id)
    reason = why_refused(config)
    if reason:
        raise ModelRefused(f"{model_id} can't be served: {reason}.")
    limit = max_tokens(config, model_id)
    if not local:
        folder = _fetch(model_id, FETCHED)
    label = folder.resolve().name if local else model_id
    return HubFiles(label, folder, tuple(_weights(folder, model_id)), limit)


def read_config(folder: Path, model_id: str) -> Any:
    """The model's config as transformers reads it, without running code that comes with it."""
    from transformers import AutoConfig

    if not (folder / "config.json").is_file():
        raise ModelRefused(f"{model_id} has no config.json: it is not a model for transformers.")
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        stated = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if "auto_map" in stated:
            raise ModelRefused(
                f"{model_id} needs code of its own to run, and none but transformers' is run here."
            ) from error
        kind = stated.get("model_type")
        raise ModelRefused(
            f"{model_id} has a config of type {kind!r} that this transformers can't read."
        ) from error


def why_refused(config: Any) -> str | None:
    """What a config says against serving its model through a prefix cache; None if nothing."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

    kind = config.model_type
    if config.is_encoder_decoder:
        return "it is an encoder-decoder, and a prefix cache is for models that only decode"
    if getattr(config, "add_cross_attention", False):
        return "it has cross attention to something that is not in the prompt"
    if kind not in CAUSAL or not _writes_text(config):
        return f"it is no causal language model (type {kind!r}, {config.architectures})"
    if config.get_text_config(decoder=True) is not config:
        return f"it takes more than text (type {kind!r}), and only text models are served"
    if getattr(config, "quantization_config", None):
        return "its weights are quantised, which takes more packages: use the unquantised model"
    return _why_not_full_attention(config)


def _why_not_full_attention(config: Any) -> str | None:
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

    layers = getattr(config, "layer_types", None)
    others = sorted(set(layers or ()) - {"full_attention"})
    if others:
        return f"not all its layers have full attention, there are {', '.join(others)} layers too"
    if getattr(transformers, CAUSAL[config.model_type])._is_stateful:
        return "it has state layers, whose state can't be cut at a token as keys and values can"
    window = getattr(config, "sliding_window", None)
    # where the kind of each layer is stated, a window's size alone means nothing
    if window is not None and not layers:
        return f"it has a sliding window of {window} tokens, so its attention is not full"
    if "local" in getattr(config, "attention_layers", ()):
        return f"it has local attention, to {config.window_size} tokens, in some layers"
    if getattr(config, "kv_lora_rank", None):
        return "it has latent attention (MLA), whose keys and values have different shapes"
    return None


def max_tokens(config: Any, model_id: str) -> int:
    """How many tokens the model can take, and every one of them with the same keys and values
    however many follow: some rotary embeddings turn all positions differently in long prompts."""
    limits: list[int | None] = [getattr(config, name, None) for name in LIMITS]
    rotary = getattr(config, "rope_parameters", None) or {}
    if rotary.get("rope_type") in ("dynamic", "longrope"):
        limits.append(rotary.get("original_max_position_embeddings"))
    known = [limit for limit in limits if limit and limit > 0]
    if not known:
        raise ModelRefused(f"{model_id} can't be served: its config doesn't limit its positions.")
    return min(known)


def _writes_text(config: Any) -> bool:
    names = config.architectures
    return not names or any("CausalLM" in name or "LMHead" in name for name in names)


def _fetch(model_id: str, patterns: tuple[str, ...]) -> Path:
    """A folder with those of a hub model's files that match; the hub's cache serves offline."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
    )

    try:
        return Path(snapshot_download(model_id, allow_patterns=list(patterns)))
    except HFValidationError as error:
        reason = "there is no such folder, and a hub id looks like owner/name"
        raise ModelRefused(f"{model_id} can't be found: {reason}.") from error
    except GatedRepoError as error:
        reason = "its owner grants access on request: ask there, then set HF_TOKEN"
        raise ModelRefused(f"{model_id} can't be fetched: {reason}.") from error
    except RepositoryNotFoundError as error:
        reason = "there is no such folder here, and no such public model on the hub"
        raise ModelRefused(f"{model_id} can't be found: {reason}.") from error
    except Exception as error:  # as many kinds as ways in which a network can fail
        reason = (
            "there is no such folder here, it is not in the hub's cache, and the hub can't be "
            "reached. Check the name and the network, or give a local folder with its files"
        )
        raise ModelRefused(f"{model_id} can't be fetched: {reason}.") from error


def _weights(folder: Path, model_id: str) -> Iterator[Path]:
    names = [WEIGHTS]
    if (index := folder / INDEX).is_file():
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        names = sorted(set(shards))
    for name in names:
        if not (folder / name).is_file():
            raise ModelRefused(
                f"{model_id} has no {name}. Only safetensors are loaded: pickled weights "
                "(pytorch_model.bin) could run any code."
            )
        yield folder / name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
