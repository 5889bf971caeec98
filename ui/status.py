"""The line that says which model answers, or how far its loading is."""

from __future__ import annotations

import streamlit as st

from ui.server import Failed, Loading, Server
from ui.text import complain
from ui.wording import who

POLL_S = 0.5


def show_status(server: Server) -> None:
    """Who is answering; while it is still loading, its progress, and then the page runs again."""
    match server.status:
        case Loading():
            _show_loading(server)
        case Failed(why):
            complain(f"Nothing can be run here yet. {why}")
            st.button("Try again", on_click=server.retry)
        case engine:
            from prefix_engine.machine import describe_machine

            st.caption(f"● {who(engine.model.info, describe_machine())}")


@st.fragment(run_every=POLL_S)
def _show_loading(server: Server) -> None:
    if isinstance(server.status, Loading):
        st.progress(server.status.part, f"Loading the model: {server.status.what}")
    else:
        st.rerun()
