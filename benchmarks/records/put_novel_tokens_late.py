"""What "Put novel tokens late" opens with."""

from __future__ import annotations

from prefix_engine.engine import Engine
from prefix_engine.lessons.ordering import measure_orders
from prefix_engine.measured import stamp, to_json
from ui.lessons.parts import MOVED, ROUNDS, load_parts, opening


def make(engine: Engine) -> str:
    """The page's own defaults, measured, as JSON."""
    return to_json(stamp(engine, measure_orders(engine, load_parts(), opening(), MOVED, ROUNDS)))
