"""The token counts that the page "The bill" opens its texts with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefix_engine.lessons.token_count import Counted, count_tokens
from prefix_engine.measured import stamp, to_json
from ui.presets import load_presets

if TYPE_CHECKING:
    from prefix_engine.engine import Engine

PRESET = "long-system"


def make(engine: Engine) -> str:
    """The JSON text of the preset's texts, counted by the engine's tokenizer."""
    return to_json(stamp(engine, count(engine)))


def count(engine: Engine) -> Counted:
    preset = next(one for one in load_presets() if one.id == PRESET)
    name = f"the tokenizer of {engine.model.info.label}"
    return count_tokens(engine.tokenizer.encode, name, f"{preset.system}\n\n", preset.a)
