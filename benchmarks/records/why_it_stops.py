"""What the page "Why it stops" opens with: the chapter's own pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefix_engine.lessons.why_it_stops import find_out
from prefix_engine.measured import stamp, to_json
from ui.presets import load_presets

if TYPE_CHECKING:
    from prefix_engine.engine import Engine


def make(engine: Engine) -> str:
    """The JSON text of the record."""
    weather = next(preset for preset in load_presets() if preset.id == "weather")
    return to_json(stamp(engine, find_out(engine, weather.a, weather.b)))
