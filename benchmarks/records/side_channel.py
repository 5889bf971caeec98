"""The recorded run of the page "The side channel"."""

from __future__ import annotations

from prefix_engine.engine import Engine
from prefix_engine.lessons.eavesdrop import open_and_close
from prefix_engine.measured import stamp, to_json
from ui.lessons.side_channel import ROUNDS, load_shop


def make(engine: Engine) -> str:
    """The page's questions, one of them drawn by lot."""
    shop = load_shop()
    return to_json(stamp(engine, open_and_close(engine, shop.system, shop.questions, ROUNDS)))
