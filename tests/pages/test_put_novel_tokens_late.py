"""The ordering page without a browser: its editors, its cover, and a run of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from prefix_engine.model.llama import LlamaModel
from tests.pages.app import LOADING, open_page, words
from tests.tiny_engine import GEOMETRY, INFO, tiny_engine, tiny_tensors

PAGE = Path(__file__).parents[2] / "pages/put_novel_tokens_late.py"


def opened(monkeypatch: pytest.MonkeyPatch, status: Any) -> AppTest:
    return open_page(monkeypatch, PAGE, status)


def order(app: AppTest) -> list[str]:
    return [str(one.key).removeprefix("changes-") for one in app.checkbox]


def test_it_opens_covered_and_the_recording_answers_a_guess(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = opened(monkeypatch, LOADING)
    assert not app.exception
    assert app.button(key="run").disabled
    assert "Recorded on" not in words(app)
    app.radio[-1].set_value("Most: 50 to 90%").run()
    assert "Recorded on" in words(app)
    assert "✗ it is: Almost nothing" in words(app)
    assert "The run bears the sentence out." in words(app)


def test_a_part_moves_by_its_buttons_and_the_recording_is_no_answer_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = opened(monkeypatch, LOADING)
    assert order(app)[:2] == ["id", "date"]
    app.button(key="back-id").click().run()
    assert order(app)[:2] == ["date", "id"]
    app.button(key="forward-system").click().run()
    assert order(app)[:3] == ["date", "system", "id"]
    assert "This order has not been measured yet" in words(app)
    assert "Recorded on" not in words(app)


def test_the_first_and_the_last_part_can_go_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, LOADING)
    assert app.button(key="forward-id").disabled
    assert app.button(key="back-question").disabled
    assert not app.button(key="back-id").disabled


def test_where_nothing_changes_it_says_so_and_runs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = opened(monkeypatch, LOADING)
    app.checkbox(key="changes-id").uncheck().run()
    app.checkbox(key="changes-question").uncheck().run()
    assert not app.exception
    assert "Tick at least one part that changes." in words(app)
    assert [one for one in app.button if one.key == "run"] == []


def test_a_run_shows_its_own_figures_and_what_changes_in_meaning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # a token for every byte: the page's prompts need more room than the tiny engine has
    room = 4096
    model = LlamaModel(
        replace(GEOMETRY, context_length=room), tiny_tensors(), replace(INFO, max_tokens=room)
    )
    app = opened(monkeypatch, tiny_engine(model=model, max_prompt_tokens=2000))
    app.slider(key="ordering-requests").set_value(2).run()
    app.checkbox(key="changes-documents").check().run()
    app.button(key="run").click().run()
    assert not app.exception
    assert "Measured here on" in words(app)
    assert "Request 2 reuses" in words(app)
    assert "**Chat history** now stands before **Documents**" in words(app)


def test_a_prompt_over_the_limit_is_refused_with_its_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = opened(monkeypatch, tiny_engine(max_prompt_tokens=200))
    app.button(key="run").click().run()
    assert not app.exception
    assert "the limit is 200" in words(app)


def test_going_back_to_the_opening_order_shows_the_recording_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = opened(monkeypatch, LOADING)
    app.radio[-1].set_value("Most: 50 to 90%").run()
    app.button(key="back-id").click().run()
    assert "Recorded on" not in words(app)
    app.button(key="forward-id").click().run()
    assert "Recorded on" in words(app)


def test_the_quotation_is_the_sentence_that_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = words(opened(monkeypatch, LOADING))
    assert "“… put novel tokens as late as you can. A long fixed system prompt" in shown
    assert "with a per-request id pasted at the front reuses nothing.”" in shown
