"""The sizes of a Llama-shaped model, as they travel in the metadata of its converted weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class LlamaGeometry:
    """Numbers that fix the shape and the arithmetic of a Llama forward pass.

    `heads` query heads share `kv_heads` key and value heads, each of `head_dim` numbers; `hidden`
    is the width of the residual stream, `intermediate` that of the gated MLP; `vocabulary` and
    `context_length` count tokens; rotary positions start from `rope_base`.
    """

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    intermediate: int
    vocabulary: int
    context_length: int
    rope_base: float
    norm_eps: float

    def to_metadata(self) -> dict[str, str]:
        """As strings: safetensors metadata holds nothing else. Floats keep every bit."""
        return {name: repr(value) for name, value in asdict(self).items()}

    @staticmethod
    def from_metadata(metadata: Mapping[str, str]) -> LlamaGeometry:
        """What `to_metadata` wrote; other keys are left alone. KeyError if one is missing."""
        return LlamaGeometry(
            layers=int(metadata["layers"]),
            heads=int(metadata["heads"]),
            kv_heads=int(metadata["kv_heads"]),
            head_dim=int(metadata["head_dim"]),
            hidden=int(metadata["hidden"]),
            intermediate=int(metadata["intermediate"]),
            vocabulary=int(metadata["vocabulary"]),
            context_length=int(metadata["context_length"]),
            rope_base=float(metadata["rope_base"]),
            norm_eps=float(metadata["norm_eps"]),
        )
