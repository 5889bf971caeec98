"""The recorded run of the page Inside the cache: its default requests, budget and no pin."""

from __future__ import annotations

from prefix_engine.engine import Engine
from prefix_engine.lessons.growth import grow
from prefix_engine.measured import stamp, to_json
from ui.lessons.sequence import DEFAULT_BUDGET, DEFAULT_REQUESTS


def make(engine: Engine) -> str:
    """The JSON text of the run."""
    return to_json(stamp(engine, grow(engine, DEFAULT_REQUESTS, DEFAULT_BUDGET)))
