"""Sentences that may quote a prompt: shown as plain text, never parsed as Markdown or HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.pages_manager import PagesManager

from ui.palette import Theme

_CSS = (Path(__file__).parent.parent / "assets" / "page.css").read_text(encoding="utf-8")

Weight = Literal["headline", "sentence", "reply", "complaint"]


def page_style() -> None:
    """Put the style sheet of `say` on the page; once in each run of a page."""
    _go_through_app()
    st.html(f"<style>{_CSS}</style>")


def say(text: str, weight: Weight = "sentence", key: str | None = None) -> None:
    """One paragraph of plain text: `st.text`, in the page's type instead of a typewriter's."""
    with st.container(key=f"say-{weight}-{key or abs(hash(text))}"):
        st.text(text)


def place_for(weight: Weight, key: str) -> DeltaGenerator:
    """A place whose plain text may be replaced as often as wanted: `place.text(…)`."""
    return st.container(key=f"say-{weight}-{key}").empty()


def complain(text: str) -> None:
    """What went wrong and what to do, in plain text."""
    say(text, "complaint")


def page_theme() -> Theme:
    """Whether the visitor sees the page light or dark."""
    return "dark" if st.context.theme.type == "dark" else "light"


def _go_through_app() -> None:
    """Begin a visit again that went past app.py.

    Until app.py has run once in this process, Streamlit takes pages/ for pages of its own kind: who
    follows a link to one of them gets a list of file names for navigation.
    """
    begins = "visit_began" not in st.session_state
    st.session_state["visit_began"] = True
    if begins and PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        st.rerun()
