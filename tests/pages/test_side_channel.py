"""The page on the side channel, without a browser: its cover, a run, the salt, and a room."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from prefix_engine.engine import Engine
from prefix_engine.lessons.heard import SideChannel
from prefix_engine.measured import Measured, from_json
from prefix_engine.model.llama import LlamaModel
from prefix_engine.room import SALTED, Room
from tests.pages.app import TIMEOUT_S, words
from tests.tiny_engine import GEOMETRY, INFO, tiny_cache, tiny_engine, tiny_tensors
from ui.chapter import FOLDER
from ui.room.kept import PASS, RoomPass
from ui.server import Loading, Server, server

PAGE = Path(__file__).parents[2] / "pages/side_channel.py"
ROUNDS = 2
SYSTEM = "Answer briefly."
ASKED, NEVER = "Is **this** <b>open</b>?", "Is that one shut?"
HOW_TO = "Open or join a room on the page Room"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.lessons.side_channel.ROUNDS", ROUNDS)
    monkeypatch.setattr("ui.lessons.side_channel_room.ROUNDS", ROUNDS)


@pytest.fixture
def engine() -> Engine:
    # a token for every byte: the page's prompts need more room than the tiny engine has
    room = 2048
    model = LlamaModel(
        replace(GEOMETRY, context_length=room), tiny_tensors(), replace(INFO, max_tokens=room)
    )
    return tiny_engine(model=model, max_prompt_tokens=1500)


def serve(monkeypatch: pytest.MonkeyPatch, status: Any) -> None:
    def load(server: Server) -> None:
        server.status = status

    monkeypatch.setattr(Server, "_load", load)
    server().status = status


def opened(room: Room | None = None, key: str | None = None) -> AppTest:
    app = AppTest.from_file(PAGE, default_timeout=TIMEOUT_S)
    if room is not None:
        app.session_state[PASS] = RoomPass(room.code, key)
    app.run()
    assert not app.exception
    return app


def revealed(room: Room | None = None) -> AppTest:
    return opened(room).button(key="side_channel-skip").click().run()


def revealed_room(engine: Engine) -> Room:
    """A room whose host has revealed the figures."""
    room = server().rooms.open(SYSTEM, engine, "the host")
    room.reveal(room.host_key)
    return room


def own_result(app: AppTest, name: str) -> SideChannel:
    newest: Measured[SideChannel] = app.session_state[f"kept-{name}"][0]
    return newest.result


def listen(app: AppTest, *guesses: str) -> AppTest:
    for number, guess in enumerate(guesses, 1):
        app.text_area(key=f"listen-{number}").set_value(guess)
    app.run()
    app.button(key="listen").click().run()
    assert not app.exception
    return app


def test_it_opens_covered_and_the_recording_answers_a_guess(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve(monkeypatch, Loading("Converting", 0.5))
    app = opened()
    assert "drawn by lot" in words(app) and "Recorded on" not in words(app)
    app.radio[0].set_value("No, the answers stay hidden").run()
    assert not app.exception
    shown = words(app)
    assert "Recorded on" in shown and app.button(key="run").disabled
    assert "✗ it is: Yes, the times will tell" in shown
    assert "A salt for each user" in shown
    assert "with a salt they did not" in shown
    assert HOW_TO in shown


def test_where_the_times_tell_nothing_no_guess_is_called_right_or_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shipped = from_json((FOLDER / "side_channel.json").read_bytes(), SideChannel)
    shared = shipped.result.shared
    busy = replace(shared, probes=tuple(replace(one, disturbed=True) for one in shared.probes))
    changed = replace(shipped, result=replace(shipped.result, shared=busy))
    monkeypatch.setattr("ui.chapter._recording", lambda name, kind: changed)
    serve(monkeypatch, Loading("Converting", 0.5))
    app = opened()
    app.radio[0].set_value("Yes, the times will tell").run()
    shown = words(app)
    assert "these times can't tell anything" in shown
    assert "✗" not in shown and "✓" not in shown


def test_a_run_finds_the_whole_question_only_where_nothing_is_salted(
    monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    serve(monkeypatch, engine)
    app = revealed()
    app.button(key="run").click().run()
    assert not app.exception and "Measured here on" in words(app)
    made = own_result(app, "side_channel")
    for heard, expected in ((made.shared, {made.shared.secret}), (made.salted, set())):
        assert {p.question for p in heard.probes if p.reused == p.tokens - 1} == expected
    assert engine.cache.stats.stored_tokens == 0


def test_a_cache_without_room_gets_a_sentence_and_no_times(
    monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    engine.cache = tiny_cache(budget_tokens=10)
    serve(monkeypatch, engine)
    app = revealed()
    app.button(key="run").click().run()
    assert not app.exception
    assert "run it again in a minute" in words(app)
    assert "Measured here on" not in words(app)


def test_in_a_room_the_whole_guess_is_found_there_and_not_with_a_salt(
    monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    serve(monkeypatch, engine)
    room = revealed_room(engine)
    room.ask("a member", ASKED)
    before = engine.cache.stats.stored_tokens
    app = revealed(room)
    assert HOW_TO not in words(app)
    listen(app, NEVER, ASKED)
    made = own_result(app, f"side_channel-{room.code}")
    assert made.system == SYSTEM and made.shared.questions == (NEVER, ASKED)
    assert (made.shared.asked, made.salted.asked) == ((1,), (1,))
    assert engine.cache.stats.stored_tokens == before
    assert len(room.board.requests) == 1
    shown = words(app)
    assert "In the room's namespace" in shown and "With a salt of your own" in shown
    assert f"question 2: {ASKED}" in [one.value for one in app.text]


def test_a_member_is_told_whether_it_was_asked_and_not_how_much_was_found(
    monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    serve(monkeypatch, engine)
    room = revealed_room(engine)
    room.ask("a member", ASKED)
    app = listen(revealed(room), NEVER, ASKED)
    table = app.table[-2].value
    assert list(table["asked"]) == ["no", "yes"]
    assert "reused" not in table.columns


def test_a_room_with_a_salt_is_not_listened_to_and_what_was_heard_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    serve(monkeypatch, engine)
    room = revealed_room(engine)
    room.ask("a member", ASKED)
    app = listen(revealed(room), NEVER, ASKED)
    assert not app.button(key="listen").disabled and SALTED not in words(app)
    assert "before the host salted" not in words(app)
    room.salt(room.host_key)
    app.run()
    assert app.button(key="listen").disabled and SALTED in words(app)
    assert "This was heard before the host salted the room" in words(app)


def test_before_the_host_reveals_the_figures_nobody_can_listen(
    monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    serve(monkeypatch, engine)
    room = server().rooms.open(SYSTEM, engine, "the host")
    app = revealed(room)
    for number, guess in enumerate((NEVER, ASKED), 1):
        app.text_area(key=f"listen-{number}").set_value(guess)
    app.run()
    assert app.button(key="listen").disabled
    assert "as soon as the host has revealed" in words(app)
    room.reveal(room.host_key)
    app.run()
    assert not app.button(key="listen").disabled
    assert "as soon as the host has revealed" not in words(app)


def test_the_same_guess_twice_is_one(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    serve(monkeypatch, engine)
    room = revealed_room(engine)
    app = revealed(room)
    for number in (1, 2):
        app.text_area(key=f"listen-{number}").set_value(ASKED)
    app.button(key="listen").click().run()
    assert "Type at least 2 different guesses; then you can listen." in [
        one.value for one in app.text
    ]
    assert f"kept-side_channel-{room.code}" not in app.session_state


def test_a_room_that_has_ended_is_no_room(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    serve(monkeypatch, engine)
    room = server().rooms.open(SYSTEM, engine, "the host")
    room.end(room.host_key)
    assert HOW_TO in words(revealed(room))
