"""What a session keeps of the room it is in."""

from __future__ import annotations

from dataclasses import dataclass, field

import streamlit as st

from prefix_engine.board import Board

PASS = "room-pass"
SEEN = "room-seen"


@dataclass(frozen=True)
class RoomPass:
    """The room that this session is in; the host key with it where it is the host's session."""

    code: str
    key: str | None = field(default=None, repr=False)


def room_pass() -> RoomPass | None:
    """Of this session; the room may have ended meanwhile."""
    kept: RoomPass | None = st.session_state.get(PASS)
    return kept


def stay(kept: RoomPass) -> None:
    """Be in that room: in the session for the other pages, and in the address for a reload, but
    there without the key, for the address bar may be on a projector."""
    st.session_state[PASS] = kept
    if st.query_params.to_dict() != {"room": kept.code}:
        st.query_params.from_dict({"room": kept.code})


def leave() -> None:
    """Be in no room."""
    st.session_state[PASS] = st.session_state[SEEN] = None
    st.query_params.clear()


def keep_seen(board: Board) -> None:
    """Remember what was shown: when the room ends, it stays before those who looked at it."""
    st.session_state[SEEN] = board


def last_seen(code: str) -> Board | None:
    """That room's board as it was shown here last."""
    board: Board | None = st.session_state.get(SEEN)
    return board if board is not None and board.code == code else None
