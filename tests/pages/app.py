"""A page without a browser: opened beside a server whose loading has ended somehow, and read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from prefix_engine.engine import Engine, Request
from ui.server import Loading, Server, server

TIMEOUT_S = 90
LOADING = Loading("Converting", 0.5)


def open_page(
    monkeypatch: pytest.MonkeyPatch, page: Path, status: Any = LOADING, **query: str
) -> AppTest:
    """The page as it is when `status` is what the server has come to."""

    monkeypatch.setattr(Server, "_load", lambda server: None)
    st.cache_resource.clear()
    server().status = status
    app = AppTest.from_file(page, default_timeout=TIMEOUT_S)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    """All that the page says."""
    shown = [*app.text, *app.caption, *app.markdown, *app.info, *app.warning, *app.header]
    return "\n".join(str(one.value) for one in shown)


def button(app: AppTest, label: str) -> Any:
    return next(one for one in app.button if one.label == label)


def watch_slot(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Fills with whether the server's slot was held, at each request that is computed from now."""
    held: list[bool] = []
    compute = Engine.request

    @contextmanager
    def request(self: Engine, *args: Any, **kwargs: Any) -> Iterator[Request]:
        held.append(server().slot._holder is not None)
        with compute(self, *args, **kwargs) as made:
            yield made

    monkeypatch.setattr(Engine, "request", request)
    return held
