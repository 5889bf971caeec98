"""The page of the tree without a browser, and its recorded run against the code of today."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from prefix_engine.lessons.growth import Growth, grow
from prefix_engine.lessons.growth_verdict import overall
from prefix_engine.loading import load_engine
from prefix_engine.measured import from_json
from prefix_engine.settings import Settings
from tests.pages.app import LOADING, button, open_page, words
from ui.lessons.sequence import DEFAULT_BUDGET, DEFAULT_REQUESTS, MAX_REQUESTS, Plan, plan_of
from ui.recorded import FOLDER

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "pages" / "inside_the_cache.py"


@pytest.fixture(scope="module")
def engine() -> Any:
    return load_engine(Settings(max_prompt_tokens=160))


@pytest.fixture(scope="module")
def recorded() -> Growth:
    return from_json((FOLDER / "inside_the_cache.json").read_bytes(), Growth).result


def opened(monkeypatch: pytest.MonkeyPatch, status: Any) -> AppTest:
    return open_page(monkeypatch, PAGE, status)


def predict(app: AppTest, answer: str) -> AppTest:
    app.radio[0].set_value(answer)
    return app.run()


def test_the_quotation_stands_in_the_chapter_word_for_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = opened(monkeypatch, LOADING)
    assert (
        "“Two requests that share a leading prefix share the keys and values for those tokens, so "
        "the prefix is computed once and every later request skips prefill over it …”"
    ) in words(app)


def test_the_answer_is_covered_until_the_learner_predicts(
    monkeypatch: pytest.MonkeyPatch, recorded: Growth
) -> None:
    app = opened(monkeypatch, LOADING)
    assert not app.exception
    assert overall(recorded) not in words(app)
    assert button(app, "Run it here").disabled
    predict(app, "Request 1")
    assert overall(recorded) in words(app)
    assert "Your prediction: Request 1: ✗ it is: Request 2." in words(app)
    assert "Recorded on" in words(app)
    assert "Request 7 reuses 105 of its 112 tokens" in words(app)
    assert "In 5 of the 6 requests that began like an earlier one it held." in words(app)
    assert "Request 8 found 6 tokens evicted" in words(app)


def test_a_run_asked_for_together_with_the_prediction_is_made(
    monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    app = opened(monkeypatch, engine)
    app.radio[0].set_value("Request 2")
    button(app, "Run it here").click().run()
    assert "Your prediction: Request 2:" in words(app)
    assert "Measured here on" in words(app)


def test_the_playback_goes_from_request_to_request(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, LOADING)
    predict(app, "Request 2")
    assert "✓ right" in words(app)
    button(app, "Next").click().run()
    assert "Request 8 reuses 2 of its 9 tokens" in words(app)
    assert "Measured after request 8:" in words(app)
    assert button(app, "Next").disabled
    app.slider[0].set_value(1).run()
    assert "Request 1 finds nothing" in words(app)
    assert "Measured after request 1:" in words(app)
    assert button(app, "Back").disabled


def test_another_budget_is_another_prediction_and_then_measured_here(
    monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    app = opened(monkeypatch, engine)
    app.number_input[0].set_value(200).run()
    predict(app, "Nothing is evicted")
    assert "were not run yet" in words(app)
    button(app, "Run it here").click().run()
    assert not app.exception
    assert "Measured here on" in words(app)
    assert "each shared beginning only once" in words(app)
    assert "✓ The run bears the sentence out." in words(app)
    assert "Requests 4 and 8 repeat an earlier one" in words(app)
    app.number_input[0].set_value(DEFAULT_BUDGET).run()
    assert "were not run yet" not in words(app)
    app.number_input[0].set_value(200).run()
    assert "Measured here on" in words(app)
    assert engine.cache.stats.stored_tokens == 0


def test_own_requests_are_run_and_never_read_as_markup(
    monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    app = opened(monkeypatch, engine)
    hostile = "**bold** <b>x</b> ![y](http://z/w)"
    app.text_area[0].set_value(f"{hostile}\n\n{hostile} more").run()
    predict(app, "Nothing is evicted")
    button(app, "Run it here").click().run()
    assert not app.exception
    assert "2 requests with" in words(app)
    assert any("**bold**" in str(one.value) for one in app.text)
    assert not any("bold" in str(one.value) for one in [*app.markdown, *app.caption])


def test_too_many_requests_and_none_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, LOADING)
    app.text_area[0].set_value("word\n" * (MAX_REQUESTS + 1)).run()
    assert f"These are {MAX_REQUESTS + 1} requests" in words(app)
    app.text_area[0].set_value(" \n").run()
    assert "There is no request yet" in words(app)
    assert not app.exception


def test_a_request_over_the_limit_is_named_and_what_was_shown_stays(
    monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    app = opened(monkeypatch, engine)
    app.text_area[0].set_value("short\n" + "word " * 200).run()
    predict(app, "Request 1")
    button(app, "Run it here").click().run()
    assert "Request 2 has 201 tokens; the limit is 160" in words(app)
    assert not app.exception


def test_a_longer_shared_part_is_calculated_for_services(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, LOADING)
    predict(app, "Request 2")
    assert "103 tokens shared, B has 105" in words(app)
    app.select_slider[0].set_value(16).run()
    assert "1,648 tokens shared, B has 1,650" in words(app)
    counts = app.table[2].value
    assert counts.loc["? OpenAI API", "reused"] == "1,536"


def test_the_recorded_run_is_what_the_code_of_today_makes(engine: Any, recorded: Growth) -> None:
    assert plan_of(recorded) == Plan(DEFAULT_REQUESTS, DEFAULT_BUDGET, None)
    today = grow(engine, DEFAULT_REQUESTS, DEFAULT_BUDGET)
    assert today.requests == recorded.requests
    # bytes follow the precision, which is chosen for each machine
    for now, then in zip(today.steps, recorded.steps, strict=True):
        assert (now.reused, set(now.pieces)) == (then.reused, set(then.pieces))
