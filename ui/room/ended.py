"""What stays of a room that has ended, before those who were in it."""

from __future__ import annotations

import streamlit as st

from prefix_engine.room import ENDED
from ui.room.board import show_board
from ui.room.host import offer_board
from ui.room.kept import RoomPass, last_seen, leave
from ui.room.member import ask_for_question
from ui.text import complain


def show_ended(own: RoomPass) -> None:
    """That it has ended, what was being typed, and the board as it was last seen here."""
    is_host, board = own.key is not None, last_seen(own.code)
    complain("This room has ended." if is_host else ENDED)
    if not is_host:
        ask_for_question()
        st.caption("What you typed: copy it if you want to ask it in another room.")
    if board is not None:
        st.caption("The board as you last saw it. It goes when you leave or reload this page.")
        show_board(board, is_host=is_host)
        if is_host:
            offer_board(board.code, lambda: board)
    st.button("Join or open another room", type="primary", on_click=leave)
