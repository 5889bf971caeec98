from __future__ import annotations

from dataclasses import replace

import pytest

from prefix_engine.record import Run
from ui.presets import load_presets, preset_prompts
from ui.recorded import recorded_run
from ui.report import html_report

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def recorded() -> Run:
    run = recorded_run(*preset_prompts(load_presets()[0]))
    assert run is not None
    return run


def test_it_asks_for_nothing_outside_itself(recorded: Run) -> None:
    report = html_report(recorded, recorded=True)
    head = report[: report.index("</head>")]
    assert "src=" not in head and "<link" not in head
    assert 'src="http' not in report


def test_it_has_the_figures_and_where_they_come_from(recorded: Run) -> None:
    report = html_report(recorded, recorded=True)
    assert "Recorded on" in report
    assert f"{recorded.kv_bytes_reused:,} B" in report
    assert recorded.model.weights_sha256 in report
    assert recorded.speed.sentence in report
    assert "Recorded on" not in html_report(recorded, recorded=False)


def test_what_a_model_or_a_person_wrote_stays_text(recorded: Run) -> None:
    replies = tuple(replace(reply, text=HOSTILE) for reply in recorded.replies)
    comparison = replace(recorded.comparison, a=replace(recorded.comparison.a, text=HOSTILE))
    report = html_report(replace(recorded, replies=replies, comparison=comparison), recorded=False)
    assert HOSTILE not in report
    assert "&lt;script&gt;alert(1)" in report


def test_a_run_without_trials_is_reported_too(recorded: Run) -> None:
    bare = replace(recorded, trials=(), exact=None, replies=())
    assert recorded.verdict.sentence.split('"')[0] in html_report(bare, recorded=False)
