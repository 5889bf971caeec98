"""The two links of a room: one to join it, one that is the host's alone."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from prefix_engine.room import Room


def join_link(room: Room) -> str:
    """For everybody."""
    return _link(room=room.code)


def host_link(room: Room) -> str:
    """For the host: whoever has it may show, reveal and end."""
    return _link(room=room.code, host=room.host_key)


def _link(**query: str) -> str:
    here = urlsplit(st.context.url or "")
    return urlunsplit((here.scheme, here.netloc, here.path, urlencode(query), ""))
