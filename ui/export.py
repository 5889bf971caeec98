"""Take a run away: as data, as a report, as a link that opens the page in the same settings."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import streamlit as st

from prefix_engine.export import to_json
from prefix_engine.record import Run
from ui.report import html_report


def show_export(run: Run, recorded: bool) -> None:
    """Two downloads, made when they are asked for, and the link."""
    name = f"first-difference-{run.date[:19].replace(':', '')}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Run as JSON",
            lambda: json.dumps(to_json(run), ensure_ascii=False, indent=1),
            f"{name}.json",
            "application/json",
            on_click="ignore",
        )
        st.download_button(
            "Report as HTML",
            lambda: html_report(run, recorded),
            f"{name}.html",
            "text/html",
            on_click="ignore",
        )
    with st.expander("Link to this page with preset and settings"):
        st.code(_link(), language=None, wrap_lines=True)
        st.caption("It holds no prompt text: prompts of your own travel in the JSON.")


def _link() -> str:
    """The page's address with the preset and every setting, defaults too."""
    state = st.session_state
    query = {name: state[name] for name in ("preset", "mode", "trials", "reply")}
    return f"{str(st.context.url or '').split('?')[0]}?{urlencode(query)}"
