"""The page on one user and many, without a browser: its cover, its figures, and a run of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from prefix_engine.model.llama import LlamaModel
from tests.pages.app import LOADING, open_page, words
from tests.tiny_engine import GEOMETRY, INFO, tiny_engine, tiny_tensors

PAGE = Path(__file__).parents[2] / "pages/one_user_many_users.py"


def opened(monkeypatch: pytest.MonkeyPatch, status: Any) -> AppTest:
    return open_page(monkeypatch, PAGE, status)


def revealed(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    app = opened(monkeypatch, LOADING)
    return app.button(key="one_user_many_users-skip").click().run()


def test_it_opens_covered_and_the_recording_answers_a_guess(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = opened(monkeypatch, LOADING)
    assert not app.exception
    assert app.button(key="run").disabled
    assert "Recorded on" not in words(app)
    app.radio[0].set_value("Nothing: there is nobody to share a prefix with").run()
    assert "Recorded on" in words(app)
    assert "✗ it is: All but about the question" in words(app)


def test_the_footnote_is_borne_out_in_part_and_its_meaning_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = words(revealed(monkeypatch))
    assert "One user alone reuses 0% of the tokens with unrelated prompts" in shown
    assert "The run bears the sentence out in part." in shown
    assert "is not the cause" in shown
    assert "It holds for the demo that it speaks of" in shown


def test_beyond_the_measured_users_it_says_calculated(monkeypatch: pytest.MonkeyPatch) -> None:
    app = revealed(monkeypatch)
    assert "Measured: 4 users" in words(app)
    app.select_slider(key="crowd-chosen").set_value(5_000).run()
    assert "Calculated: 5,000 users" in words(app)


def test_a_run_shows_its_own_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    # a token for every byte: the page's prompts need more room than the tiny engine has
    room = 4096
    model = LlamaModel(
        replace(GEOMETRY, context_length=room), tiny_tensors(), replace(INFO, max_tokens=room)
    )
    engine = tiny_engine(model=model, max_prompt_tokens=3000)
    app = opened(monkeypatch, engine)
    app.slider(key="crowd-rounds").set_value(1)
    app.slider(key="crowd-users").set_value(2).run()
    assert "2 users are not measured yet" in words(app)
    app.button(key="run").click().run()
    assert not app.exception
    assert "Measured here on" in words(app)
    assert "2 users behind that system prompt" in words(app)
    assert "not measured yet" not in words(app)
    app.slider(key="crowd-users").set_value(3).run()
    assert "3 users are not measured yet: run it here. Below are 2 users." in words(app)
    app.slider(key="crowd-users").set_value(2).run()
    assert "not measured yet" not in words(app)
    assert engine.cache.stats.stored_tokens == 0


def test_a_prompt_over_the_limit_is_refused_with_its_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = opened(monkeypatch, tiny_engine(max_prompt_tokens=200))
    app.button(key="run").click().run()
    assert not app.exception
    assert "the limit is 200" in words(app)
