"""A room's two links, one to join it and one for the host alone, and what a session keeps of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from urllib.parse import urlencode, urlsplit, urlunsplit

import segno
import streamlit as st

from prefix_engine.room import Room

PASS = "room-pass"


@dataclass(frozen=True)
class RoomPass:
    """The room that this session is in; the host key with it where it is the host's session."""

    code: str
    key: str | None = field(default=None, repr=False)


def room_pass() -> RoomPass | None:
    """Of this session; the room may have ended meanwhile."""
    kept: RoomPass | None = st.session_state.get(PASS)
    return kept


def keep_pass(kept: RoomPass | None) -> None:
    """Be in that room from now on, on every page, or in none."""
    st.session_state[PASS] = kept


def join_link(room: Room) -> str:
    """For everybody."""
    return _link(room=room.code)


def host_link(room: Room) -> str:
    """For the host: whoever has it may show, reveal and end."""
    return _link(room=room.code, host=room.host_key)


def show_qr_code(link: str, alt: str) -> None:
    """For a class that looks at a projector with a phone in hand: dark on white in both themes,
    with the margin that readers need."""
    picture = segno.make(link, micro=False).svg_data_uri(border=4, light="#fff", scale=8)
    st.html(f'<img class="fd-qr" src="{picture}" alt="{escape(alt)}">')


def _link(**query: str) -> str:
    here = urlsplit(st.context.url or "")
    return urlunsplit((here.scheme, here.netloc, here.path, urlencode(query), ""))
