"""A room's links, one to join it, one for the host alone, one for the projector."""

from __future__ import annotations

from html import escape
from ipaddress import ip_address
from urllib.parse import urlencode, urlsplit, urlunsplit

import segno
import streamlit as st

from prefix_engine.room import Room

SCREEN = "screen"
"""In the address of the board for the projector."""


def join_link(room: Room) -> str:
    """For everybody."""
    return _link(room=room.code)


def host_link(room: Room) -> str:
    """For the host: whoever has it may show, reveal and end."""
    return _link(room=room.code, host=room.host_key)


def screen_link(room: Room) -> str:
    """For the projector: the board, and how to join; no controls, and no key."""
    return _link(room=room.code, view=SCREEN)


def leads_here_only(link: str) -> bool:
    """Whether its address is one that every device has for itself."""
    host = urlsplit(link).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def show_qr_code(link: str, alt: str) -> None:
    """For a class that looks at a projector with a phone in hand: dark on white in both themes,
    with the margin that readers need."""
    picture = segno.make(link, micro=False).svg_data_uri(border=4, light="#fff", scale=8)
    st.html(f'<img class="fd-qr" src="{picture}" alt="{escape(alt)}">')


def _link(**query: str) -> str:
    here = urlsplit(st.context.url or "")
    return urlunsplit((here.scheme, here.netloc, here.path, urlencode(query), ""))
