"""What the host sees of a room: how to join it, the controls, and its board."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import streamlit as st

from prefix_engine.board import Board
from prefix_engine.measured import stamp, to_json
from prefix_engine.room import UNJOINED_S, NoRoom, Room
from ui.room.board import look_again, show_board, show_system, tree_of
from ui.room.kept import keep_seen
from ui.room.links import host_link, join_link, leads_here_only, screen_link, show_qr_code
from ui.server import ready_engine, server
from ui.text import complain

EVERY_S = 1.0
HERE_ONLY = (
    "Nobody else can follow this link: it leads each device to itself. Open this page by this "
    "computer's address in your network, which Streamlit calls Network URL when it starts, and "
    "open the room there."
)


def show_host(room: Room, key: str) -> None:
    """The host's page of an open room."""
    board = room.board
    keep_seen(board)
    join, code, host = st.columns([2, 1, 2], vertical_alignment="center")
    with join, st.container(key="room-join"):
        st.metric("Code of this room", room.code)
        st.caption("Link to join: show this one")
        st.code(join_link(room), language=None, wrap_lines=True)
    if leads_here_only(join_link(room)):
        complain(HERE_ONLY)
    with code:
        show_qr_code(join_link(room), "The link to join as a QR code")
    with host:
        _show_controls(room, board, key)
        with st.expander("Your own link as host: keep it, show it to nobody"):
            st.code(host_link(room), language=None, wrap_lines=True)
        st.caption("After a reload of this page, only your own link makes you the host again.")
    if not board.joined:
        st.caption(
            "Nobody has joined yet. If that is still so after "
            f"{UNJOINED_S / 60:.0f} minutes, the room may be ended for another that is wanted: "
            "join it yourself, in another browser, to keep it."
        )
    show_system(room)
    show_board(board, is_host=True, take_tree=tree_of(room))
    look_again(room, board.version, EVERY_S)


def offer_board(code: str, take_board: Callable[[], Board]) -> None:
    """A download of the board, with the questions: the host's alone."""
    engine = ready_engine()
    if engine is not None:
        st.download_button(
            "Board as JSON",
            # made when it is asked for: of the room as it is then
            lambda: to_json(stamp(engine, take_board())),
            f"room-{code}.json",
            "application/json",
            on_click="ignore",
        )


def _show_controls(room: Room, board: Board, key: str) -> None:
    _toggle("Reveal what was reused, and the times", board.revealed, partial(room.reveal, key))
    _toggle("Show the questions to everybody", board.prompts_shown, partial(room.show_prompts, key))
    _toggle("Salt: a namespace for each member", board.salted, partial(room.salt, key))
    st.caption(
        "With a salt nobody finds what another has asked, and nobody shares any longer, not even "
        "the system prompt. Let the class listen on the page The side channel first; then cover "
        "the figures, and let it predict what a salt does."
    )
    with st.container(horizontal=True):
        st.link_button(
            "Board for the projector",
            screen_link(room),
            help="The board and how to join, large, without these controls, in a tab of its own.",
        )
        offer_board(room.code, lambda: room.board)
        with st.popover("End the room"):
            st.write("The room ends for everybody, and its KV is gone.")
            if st.button("End it now", type="primary"):
                room.end(key)
                server().rooms.sweep()
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
