"""Which model it is. Apart from `base.py`, so that a recorded run can be shown without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["bf16", "f32"]
Promise = Literal["bits", "frames", "measured", "fast"]


@dataclass(frozen=True)
class ModelInfo:
    """Who is speaking, as shown beside every figure.

    `label` reads "SmolLM2-135M-Instruct (Q4_1 weights)"; `weights_sha256` is that of the file or
    files the weights came from; `precision` is what it computes in; `max_tokens` is the model's own
    limit; `stop_ids` end a reply. `exact` tells what is promised of a hit on this machine: "bits",
    those of a cold run; "frames", the same, by computing whole frames (the strict mode);
    "measured", that each run shows how far it is from one; "fast", as measured, with coarser
    weights for a few tokens.
    """

    label: str
    weights_sha256: str
    precision: Precision
    device: str
    vocabulary: int
    max_tokens: int
    stop_ids: frozenset[int]
    exact: Promise = "measured"
