"""A room: a whole class behind one system prompt, and a board of what they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from prefix_engine.board import PREDICTIONS, Board, Branch, RoomRequest
from prefix_engine.errors import PrefixEngineError
from prefix_engine.measured import stamp, to_json
from prefix_engine.room import ENDED, UNJOINED_S, NoRoom, Room
from ui.board import show_board
from ui.chapter import open_page, run_button, show_limits
from ui.lessons.side_channel import load_shop
from ui.progress import Progress, visitor
from ui.room_links import (
    RoomPass,
    host_link,
    join_link,
    keep_pass,
    room_pass,
    show_qr_code,
)
from ui.server import ready_engine, server
from ui.text import complain, say
from ui.wording import milliseconds, tokens

if TYPE_CHECKING:
    from prefix_engine.engine import Engine

HOST_EVERY_S, MEMBER_EVERY_S = 1.0, 10.0
MAX_SYSTEM_CHARACTERS, MAX_QUESTION_CHARACTERS = 4000, 1000
LIMITS = (
    "Only the time to the first token is measured: no answer is written.",
    "Every request is measured once, one after the other on one machine: single times, not "
    "medians. For a fair comparison of the same prompt, use Two prompts.",
    "The first request is slow for a second reason if the server has only just started.",
    "The KV of a room stays in memory until it is evicted or the room ends. An engine with many "
    "more users than room for their KV forgets sooner.",
)


def main() -> None:
    open_page(
        "Room",
        None,
        "A class is what prefix caching needs: many users behind one **system prompt**. Everybody "
        "in a room shares one **namespace** of the **KV cache**: what one of you has had computed, "
        "the others need not compute again.",
    )
    asked_for = _pass_asked_for()
    if asked_for is None:
        _show_door()
        return
    try:
        room = server().rooms.find(asked_for.code)
    except NoRoom as error:
        own = room_pass()
        was_in_it = own is not None and own.code == asked_for.code
        keep_pass(None)
        complain(ENDED if was_in_it else str(error))
        _show_door()
        return
    key = asked_for.key if asked_for.key and room.is_host(asked_for.key) else None
    _stay(RoomPass(room.code, key))
    if key is not None:
        _show_host(room, key)
    else:
        room.join()
        _show_member(room)
    show_limits(LIMITS)


def _pass_asked_for() -> RoomPass | None:
    """By the address, or the session's own where the address says no more than that."""
    code, own = st.query_params.get("room"), room_pass()
    key = st.query_params.get("host")
    if not code or (key is None and own is not None and own.code == code):
        return own
    return RoomPass(code, key)


def _stay(kept: RoomPass) -> None:
    """Be in that room: in the session for the other pages, and in the address for a reload, but
    there without the key, for the address bar may be on a projector."""
    keep_pass(kept)
    if st.query_params.to_dict() != {"room": kept.code}:
        st.query_params.from_dict({"room": kept.code})


def _leave() -> None:
    keep_pass(None)
    st.query_params.clear()


def _show_door() -> None:
    """Where a room is joined or opened."""
    join, open_ = st.columns(2)
    with join, st.form("join"):
        st.header("Join a room")
        code = st.text_input("Code on the projector", max_chars=20)
        if st.form_submit_button("Join", type="primary"):
            _enter(lambda: RoomPass(server().rooms.find(code).code))
    with open_, st.form("open"):
        st.header("Open a room")
        system = st.text_area(
            "The system prompt that everybody shares",
            load_shop().system,
            height=200,
            max_chars=MAX_SYSTEM_CHARACTERS,
        )
        engine = ready_engine()
        if st.form_submit_button("Open", disabled=engine is None) and engine is not None:
            _enter(lambda: _opened(server().rooms.open(system, engine, visitor())))


def _opened(room: Room) -> RoomPass:
    return RoomPass(room.code, room.host_key)


def _enter(get_pass: Callable[[], RoomPass]) -> None:
    """Go in, or say at the door why not."""
    try:
        _stay(get_pass())
    except PrefixEngineError as error:
        complain(str(error))
    else:
        st.rerun()


def _show_host(room: Room, key: str) -> None:
    board = room.board
    join, code, host = st.columns([2, 1, 2], vertical_alignment="center")
    with join, st.container(key="room-join"):
        st.metric("Code of this room", room.code)
        st.caption("Link to join: show this one")
        st.code(join_link(room), language=None, wrap_lines=True)
    with code:
        show_qr_code(join_link(room), "The link to join as a QR code")
    with host:
        _show_controls(room, board, key)
        with st.expander("Your own link as host: keep it, show it to nobody"):
            st.code(host_link(room), language=None, wrap_lines=True)
        st.caption("After a reload of this page, only your own link makes you the host again.")
    if not board.joined:
        st.caption(
            "Nobody has joined yet. A room that nobody has joined after "
            f"{UNJOINED_S / 60:.0f} minutes makes place where others want to open one."
        )
    _show_system(room)
    show_board(board, is_host=True, take_tree=partial(_tree, room))
    _look_again_as_host(room, board.version)


def _show_controls(room: Room, board: Board, key: str) -> None:
    _toggle("Reveal what was reused, and the times", board.revealed, partial(room.reveal, key))
    _toggle("Show the questions to everybody", board.prompts_shown, partial(room.show_prompts, key))
    _toggle("Salt: a namespace for each member", board.salted, partial(room.salt, key))
    st.caption("With a salt nobody finds what another has asked, and nobody shares any longer.")
    engine = ready_engine()
    if engine is not None:
        st.download_button(
            "Board as JSON",
            # made when it is asked for: of the room as it is then
            lambda: to_json(stamp(engine, room.board)),
            f"room-{room.code}.json",
            "application/json",
            on_click="ignore",
        )
    with st.popover("End the room"):
        st.write("The room ends for everybody, and its KV and its board are gone.")
        if st.button("End it now", type="primary"):
            room.end(key)
            server().rooms.sweep()
            _leave()
            st.rerun()


def _toggle(label: str, is_on: bool, switch: Callable[[bool], None]) -> None:
    """Shows how the room is, whichever of the host's tabs made it so.

    What another tab has switched is drawn as a new widget: a message that this tab sends before it
    has heard of that tells of the old one, and can't be taken for a click that undoes it.
    """
    number, was_on = st.session_state.get(label, (0, is_on))
    number += was_on != is_on
    key = f"{label}-{number}"
    st.session_state[label] = number, is_on
    st.session_state.setdefault(key, is_on)

    def change() -> None:
        if st.session_state[label][0] != number:
            return
        on: bool = st.session_state[key]
        st.session_state[label] = number, on
        # a room that has just ended is told of by the run that follows
        with suppress(NoRoom):
            switch(on)

    st.toggle(label, key=key, on_change=change)


@st.fragment(run_every=HOST_EVERY_S)
def _look_again_as_host(room: Room, version: int) -> None:
    _run_again_if_changed(room, version)


@st.fragment(run_every=MEMBER_EVERY_S)
def _look_again_as_member(room: Room, version: int) -> None:
    _run_again_if_changed(room, version)


def _run_again_if_changed(room: Room, version: int) -> None:
    """Draw the page anew, but not for nothing: to draw is to compute, and disturbs requests."""
    if room.ended or room.board.version != version:
        st.rerun()


def _tree(room: Room) -> Sequence[Branch]:
    from prefix_engine.cache import RadixCache  # brings torch

    engine = ready_engine()
    if engine is None or not isinstance(engine.cache, RadixCache):
        return ()
    return room.tree(engine.cache)


def _show_member(room: Room) -> None:
    _show_system(room)
    question = st.text_area(
        "Your question",
        placeholder="Ask this assistant anything: how soon it could begin to answer is measured",
        max_chars=MAX_QUESTION_CHARACTERS,
        key="question",
    )
    if st.session_state.pop("has-asked", False):
        st.session_state["prediction"] = None  # the next request wants a prediction of its own
    prediction = st.radio(
        "**Predict.** How much of your request will be found in the cache?",
        PREDICTIONS,
        index=None,
        horizontal=True,
        key="prediction",
    )
    engine = ready_engine()
    # not disabled until both are there: the click that ends the typing would be lost
    if run_button(engine, "Ask") and engine is not None:
        if question.strip() and prediction:
            _ask(room, engine, question, prediction)
        else:
            complain("Type a question and predict; then you can ask.")
    board = room.board
    own: RoomRequest | None = st.session_state.get(f"asked-{room.code}")
    if own is not None:
        say(_own_result(own, board.revealed), key="own")
    show_board(board, is_host=False)
    st.button("Leave the room", on_click=_leave)
    st.caption("You opened this room? Your own link as host makes you the host again.")
    _look_again_as_member(room, board.version)


def _ask(room: Room, engine: Engine, question: str, prediction: str | None) -> None:
    try:
        with closing(Progress(server().slot, "Asking", turns=1, check=room.check_open)) as progress:
            asked = room.ask(engine, visitor(), question, prediction, progress.watch())
    except PrefixEngineError as error:
        complain(str(error))
    else:
        st.session_state[f"asked-{room.code}"] = asked
        st.session_state["has-asked"] = True
        st.rerun()


def _own_result(own: RoomRequest, revealed: bool) -> str:
    if not revealed:
        return f"Your request is number {own.number}. What it reused is revealed by the host."
    disturbed = " (disturbed by the machine)" if own.disturbed else ""
    right = "✓ right" if own.prediction == own.answer else f"✗ it was: {own.answer}"
    return (
        f"Your request, number {own.number}: {own.reused:,} of {tokens(own.tokens)} reused, "
        f"{milliseconds(own.ttft_s)} to the first token{disturbed}. "
        f"You predicted: {own.prediction} ({right})."
    )


def _show_system(room: Room) -> None:
    with st.expander("The system prompt that everybody here shares"):
        say(room.system, key="system")


try:
    main()
except PrefixEngineError as error:
    complain(str(error))
