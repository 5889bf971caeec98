"""A room: a whole class behind one system prompt, and a board of what they share."""

from __future__ import annotations

from contextlib import closing

import streamlit as st

from prefix_engine.errors import PrefixEngineError
from prefix_engine.room import PREDICTIONS, Branch, NoRoom, Room, RoomRequest
from ui.board import show_board
from ui.chapter import open_page, run_button, show_limits
from ui.lessons.side_channel import load_shop
from ui.progress import Progress, visitor
from ui.room_links import host_link, join_link
from ui.server import ready_engine, server
from ui.text import complain, say
from ui.wording import milliseconds, tokens

HOST_EVERY_S, MEMBER_EVERY_S = 1.0, 4.0
MAX_SYSTEM_CHARACTERS, MAX_QUESTION_CHARACTERS = 4000, 1000
LIMITS = (
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
    code, key = st.query_params.get("room", ""), st.query_params.get("host", "")
    if not code:
        _show_door()
        return
    try:
        room = server().rooms.find(code)
        if not room.is_host(key):
            room.join(visitor())
    except NoRoom as error:
        complain(str(error))
        _show_door()
        return
    if room.is_host(key):
        _show_host(room, key)
    else:
        _show_member(room)
    show_limits(LIMITS)


def _show_door() -> None:
    """Where a room is joined or opened."""
    join, open_ = st.columns(2)
    with join, st.form("join"):
        st.header("Join a room")
        code = st.text_input("Code on the projector", max_chars=20)
        if st.form_submit_button("Join", type="primary"):
            st.query_params.from_dict({"room": server().rooms.find(code).code})
            st.rerun()
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
            room = server().rooms.open(system, engine)
            st.query_params.from_dict({"room": room.code, "host": room.host_key})
            st.rerun()


def _show_host(room: Room, key: str) -> None:
    join, host = st.columns(2)
    with join:
        st.metric("Code of this room", room.code)
        st.caption("Link to join: show this one")
        st.code(join_link(room), language=None, wrap_lines=True)
    with host:
        _show_controls(room, key)
        with st.expander("Your own link as host: show it to nobody"):
            st.code(host_link(room), language=None, wrap_lines=True)
    _show_system(room)
    _board_of_host(room)


def _show_controls(room: Room, key: str) -> None:
    board = room.board
    revealed = st.toggle("Reveal what was reused, and the times", board.revealed, key="revealed")
    shown = st.toggle("Show the questions to everybody", board.prompts_shown, key="shown")
    salted = st.toggle(
        "Salt: a namespace for each member",
        board.salted,
        key="salted",
        help="With a salt nobody finds what another has asked, and nobody shares any longer.",
    )
    room.reveal(key, revealed)
    room.show_prompts(key, shown)
    room.salt(key, salted)
    with st.popover("End the room"):
        st.write("The room ends for everybody, and its KV and its board are gone.")
        if st.button("End it now", type="primary"):
            room.end(key)
            server().rooms.sweep()
            st.query_params.clear()
            st.rerun()


@st.fragment(run_every=HOST_EVERY_S)
def _board_of_host(room: Room) -> None:
    _leave_if_ended(room)
    show_board(room.board, _tree(room), is_host=True)


@st.fragment(run_every=MEMBER_EVERY_S)
def _board_of_member(room: Room) -> None:
    _leave_if_ended(room)
    board = room.board
    own: RoomRequest | None = st.session_state.get(f"asked-{room.code}")
    if own is not None:
        say(_own_result(own, board.revealed), key="own")
    show_board(board, _tree(room), is_host=False)


def _tree(room: Room) -> tuple[Branch, ...]:
    engine = ready_engine()
    if engine is None or not room.board.revealed:
        return ()
    from prefix_engine.cache import RadixCache  # brings torch

    return room.tree(engine.cache) if isinstance(engine.cache, RadixCache) else ()


def _leave_if_ended(room: Room) -> None:
    if room.ended:
        st.rerun()


def _show_member(room: Room) -> None:
    _show_system(room)
    question = st.text_area(
        "Your question",
        placeholder="Ask this assistant anything",
        max_chars=MAX_QUESTION_CHARACTERS,
        key="question",
    )
    prediction = st.radio(
        "**Predict.** How much of your request will be found in the cache?",
        PREDICTIONS,
        index=None,
        horizontal=True,
        key="prediction",
    )
    engine = ready_engine()
    ready = engine if question.strip() and prediction else None
    if run_button(ready, "Ask") and ready is not None:
        with closing(Progress(server().slot, "Asking")) as progress:
            asked = room.ask(ready, visitor(), question, prediction, progress.watch())
        st.session_state[f"asked-{room.code}"] = asked
        st.rerun()
    if ready is None:
        st.caption("Type a question and predict; then you can ask.")
    _board_of_member(room)


def _own_result(own: RoomRequest, revealed: bool) -> str:
    if not revealed:
        return f"Your request is number {own.number}. What it reused is revealed by the host."
    right = "✓ right" if own.prediction == own.answer else f"✗ it was: {own.answer}"
    return (
        f"Your request, number {own.number}: {own.reused:,} of {tokens(own.tokens)} reused, "
        f"{milliseconds(own.ttft_s)} to the first token. You predicted: {own.prediction} ({right})."
    )


def _show_system(room: Room) -> None:
    with st.expander("The system prompt that everybody here shares"):
        say(room.system, key="system")


try:
    main()
except PrefixEngineError as error:
    complain(str(error))
