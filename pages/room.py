"""A room: a whole class behind one system prompt, and a board of what they share."""

from __future__ import annotations

import streamlit as st

from prefix_engine.errors import PrefixEngineError
from prefix_engine.room import NoRoom
from ui.chapter import open_page, show_limits
from ui.room.door import show_door
from ui.room.ended import show_ended
from ui.room.host import show_host
from ui.room.kept import RoomPass, leave, room_pass, stay
from ui.room.links import SCREEN
from ui.room.member import show_member
from ui.room.screen import show_screen
from ui.server import server
from ui.text import complain

LIMITS = (
    "Only the time to the first token is measured: no answer is written.",
    "Every request is measured once, one after the other on one machine: single times, not "
    "medians. For a fair comparison of the same prompt, use Two prompts.",
    "The first request is slow for a second reason if the server has only just started.",
    "What other visitors' runs drive out of the cache is computed and stored again before this "
    "room's next request, outside its time. A server with more users than room for their KV "
    "forgets, and computes anew.",
)


def main() -> None:
    code = st.query_params.get("room")
    if code and st.query_params.get("view") == SCREEN:
        show_screen(code)
        return
    open_page(
        "Room",
        None,
        "A class is what prefix caching needs: many users. Before a language model answers, it "
        "reads the whole prompt: first the **system prompt**, the same for everybody here, then "
        "your question. It reads in **tokens**, words or pieces of words. What it computes of them "
        "is kept in the **KV cache**, as keys and values; a room has one part of it for all of "
        "you, its **namespace**.",
    )
    asked_for = pass_asked_for()
    if asked_for is None:
        show_door()
    else:
        show_room(asked_for)


def pass_asked_for() -> RoomPass | None:
    """By the address, or the session's own where the address says no more than that."""
    code, own = st.query_params.get("room"), room_pass()
    key = st.query_params.get("host")
    if not code or (key is None and own is not None and own.code == code):
        return own
    return RoomPass(code, key)


def show_room(asked_for: RoomPass) -> None:
    """The room as the host or as a member sees it, what is left of it, or that there is none."""
    try:
        room = server().rooms.find(asked_for.code)
    except NoRoom as error:
        own = room_pass()
        if own is not None and own.code == asked_for.code:
            show_ended(own)
            return
        leave()
        complain(str(error))
        show_door()
        return
    key = asked_for.key
    if key is not None and not room.is_host(key):
        complain(
            "This is not the key of the room's host, so you are here as a member. "
            "The host's own link, whole, makes you the host."
        )
        key = None
    stay(RoomPass(room.code, key))
    if key is not None:
        show_host(room, key)
    else:
        room.join()
        show_member(room)
    show_limits(LIMITS)


try:
    main()
except PrefixEngineError as error:
    complain(str(error))
