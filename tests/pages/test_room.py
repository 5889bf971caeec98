"""The page of a room, without a browser: what a host and what a member sees, keeps and may do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

import ui.room.host
import ui.room.screen
from prefix_engine.board import EVERYTHING, NOTHING, SYSTEM, Board, RoomRequest
from prefix_engine.engine import Engine
from prefix_engine.room import ENDED, UNJOINED_S, Room
from prefix_engine.unloaded import UnloadedShares
from tests.pages.app import watch_slot
from tests.tiny_engine import tiny_cache, tiny_engine
from ui.charts import Chart
from ui.room import board
from ui.room import chart as room_chart
from ui.room.kept import PASS, RoomPass
from ui.room.links import leads_here_only
from ui.server import Server, server

PAGE = Path(__file__).parents[2] / "pages/room.py"
TIMEOUT_S = 60
REVEAL = "Reveal what was reused, and the times"
SHOW = "Show the questions to everybody"
QUESTION = "Is <b>it</b> **open**?"


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The one of the server, which is there before anybody comes."""
    made, loaded = tiny_engine(), Event()

    def load(server: Server) -> None:
        server.status = made
        loaded.set()

    monkeypatch.setattr(Server, "_load", load)
    st.cache_resource.clear()
    server()
    assert loaded.wait(TIMEOUT_S)
    yield made
    st.cache_resource.clear()


@pytest.fixture
def room(engine: Engine) -> Room:
    return server().rooms.open("Answer briefly.", engine, "the host")


def visit(**query: str) -> AppTest:
    """One more visitor, who comes by a link."""
    app = AppTest.from_file(PAGE, default_timeout=TIMEOUT_S)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def host_of(room: Room) -> AppTest:
    return visit(room=room.code, host=room.host_key)


def come_back(app: AppTest) -> AppTest:
    """To this page from another, which leaves the address without a query."""
    app.query_params.clear()
    return app.run()


def ask(app: AppTest, question: str, prediction: str) -> AppTest:
    app.text_area(key="question").set_value(question)
    app.radio(key="prediction").set_value(prediction)
    app.run()
    app.button(key="run").click().run()
    assert not app.exception
    return app


def button(app: AppTest, label: str) -> Button:
    return next(one for one in app.button if one.label == label)


def toggle(app: AppTest, label: str) -> bool:
    return bool(next(one for one in app.toggle if one.label == label).value)


def switch(app: AppTest, label: str) -> None:
    one = next(one for one in app.toggle if one.label == label)
    one.set_value(not one.value).run()
    assert not app.exception


def words(app: AppTest) -> str:
    """All that the page shows and knows of itself, as text."""
    shown = [*app.text, *app.caption, *app.markdown, *app.code, *app.dataframe, *app.table]
    metrics = [f"{one.label}: {one.value}" for one in app.metric]
    return "\n".join([*(str(one.value) for one in shown), *metrics])


def charts(app: AppTest) -> int:
    return len(app.get("plotly_chart"))


def is_host(app: AppTest) -> bool:
    return bool(app.toggle) and "Code of this room" in words(app)


def test_the_questions_are_the_hosts_until_they_are_shown(room: Room) -> None:
    host, member = host_of(room), visit(room=room.code)
    ask(visit(room=room.code), QUESTION, NOTHING)
    assert QUESTION in words(host.run())
    assert QUESTION not in words(member.run())
    switch(host, SHOW)
    assert QUESTION in words(member.run())
    switch(host, SHOW)
    assert QUESTION not in words(member.run())


def test_predictions_are_tallied_and_figures_hidden_until_the_reveal(room: Room) -> None:
    host, member = host_of(room), visit(room=room.code)
    ask(member, "Open today?", NOTHING)
    other = ask(visit(room=room.code), "Open today?", EVERYTHING)
    assert "Your request is number 2. No answer is written here" in words(other)
    switch(host, SHOW)
    for app in host.run(), member.run():
        assert "tokens saved: ?" in words(app) and "hit rate, of tokens: ?" in words(app)
        questions = app.dataframe[0].value
        assert set(questions["reused"]) == set(questions["to first token"]) == {"?"}
        assert (set(questions["predicted"]) == {"?"}) is (app is member), "not to be followed"
        assert "2 requests. What was reused is covered: the host reveals it." in words(app)
        assert charts(app) == 1, "the tally"
        assert "right" not in words(app)
    switch(host, REVEAL)
    reused = room.board.requests[1].reused
    assert f"{reused:,} of {reused + 1:,} tokens reused" in words(other.run())
    assert f"tokens saved: {reused:,}" in words(member.run())
    asked = sum(request.tokens for request in room.board.requests)
    assert f"hit rate, of tokens: {reused / asked:.1%}" in words(member)
    assert (charts(host), charts(member)) == (3, 2), "the tree is the host's"


def test_a_member_never_gets_the_key(room: Room) -> None:
    host, member = host_of(room), visit(room=room.code)
    link, own_link = (one.value for one in host.code)
    assert room.host_key in own_link and room.host_key not in link and room.code in link
    ask(member, "Open?", NOTHING)
    switch(host, REVEAL)
    switch(host, SHOW)
    member.run()
    assert room.host_key not in words(member)
    kept = member.session_state[PASS]
    assert kept == RoomPass(room.code, None)


def test_the_qr_code_is_the_link_to_join(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    for module in (ui.room.host, ui.room.screen):
        monkeypatch.setattr(module, "show_qr_code", lambda link, alt: shown.append(link))
    host_of(room)
    visit(room=room.code, view="screen")
    assert len(shown) == 2
    for link in shown:
        assert dict(parse_qsl(urlsplit(link).query)) == {"room": room.code}


def test_a_question_is_computed_in_a_turn(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    held = watch_slot(monkeypatch)
    ask(visit(room=room.code), QUESTION, NOTHING)
    assert held == [True]


def test_who_waits_in_a_room_that_ends_is_told_and_computes_nothing(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_open, slot = room.check_open, server().slot

    def end_while_somebody_waits() -> None:
        if slot._waiting:
            room.end(room.host_key)
        check_open()

    monkeypatch.setattr(room, "check_open", end_while_somebody_waits)
    with closing(slot.visit("somebody else")) as visiting, visiting.turn():
        member = ask(visit(room=room.code), QUESTION, NOTHING)
        assert ENDED in words(member)
    assert room.board.requests == ()


def test_times_of_a_machine_that_was_busy_throughout_are_said_to_say_little(room: Room) -> None:
    room.ask("ann", "Why?")
    room.reveal(room.host_key)
    busy = replace(room.board.requests[0], cpu_over_wall=0.1)
    for requests, told in ((busy,), True), ((replace(busy, cpu_over_wall=99.0),), False):
        room._note(requests=requests)
        app = visit(room=room.code)
        assert [one.value for one in app.warning] == [board.BUSY] * told
        assert ("No request has been a hit yet" in words(app)) is not told


def test_who_has_not_predicted_yet_is_not_told_what_others_have(room: Room) -> None:
    room.ask("ann", "Why?", NOTHING)
    member, host = visit(room=room.code), host_of(room)
    assert (charts(member), charts(host)) == (0, 1)
    assert charts(ask(member, "How?", SYSTEM)) == 1


def test_a_salt_is_told_to_everybody_and_drawn_apart(room: Room) -> None:
    room.ask("ann", "Why?")
    room.reveal(room.host_key)
    room.salt(room.host_key)
    room.ask("ben", "Why?")
    for app in visit(room=room.code), visit(room=room.code, view="screen"), host_of(room):
        assert [one.value for one in app.info] == [board.SALTED]
    sound = [replace(one, disturbed=False) for one in room.board.requests]
    shown = replace(room.board, requests=tuple(sound))
    drawn = {one.name: list(one.x) for one in room_chart.times_chart(shown).figure.data}
    assert drawn == {"no reuse": [1], "no reuse, salted": [2], "hit": []}


@pytest.mark.parametrize(
    ("host", "here_only"),
    [
        ("localhost", True),
        ("127.0.0.2", True),
        ("[::1]", True),
        ("10.0.0.7", False),
        ("a.b", False),
    ],
)
def test_a_link_that_no_other_device_can_follow_is_known(host: str, here_only: bool) -> None:
    assert leads_here_only(f"http://{host}:8501/room?room=ABCDEF") is here_only


def test_a_host_whose_link_leads_nobody_here_is_told(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    for here_only in (True, False):
        monkeypatch.setattr(ui.room.host, "leads_here_only", lambda link, so=here_only: so)
        assert (ui.room.host.HERE_ONLY in words(host_of(room))) is here_only


def test_only_the_host_can_take_the_board_away(room: Room) -> None:
    assert [one.label for one in host_of(room).get("download_button")] == ["Board as JSON"]
    assert not visit(room=room.code).get("download_button")


def test_the_key_leaves_the_address_and_stays_in_the_session(room: Room) -> None:
    host = host_of(room)
    assert is_host(host)
    assert dict(host.query_params) == {"room": room.code}
    assert host.session_state[PASS] == RoomPass(room.code, room.host_key)
    assert is_host(host.run())


@pytest.mark.parametrize("wrong", ["", "wrong", "é"])
def test_a_wrong_key_makes_no_host(room: Room, wrong: str) -> None:
    member = visit(room=room.code, host=wrong)
    assert not is_host(member) and member.text_area(key="question")
    assert "This is not the key of the room's host" in words(member)
    assert dict(member.query_params) == {"room": room.code}


def test_host_and_member_come_back_from_other_pages(room: Room) -> None:
    host, member = host_of(room), visit(room=room.code.lower())
    assert is_host(come_back(host))
    assert come_back(member).text_area(key="question")
    button(member, "Leave the room").click().run()
    assert [one.label for one in member.text_input] == ["Code on the projector"]
    assert come_back(member).text_input


def test_two_tabs_of_the_host_do_not_undo_each_other(room: Room) -> None:
    one, other = host_of(room), host_of(room)
    switch(one, REVEAL)
    other.run()
    assert room.board.revealed and toggle(other, REVEAL)
    switch(other, SHOW)
    switch(other, REVEAL)
    one.run()
    assert (room.board.revealed, room.board.prompts_shown) == (False, True)
    assert (toggle(one, REVEAL), toggle(one, SHOW)) == (False, True)


def test_what_a_tab_sends_before_it_heard_of_a_change_does_not_undo_it(room: Room) -> None:
    one, other = host_of(room), host_of(room)
    before = other._tree.get_widget_states()
    switch(one, REVEAL)
    other.run()
    other._run(before)
    assert not other.exception
    assert room.board.revealed and toggle(other, REVEAL)


def test_a_room_is_opened_and_ended_at_the_door(engine: Engine) -> None:
    app = visit()
    app.text_area[0].set_value("Be brief.")
    button(app, "Open").click().run()
    assert is_host(app)
    assert f"after {UNJOINED_S / 60:.0f} minutes" in words(app)
    room = server().rooms.find(app.query_params["room"])
    ask(visit(room=room.code), QUESTION, NOTHING)
    assert engine.cache.stats.stored_tokens > 0
    assert "Nobody has joined yet" not in words(app.run())
    button(app, "End it now").click().run()
    assert room.ended and "This room has ended." in words(app)
    assert engine.cache.stats.stored_tokens == 0
    button(app, "Join or open another room").click().run()
    assert button(app, "Open") and app.session_state[PASS] is None


@pytest.mark.parametrize(
    ("label", "code", "told"),
    [
        ("Join", "NOROOM", "There is no room 'NOROOM'"),
        ("Join", " ", "Type the code of the room"),
        ("Open", "", "The system prompt is empty"),
    ],
)
def test_a_refusal_leaves_the_door_open(label: str, code: str, told: str) -> None:
    app = visit()
    app.text_input[0].set_value(code)
    app.text_area[0].set_value(" ")
    button(app, label).click().run()
    assert not app.exception
    assert told in words(app)
    assert button(app, "Open") and button(app, "Join")


def test_who_comes_to_a_room_that_has_ended_is_told_and_stands_at_the_door(room: Room) -> None:
    room.end(room.host_key)
    late = visit(room=room.code)
    assert "it has ended, or never was" in words(late)
    assert button(late, "Join") and late.session_state[PASS] is None


def test_what_was_typed_and_seen_stays_when_the_room_ends(room: Room) -> None:
    host, member = host_of(room), ask(visit(room=room.code), "Open today?", NOTHING)
    member.text_area(key="question").set_value(QUESTION).run()
    host.run()
    room.end(room.host_key)
    for app in host.run(), member.run():
        assert "This room has ended." in words(app)
        assert "1 request. What was reused is covered: the host reveals it." in words(app)
    assert member.text_area(key="question").value == QUESTION
    assert not member.get("download_button") and QUESTION not in words(member)
    assert [one.label for one in host.get("download_button")] == ["Board as JSON"]
    button(member, "Join or open another room").click().run()
    assert button(member, "Join") and "1 request" not in words(member)


def test_the_projector_shows_the_board_and_no_controls_and_no_key(room: Room) -> None:
    host, member = host_of(room), visit(room=room.code)
    ask(member, QUESTION, NOTHING)
    link = next(one.proto.url for one in host.get("link_button"))
    query = dict(parse_qsl(urlsplit(link).query))
    assert query == {"room": room.code, "view": "screen"}
    screen = visit(**query)
    assert screen.title[0].value == room.code
    assert not screen.toggle and not screen.button and not screen.get("download_button")
    assert room.host_key not in words(screen) and QUESTION not in words(screen)
    assert charts(screen) == 1
    room.reveal(room.host_key)
    assert charts(screen.run()) == 3, "the tree, too"
    room.end(room.host_key)
    assert "This room has ended." in words(screen.run()) and charts(screen) == 2
    assert "it has ended, or never was" in words(visit(**query))


def test_who_looks_at_the_projector_has_not_joined(room: Room) -> None:
    visit(room=room.code, view="screen")
    assert not room.board.joined
    visit(room=room.code)
    assert room.board.joined


def test_who_asks_without_a_prediction_is_told_and_asks_nothing(room: Room) -> None:
    member = visit(room=room.code)
    member.text_area(key="question").set_value(QUESTION)
    member.button(key="run").click().run()
    assert "Type a question and predict; then you can ask." in words(member)
    assert room.board.requests == ()
    assert member.text_area(key="question").value == QUESTION


def test_each_request_wants_a_prediction_of_its_own(room: Room) -> None:
    member = ask(visit(room=room.code), QUESTION, NOTHING)
    member.run()
    assert member.radio(key="prediction").value is None
    member.button(key="run").click().run()
    assert len(room.board.requests) == 1


def test_who_was_disturbed_by_the_machine_is_told(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.reveal(room.host_key)
    assert "(disturbed by the machine)" not in words(ask(visit(room=room.code), QUESTION, NOTHING))
    monkeypatch.setattr(UnloadedShares, "share", lambda *_: 1e9)
    assert "the first token (disturbed by the machine)" in words(
        ask(visit(room=room.code), QUESTION, NOTHING)
    )


def test_a_refused_question_leaves_the_board(room: Room) -> None:
    member = ask(visit(room=room.code), "long " * 190, NOTHING)
    assert "the limit is 600" in words(member)
    assert "who asked: 0" in words(member) and button(member, "Leave the room")


def test_who_only_looks_on_is_not_counted(room: Room) -> None:
    visit(room=room.code)
    member = visit(room=room.code)
    assert "who asked: 0" in words(member)
    assert "who asked: 1" in words(ask(member, "Open?", NOTHING))


def test_figures_are_drawn_once_for_all_who_look_on(
    engine: Engine, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def counted(name: str) -> Callable[..., Chart]:
        draw: Callable[..., Chart] = getattr(room_chart, name)

        def draw_and_note(*args: Any) -> Chart:
            drawn.append(name)
            return draw(*args)

        return draw_and_note

    for name in ("tally_chart", "times_chart", "tree_chart"):
        monkeypatch.setattr(board, name, counted(name))
    room.ask("ann", "Why?")
    room.reveal(room.host_key)
    for app in [visit(room=room.code) for _ in range(3)] + [host_of(room)]:
        app.run()
    assert sorted(drawn) == ["tally_chart", "times_chart", "tree_chart"]
    room.ask("ann", "How?")
    host_of(room)
    assert len(drawn) == 6


def made(number: int, reused: int, ttft_s: float, disturbed: bool = False) -> RoomRequest:
    return RoomRequest(number, "Why?", None, 100, reused, 99, ttft_s, 1.0, False, True, disturbed)


@pytest.mark.parametrize(
    ("requests", "told"),
    [
        ((made(1, 0, 0.2),), "No request has been a hit yet."),
        (
            (made(1, 0, 0.2), made(2, 90, 0.02)),
            "The first request took 200 ms to its first token, a later hit 20.0 ms.",
        ),
        (
            (made(1, 0, 0.2), made(2, 90, 0.02), made(3, 90, 0.04)),
            "a later hit 30.0 ms (median of 2).",
        ),
        (
            (made(1, 0, 0.9, True), made(2, 90, 0.02)),
            "There is no first time to compare with: the machine disturbed each cold request. "
            "The host can salt the room for one request: that one is cold, too. "
            "Disturbed by the machine, and left out of the times: 1.",
        ),
        (
            (made(1, 0, 0.9, True), made(2, 90, 0.02), made(3, 0, 0.2)),
            "Request 3, which was cold, took 200 ms to its first token, a hit 20.0 ms",
        ),
    ],
)
def test_the_headline_compares_only_what_was_not_disturbed(
    requests: tuple[RoomRequest, ...], told: str
) -> None:
    shown = Board("ABCDEF", "", requests=requests, revealed=True)
    assert told in board.headline(shown)


def test_disturbed_requests_are_drawn_apart() -> None:
    requests = made(1, 0, 0.9, True), made(2, 90, 0.02), made(3, 0, 0.2)
    chart = room_chart.times_chart(Board("ABCDEF", "", requests=requests, revealed=True))
    drawn = {trace.name: list(trace.x) for trace in chart.figure.data}
    assert drawn == {"no reuse": [3], "hit": [2], "disturbed": [1]}
    assert list(chart.table["disturbed"]) == ["yes", "no", "no"]
    assert chart.figure.layout.xaxis.dtick == 1  # no half requests


def test_it_is_told_what_a_full_cache_did_not_store() -> None:
    full = tiny_engine(tiny_cache(budget_tokens=4))
    room = server().rooms.open("Answer briefly.", full, "the host")
    room.ask("ann", "Why?")
    assert "1 request was not stored: the cache is full." in words(visit(room=room.code))
    room.ask("ann", "Why?")
    assert "2 requests were not stored: the cache is full." in words(visit(room=room.code))
