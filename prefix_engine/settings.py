"""What the operator decides, by environment variable: which model runs, and within what limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from prefix_engine.errors import PrefixEngineError

MIB = 2**20

PRECISION_VARIABLE = "FIRST_DIFFERENCE_PRECISION"
PrecisionWish = Literal["auto", "bf16", "f32"]


class BadSetting(PrefixEngineError):
    """A setting has a value that can't be used; the message names it."""


@dataclass(frozen=True)
class Settings:
    """One server's settings.

    `model` (FIRST_DIFFERENCE_MODEL) is None for the built-in one, else a hub id or a local folder;
    `device` (FIRST_DIFFERENCE_DEVICE) is where a model through transformers computes; the limits
    are those of one prompt (FIRST_DIFFERENCE_MAX_PROMPT_TOKENS), of the trials an arm in one run
    (FIRST_DIFFERENCE_MAX_TRIALS), of all stored KV together (FIRST_DIFFERENCE_KV_BUDGET_MIB) and in
    each namespace (FIRST_DIFFERENCE_KV_BUDGET_EACH_MIB), and of those who wait for their turn
    (FIRST_DIFFERENCE_MAX_WAITING). For the built-in model alone, `precision`
    (FIRST_DIFFERENCE_PRECISION) is bf16, f32, or auto: the faster one here; `strict`
    (FIRST_DIFFERENCE_STRICT: 1) computes whole frames of 64 tokens, so that a hit has the bits of a
    cold run on any processor; `fast` (FIRST_DIFFERENCE_FAST: 1) computes up to 16 tokens with
    eight-bit weights, so that a hit has not. Only one of the two can be had.
    """

    model: str | None = None
    device: str = "cpu"
    max_prompt_tokens: int = 2048
    max_trials: int = 50
    kv_budget_bytes: int = 160 * MIB
    kv_budget_each_bytes: int = 128 * MIB
    max_waiting: int = 100
    precision: PrecisionWish = "auto"
    strict: bool = False
    fast: bool = False

    def __post_init__(self) -> None:
        if self.strict and self.fast:
            raise BadSetting(
                "FIRST_DIFFERENCE_STRICT keeps the bits of a cold run and FIRST_DIFFERENCE_FAST "
                "gives them up: set one of the two, not both."
            )

    @staticmethod
    def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
        """Unset and empty variables leave the default. Raises `BadSetting`."""
        return Settings(
            model=environ.get("FIRST_DIFFERENCE_MODEL") or None,
            device=environ.get("FIRST_DIFFERENCE_DEVICE") or "cpu",
            max_prompt_tokens=_positive(environ, "FIRST_DIFFERENCE_MAX_PROMPT_TOKENS", 2048),
            max_trials=_positive(environ, "FIRST_DIFFERENCE_MAX_TRIALS", 50),
            kv_budget_bytes=_positive(environ, "FIRST_DIFFERENCE_KV_BUDGET_MIB", 160) * MIB,
            kv_budget_each_bytes=_positive(environ, "FIRST_DIFFERENCE_KV_BUDGET_EACH_MIB", 128)
            * MIB,
            max_waiting=_positive(environ, "FIRST_DIFFERENCE_MAX_WAITING", 100),
            precision=_precision(environ),
            strict=_switch(environ, "FIRST_DIFFERENCE_STRICT"),
            fast=_switch(environ, "FIRST_DIFFERENCE_FAST"),
        )


def _positive(environ: Mapping[str, str], name: str, default: int) -> int:
    value = environ.get(name) or str(default)
    if not value.isascii() or not value.isdigit() or int(value) == 0:
        raise BadSetting(f"{name} must be a whole number from 1, not {value!r}.")
    return int(value)


def _precision(environ: Mapping[str, str]) -> PrecisionWish:
    value = environ.get(PRECISION_VARIABLE) or "auto"
    for wish in get_args(PrecisionWish):
        if value == wish:
            return cast(PrecisionWish, wish)
    raise BadSetting(f"{PRECISION_VARIABLE} must be auto, bf16 or f32, not {value!r}.")


def _switch(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name) or "0"
    if value not in ("0", "1"):
        raise BadSetting(f"{name} must be 0 or 1, not {value!r}.")
    return value == "1"
