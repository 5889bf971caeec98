"""The main page without a browser: what it shows while loading, failing, and on bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from prefix_engine.loading import load_engine
from prefix_engine.settings import Settings
from tests.pages.app import LOADING, button, open_page, watch_slot, words
from ui.server import Failed
from ui.wording import PROMISES, SHORT_PROMISES

APP = Path(__file__).parents[2] / "app.py"


@pytest.fixture(scope="module")
def engine() -> Any:
    return load_engine(Settings(max_prompt_tokens=64))


def opened(monkeypatch: pytest.MonkeyPatch, status: Any, **query: str) -> AppTest:
    return open_page(monkeypatch, APP, status, **query)


def test_while_the_model_loads_the_recorded_run_is_there_and_run_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = opened(monkeypatch, LOADING)
    assert not app.exception
    assert button(app, "Run").disabled
    assert "B reuses" not in words(app)
    button(app, "Show the recorded run").click().run()
    assert "B reuses 2 of 9 tokens." in words(app)
    assert "Recorded on" in words(app)


def test_other_prompts_wait_for_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, LOADING, preset="repeat")
    assert "as soon as the model is loaded" in words(app)


def test_a_failure_says_what_to_do_and_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, Failed("Put the file into the *folder*."))
    assert "Nothing can be run here yet. Put the file into the *folder*." in words(app)
    assert not button(app, "Try again").disabled


def test_a_run_shows_its_figures(monkeypatch: pytest.MonkeyPatch, engine: Any) -> None:
    app = opened(monkeypatch, engine, trials="1", reply="2", preset="repeat")
    held = watch_slot(monkeypatch)
    button(app, "Run").click().run()
    assert not app.exception
    assert len(held) > 7 and all(held), "computed in turns"
    assert "B reuses 21 of 22 tokens" in words(app)
    assert "Too few runs to tell" in words(app)
    assert "Measured here on" in words(app)
    promised = engine.model.info.exact
    assert PROMISES[promised] in words(app) and SHORT_PROMISES[promised] in words(app)
    setup = next(table.value for table in app.table if "this run" in table.value)
    assert setup["this run"]["exactness"] == PROMISES[promised]
    ledger = app.table[0].value
    assert list(ledger["reused"]) == ["21", f"{21 * engine.model.kv_shape.bytes_per_token:,} B"]
    assert engine.cache.stats.stored_tokens == 0


def test_editing_a_prompt_hides_the_run_of_the_old_one(
    monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    app = opened(monkeypatch, engine, trials="1", reply="0", preset="repeat")
    button(app, "Run").click().run()
    app.text_area(key="b").set_value("Something else").run()
    assert "Measured here on" not in words(app)


def test_a_prompt_over_the_limit_is_refused_with_its_count(
    monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    app = opened(monkeypatch, engine)
    app.text_area(key="a").set_value("word " * 80).run()
    assert "A has 81 tokens; the limit is 64." in words(app)
    assert not app.exception


def test_an_empty_b_is_told_and_not_run(monkeypatch: pytest.MonkeyPatch, engine: Any) -> None:
    app = opened(monkeypatch, engine, trials="1", reply="2")
    app.text_area(key="b").set_value("").run()
    assert not app.exception
    assert "B is empty" in words(app)
    assert [one for one in app.button if one.label == "Run"] == []


def test_a_links_own_mode_wins_over_the_presets(
    monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    app = opened(monkeypatch, engine, preset="repeat", mode="chat")
    assert app.session_state["mode"] == "chat"
    app.selectbox(key="preset").set_value("weather").run()
    assert app.session_state["mode"] == "raw"
