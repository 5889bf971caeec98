"""A room on the projector: how to join, and the board, large; no controls and no key."""

from __future__ import annotations

import streamlit as st

from prefix_engine.room import ENDED, NoRoom
from ui.room.board import look_again, show_board, tree_of
from ui.room.kept import keep_seen, last_seen
from ui.room.links import join_link, show_qr_code
from ui.server import server
from ui.status import show_status
from ui.text import complain, page_style

EVERY_S = 1.0


def show_screen(code: str) -> None:
    """The board of that room, for a whole class to look at."""
    page_style()
    with st.container(key="room-screen"):
        try:
            room = server().rooms.find(code)
        except NoRoom as error:
            _show_end(code, str(error))
            return
        board = room.board
        keep_seen(board)
        how_to_join, what_happens = st.columns([1, 3] if board.requests else [1, 1], gap="large")
        with how_to_join:
            st.title(room.code)
            st.markdown("Join: scan this, or open the link below it.")
            show_qr_code(join_link(room), "The link to join as a QR code")
            st.code(join_link(room), language=None, wrap_lines=True)
            show_status(server())
        with what_happens:
            show_board(board, take_tree=tree_of(room), is_large=True)
        look_again(room, board.version, EVERY_S)


def _show_end(code: str, why: str) -> None:
    board = last_seen(code)
    st.title("Room")
    complain(why if board is None else ENDED)
    if board is not None:
        show_board(board, is_large=True)
