"""The page on why reuse stops, without a browser: its cover, its recording, a run, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.app import LOADING, open_page, words
from tests.tiny_engine import RowByRow, tiny_engine, tiny_model

PAGE = Path(__file__).parents[2] / "pages/why_it_stops.py"
LOADING = LOADING
A, B = "A", "B"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def engine() -> Any:
    return tiny_engine(model=tiny_model(RowByRow))


def opened(monkeypatch: pytest.MonkeyPatch, status: Any, skip: bool = True) -> AppTest:
    app = open_page(monkeypatch, PAGE, status)
    return skipped(app) if skip else app


def skipped(app: AppTest) -> AppTest:
    """Shown without a guess, if these prompts wait for one."""
    cover = [one for one in app.button if one.label == "Show without guessing"]
    return cover[0].click().run() if cover else app


def choose(app: AppTest, title: str) -> AppTest:
    return app.selectbox(key="pair").set_value(title).run()


def editor(app: AppTest, label: str) -> Any:
    return next(one for one in app.text_area if one.label == label)


def type_pair(app: AppTest, a: str, b: str) -> AppTest:
    editor(app, A).set_value(a)
    editor(app, B).set_value(b)
    return skipped(app.run())


def test_it_opens_with_the_recorded_pair_and_its_answer_covered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = opened(monkeypatch, LOADING, skip=False)
    assert editor(app, A).value == "Weather in SF today? What should I wear"
    assert "one different token changes the hidden state" in words(app)
    assert "Recorded on" not in words(app)
    assert "read the same as in A" not in words(app)
    assert "A recorded run waits" in words(app)


def test_a_guess_reveals_the_recording_and_is_kept_beside_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = opened(monkeypatch, LOADING, skip=False)
    app.radio[0].set_value("Yes: the same words have the same KV").run()
    assert not app.exception
    assert app.button(key="run").disabled
    assert "After the first difference, 6 tokens read the same as in A." in words(app)
    assert "✗ it is: Only in layer 0" in words(app)
    assert "Recorded on" in words(app)
    assert "✓ The run bears the sentence out." in words(app)
    assert "But for layer 0, 1 of 30 layers: one different token changed" in words(app)


def test_own_text_is_not_answered_with_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    app = type_pair(opened(monkeypatch, LOADING), "one", "two")
    assert "These prompts were not computed yet" in words(app)
    assert "read the same as in A" not in words(app)


def test_a_run_shows_what_was_measured_and_stores_nothing(
    monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    app = type_pair(opened(monkeypatch, engine), "one SF two", "one NY two")
    app.button(key="run").click().run()
    assert not app.exception
    assert "Measured here on" in words(app)
    assert "After the first difference, 4 tokens read the same as in A." in words(app)
    assert "B keeps its own KV for 6 tokens" in words(app)
    assert engine.cache.stats.stored_tokens == 0


def test_where_text_moved_it_can_be_compared_both_ways(
    monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    app = type_pair(opened(monkeypatch, engine), "one 9 two", "one 10 two")
    app.button(key="run").click().run()
    assert "the values agree and the keys do not" in words(app)
    assert "A wrong cache can be tried only where" in words(app)
    assert "token 7 of B, “·”, against token 6 of A" in words(app)
    next(
        one for one in app.segmented_control if one.label == "Compare each token of B with"
    ).set_value("the same position in A").run()
    assert not app.exception
    assert "token 7 of B, “·”, against token 7 of A" in words(app)


def test_a_cell_can_be_picked_by_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, LOADING)
    assert "Layer 1, token 4 of B, “·today”" in words(app)
    app.number_input(key="cell-layer").set_value(0).run()
    assert "Layer 0, token 4 of B, “·today”" in words(app)
    assert "the keys differ by 0%, the values by 0%." in words(app)


def test_bad_input_gets_a_sentence_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    app = type_pair(opened(monkeypatch, engine), "", "b" * 601)
    app.button(key="run").click().run()
    assert not app.exception
    assert "B has 601 tokens; the limit is 600." in words(app)
    assert editor(app, B).value == "b" * 601


def test_each_preset_brings_its_own_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, LOADING, skip=False)
    pairs = set()
    for title in app.selectbox(key="pair").options:
        app.selectbox(key="pair").set_value(title).run()
        pairs.add((editor(app, A).value, editor(app, B).value))
    assert len(pairs) == 5
    assert all(a != b for a, b in pairs)


def test_every_preset_opens_with_its_recorded_run(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, LOADING, skip=False)
    for title in app.selectbox(key="pair").options:
        app = choose(app, title)
        assert "A recorded run waits" in words(app)
        app = skipped(app)
        assert not app.exception
        assert "Recorded on" in words(app)
        assert "After the first difference" in words(app)


def test_each_pair_asks_for_a_prediction_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, LOADING, skip=False)
    app.radio[0].set_value("Only in layer 0, the lowest one; nowhere above it").run()
    assert "✓ right" in words(app)
    app = choose(app, "An id one token longer: all text moves")
    assert "Recorded on" not in words(app)
    app.radio[0].set_value("Only in layer 0, the lowest one; nowhere above it").run()
    assert "✗ it is: Only the values of layer 0" in words(app)
    app = choose(app, "One word differs: SF / NYC")
    assert "✓ right" in words(app)


def test_an_own_run_does_not_hide_the_recordings(
    monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    app = type_pair(opened(monkeypatch, engine), "one SF two", "one NY two")
    app.button(key="run").click().run()
    assert "Measured here on" in words(app)
    app = skipped(choose(app, "An id one token longer: all text moves"))
    assert "Recorded on" in words(app)
    app = choose(app, "One word differs: SF / NYC")
    assert "Recorded on" in words(app)
    app = type_pair(app, "one SF two", "one NY two")
    assert "Measured here on" in words(app)


def test_a_run_before_the_guess_does_not_tell_the_answer(
    monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    app = opened(monkeypatch, engine, skip=False)
    editor(app, A).set_value("one SF two")
    editor(app, B).set_value("one NY two")
    app = app.run()
    app.button(key="run").click().run()
    assert "The run is done: predict above" in words(app)
    assert "read the same as in A" not in words(app)
    assert "Measured here on" in words(skipped(app))
