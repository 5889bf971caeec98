"""What the page "Why it stops" opens with: a run of each pair that it offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefix_engine.lessons.why_it_stops import WhyItStopsRuns, find_out
from prefix_engine.measured import stamp, to_json
from ui.lessons.pair import preset_pairs

if TYPE_CHECKING:
    from prefix_engine.engine import Engine


def make(engine: Engine) -> str:
    """The JSON text of the record."""
    runs = tuple(find_out(engine, pair.a, pair.b) for pair in preset_pairs().values())
    return to_json(stamp(engine, WhyItStopsRuns(runs)))
