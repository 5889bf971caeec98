"""Where a room is joined or opened."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from prefix_engine.errors import PrefixEngineError
from prefix_engine.room import Room
from ui.lessons.side_channel import load_shop
from ui.progress import visitor
from ui.room.kept import RoomPass, stay
from ui.server import ready_engine, server
from ui.text import complain

MAX_SYSTEM_CHARACTERS = 4000


def show_door() -> None:
    """Two forms side by side; whoever gets in is in the room from then on."""
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
            _enter(lambda: _host_pass(server().rooms.open(system, engine, visitor())))


def _host_pass(room: Room) -> RoomPass:
    return RoomPass(room.code, room.host_key)


def _enter(get_pass: Callable[[], RoomPass]) -> None:
    """Go in, or say at the door why not."""
    try:
        stay(get_pass())
    except PrefixEngineError as error:
        complain(str(error))
    else:
        st.rerun()
