from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from prefix_engine.record import Run
from prefix_engine.speed import Arm, Trial
from prefix_engine.stopwatch import Timing
from ui.charts import stage_chart, ttft_chart
from ui.presets import load_presets, preset_prompts
from ui.recorded import recorded_run


def trial(number: int, arm: Arm, ms: float, share: float = 2.0) -> Trial:
    stages = dict.fromkeys(("tokenize", "lookup", "load", "pick"), 0.0)
    timing = Timing(ms / 1e3, share * ms / 1e3, {**stages, "prefill": ms / 2e3}, 2.0)
    return Trial(number, arm, 0, timing)


@pytest.fixture
def run() -> Run:
    """Hits of 10, 20 and 40 ms, one of 90 that was disturbed, and a discarded one of 500."""
    found = recorded_run(*preset_prompts(load_presets()[0]))
    assert found is not None
    hits = [trial(0, Arm.HIT, 500), *(trial(1, Arm.HIT, ms) for ms in (10, 20, 40))]
    others = [trial(1, Arm.COLD, 100), trial(1, Arm.CONTROL, 110)]
    return replace(found, trials=(*hits, trial(1, Arm.HIT, 90, share=0.5), *others))


def marks(run: Run, arm: Arm, symbol: str) -> list[float]:
    traces: Any = ttft_chart(run).figure.data
    drawn = [t for t in traces if t.marker.symbol == symbol and arm.value in (t.y or ())]
    return [x for trace in drawn for x in trace.x]


def test_every_trial_that_counts_is_a_dot_in_milliseconds(run: Run) -> None:
    assert marks(run, Arm.HIT, "circle") == pytest.approx([10, 20, 40])
    assert marks(run, Arm.COLD, "circle") == pytest.approx([100])


def test_a_disturbed_trial_is_drawn_as_a_cross(run: Run) -> None:
    assert marks(run, Arm.HIT, "x-thin-open") == pytest.approx([90])
    assert marks(run, Arm.COLD, "x-thin-open") == []


def test_an_arm_that_was_disturbed_throughout_has_no_figures(run: Run) -> None:
    slow = tuple(trial(n, arm, 90, share=0.5) for n in (1, 2) for arm in (Arm.COLD, Arm.HIT))
    control = trial(1, Arm.CONTROL, 110)
    busy = replace(run, trials=(*slow, control))
    assert marks(busy, Arm.HIT, "x-thin-open") == pytest.approx([90, 90])
    assert marks(busy, Arm.HIT, "line-ns-open") == []
    stages = stage_chart(busy)
    assert "hit: no undisturbed trial" in stages.alt and "control: prefill takes" in stages.alt
    assert set(stages.table["hit"]) == {"–"} and "–" not in set(stages.table["control"])


def test_the_bar_is_the_median_of_the_dots(run: Run) -> None:
    assert marks(run, Arm.HIT, "line-ns-open") == pytest.approx([20])


def test_the_text_and_the_table_say_the_same(run: Run) -> None:
    chart = ttft_chart(run)
    assert "hit: 20.0 ms over 3 trials" in chart.alt
    hits = chart.table[chart.table["arm"] == "hit"]
    assert list(hits["TTFT"]) == ["500 ms", "10.0 ms", "20.0 ms", "40.0 ms", "90.0 ms"]
    assert list(hits.index) == ["discarded", "1", "1", "1", "1"]
    assert list(hits["disturbed"]) == ["no"] * 4 + ["yes, left out"]


def test_stages_are_medians_and_what_they_leave_is_other(run: Run) -> None:
    bars: Any = {
        bar.name: dict(zip(bar.y, bar.x, strict=True)) for bar in stage_chart(run).figure.data
    }
    assert bars["prefill"]["hit"] == pytest.approx(10)
    assert bars["other"]["hit"] == pytest.approx(10)
    assert bars["lookup"]["hit"] == 0
