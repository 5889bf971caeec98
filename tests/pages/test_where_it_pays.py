"""Where it pays without a browser: predict, reveal, step, run; the trace and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import prefix_engine.lessons.workloads
from prefix_engine.lessons.sample_trace import sample_trace
from prefix_engine.lessons.served import ServedTrial, Stream
from prefix_engine.lessons.workloads import Turn, Workload, WorkloadRuns
from prefix_engine.measured import from_json
from tests.pages.app import LOADING, button, open_page, words
from tests.tiny_engine import tiny_engine
from ui.recorded import FOLDER

PAGE = Path(__file__).parents[2] / "pages" / "where_it_pays.py"
SMALL = Workload(
    title="Small",
    sends="Three short requests.",
    shared="a short system message",
    grows=True,
    system="Answer *briefly* and <b>kindly</b>.",
    turns=tuple(Turn(name=f"{n} Turn", user=f"Question {n}?", reply="Yes.") for n in (1, 2, 3)),
)

pytestmark = pytest.mark.usefixtures("one_thread")


def opened(monkeypatch: pytest.MonkeyPatch, status: Any) -> AppTest:
    return open_page(monkeypatch, PAGE, status)


def labels(app: AppTest) -> list[str]:
    return [one.label for one in app.button]


def loading(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    return opened(monkeypatch, LOADING)


def test_it_asks_before_it_shows_the_recorded_run(monkeypatch: pytest.MonkeyPatch) -> None:
    app = loading(monkeypatch)
    assert not app.exception
    assert button(app, "Run it here").disabled
    assert "Hit rate so far" not in words(app) and len(app.metric) == 0
    button(app, "Show without guessing").click().run()
    assert not app.exception
    assert "Request 2 of 5 sends" in words(app)
    assert "Recorded on" in words(app)
    assert "Your prediction" not in words(app)


def test_limits_and_export_are_there_from_the_first_figure_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = loading(monkeypatch)
    assert "One small model on one processor" not in words(app)
    button(app, "Show without guessing").click().run()
    assert "Request 2 of 5 sends" in words(app)
    assert "One small model on one processor" in words(app)
    assert "Once all requests are shown" in words(app)
    assert any(one.label == "Result as JSON" for one in app.get("download_button"))


def recorded(cpu_over_wall: float) -> WorkloadRuns:
    """The shipped runs as they would be, had they got so much of the processors."""
    runs = from_json((FOLDER / "where_it_pays.json").read_bytes(), WorkloadRuns).result.runs
    return WorkloadRuns(tuple(replace(run, stream=_got(run.stream, cpu_over_wall)) for run in runs))


def _got(stream: Stream, cpu_over_wall: float) -> Stream:
    def trial(one: ServedTrial) -> ServedTrial:
        return replace(
            one,
            ttft_s=one.cold_ttft_s / 3,
            cold_cpu_over_wall=cpu_over_wall,
            ttft_disturbed=False,
            cold_disturbed=False,
        )

    return replace(
        stream,
        requests=tuple(
            replace(one, trials=tuple(map(trial, one.trials))) for one in stream.requests
        ),
    )


@pytest.mark.parametrize("busy", [False, True])
def test_a_run_on_a_busy_machine_has_no_verdict(
    monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    shipped = from_json((FOLDER / "where_it_pays.json").read_bytes(), WorkloadRuns)
    threads = shipped.machine.threads
    changed = replace(shipped, result=recorded(0.5 * threads if busy else threads))
    monkeypatch.setattr("ui.chapter._recording", lambda name, kind: changed)
    app = loading(monkeypatch)
    button(app, "Show without guessing").click().run()
    button(app, "Show all").click().run()
    assert not app.exception
    said = words(app)
    assert ("This run can't tell" in said) is busy
    assert ("With the cache it is faster" in said) is not busy
    assert ("as soon as" in said) is not busy
    saved = "Time saved so far (disturbed)" if busy else "Time saved so far"
    assert app.metric[2].label == saved
    assert bool(app.warning) is busy


def test_savings_by_disturbed_medians_are_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = from_json((FOLDER / "where_it_pays.json").read_bytes(), WorkloadRuns)

    def disturbed(stream: Stream) -> Stream:
        first, *others = stream.requests
        trials = tuple(replace(trial, ttft_disturbed=True) for trial in first.trials)
        return replace(stream, requests=(replace(first, trials=trials), *others))

    runs = tuple(replace(run, stream=disturbed(run.stream)) for run in shipped.result.runs)
    changed = replace(shipped, result=WorkloadRuns(runs))
    monkeypatch.setattr("ui.chapter._recording", lambda name, kind: changed)
    app = loading(monkeypatch)
    button(app, "Show without guessing").click().run()
    assert app.metric[2].label == "Time saved so far (disturbed)"


def test_a_guess_is_held_against_what_was_reused(monkeypatch: pytest.MonkeyPatch) -> None:
    app = loading(monkeypatch)
    app.radio(key="workload-agent-options").set_value("none of them").run()
    assert "Your prediction: none of them: ✗ it is:" in words(app)


def test_requests_are_revealed_one_by_one_and_only_the_last_brings_the_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = loading(monkeypatch)
    button(app, "Show without guessing").click().run()
    assert "The run bears the sentence out" not in words(app)
    right = app.radio(key="next-agent-2").options
    app.radio(key="next-agent-2").set_value(right[0]).run()
    button(app, "Next request").click().run()
    assert "Request 3 of 5 sends" in words(app)
    assert f"Your prediction: {right[0]}:" in words(app)
    button(app, "Show all").click().run()
    assert not app.exception
    assert "Request 5 of 5 sends" in words(app)
    assert "All requests together" in words(app)
    assert "Next request" not in labels(app)


def test_each_workload_has_a_recorded_run_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    app = loading(monkeypatch)
    for name, count in (("rag", 5), ("code", 5), ("chat", 5)):
        app.radio(key="workload").set_value(name).run()
        button(app, "Show without guessing").click().run()
        assert not app.exception
        assert f"Request 2 of {count} sends" in words(app)


def test_a_run_of_ones_own_is_shown_whole_and_leaves_nothing_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = tiny_engine()
    monkeypatch.setattr(prefix_engine.lessons.workloads, "load_workloads", lambda: {"small": SMALL})
    app = opened(monkeypatch, engine)
    assert "This workload was not run yet: run it here." in words(app)
    button(app, "Run it here").click().run()
    assert not app.exception
    assert "Measured here on" in words(app)
    assert "Request 3 of 3 sends" in words(app)
    assert app.metric[0].label == "Hit rate so far"
    computed, without = map(int, app.metric[1].value.split(" of "))
    assert 0 < computed < without
    assert engine.cache.stats.stored_tokens == 0


def test_too_long_a_request_is_told_and_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, tiny_engine())
    button(app, "Run it here").click().run()
    assert not app.exception
    assert '"1 The reader asks" has' in words(app) and "the limit is 600" in words(app)


def test_the_example_trace_is_calculated_and_labelled_as_simulated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = loading(monkeypatch)
    assert "that is the ceiling" in words(app)
    assert "Calculated, not measured, from a simulated trace" in words(app)
    assert "Nothing is measured: hits are calculated from the ids" in words(app)


def uploaded(monkeypatch: pytest.MonkeyPatch, content: str) -> AppTest:
    app = loading(monkeypatch)
    app.radio(key="trace-source").set_value("a file of mine").run()
    app.file_uploader(key="trace-file").set_value(("mine.jsonl", content.encode(), "text/plain"))
    return app.run()


def test_an_uploaded_trace_is_replayed_without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    app = uploaded(monkeypatch, "\n".join(sample_trace()[:50]))
    assert "50 requests" in words(app)
    button(app, "Replay it").click().run()
    assert not app.exception
    assert "Calculated, not measured, from the file: 50 requests" in words(app)


def test_a_file_that_is_no_trace_is_refused_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    app = uploaded(monkeypatch, sample_trace()[0] + "\nnonsense\n")
    assert not app.exception
    assert "Line 2 is no request of a trace" in words(app)


def test_too_large_a_file_is_refused_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    app = uploaded(monkeypatch, " " * 5_100_000)
    assert not app.exception
    assert "mine.jsonl has 5.1 MB; at most 5 MB are read." in words(app)
