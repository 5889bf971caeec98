"""What the operator decides, by environment variable: which model runs, and within what limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from prefix_engine.errors import PrefixEngineError

MIB = 2**20


class BadSetting(PrefixEngineError):
    """A setting has a value that can't be used; the message names it."""


@dataclass(frozen=True)
class Settings:
    """One server's settings.

    `model` (FIRST_DIFFERENCE_MODEL) is None for the built-in one, else a hub id or a local folder;
    `device` (FIRST_DIFFERENCE_DEVICE) is where a model through transformers computes; the limits
    are those of one prompt (FIRST_DIFFERENCE_MAX_PROMPT_TOKENS) and of all stored KV together
    (FIRST_DIFFERENCE_KV_BUDGET_MIB).
    """

    model: str | None = None
    device: str = "cpu"
    max_prompt_tokens: int = 2048
    kv_budget_bytes: int = 256 * MIB

    @staticmethod
    def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
        """Unset and empty variables leave the default. Raises `BadSetting`."""
        return Settings(
            model=environ.get("FIRST_DIFFERENCE_MODEL") or None,
            device=environ.get("FIRST_DIFFERENCE_DEVICE") or "cpu",
            max_prompt_tokens=_positive(environ, "FIRST_DIFFERENCE_MAX_PROMPT_TOKENS", 2048),
            kv_budget_bytes=_positive(environ, "FIRST_DIFFERENCE_KV_BUDGET_MIB", 256) * MIB,
        )


def _positive(environ: Mapping[str, str], name: str, default: int) -> int:
    value = environ.get(name) or str(default)
    if not value.isascii() or not value.isdigit() or int(value) == 0:
        raise BadSetting(f"{name} must be a whole number from 1, not {value!r}.")
    return int(value)
