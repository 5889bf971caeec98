"""What "One user, many users" opens with."""

from __future__ import annotations

from prefix_engine.engine import Engine
from prefix_engine.lessons.crowd import measure_crowd
from prefix_engine.measured import stamp, to_json
from ui.lessons.crowd import ROUNDS, USERS, load_material


def make(engine: Engine) -> str:
    """The page's own defaults, measured, as JSON."""
    return to_json(stamp(engine, measure_crowd(engine, load_material(), USERS, ROUNDS)))
