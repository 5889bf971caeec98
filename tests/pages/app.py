"""A page without a browser: opened beside a server whose loading has ended somehow, and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from ui.server import Loading, Server

TIMEOUT_S = 90
LOADING = Loading("Converting", 0.5)


def open_page(
    monkeypatch: pytest.MonkeyPatch, page: Path, status: Any = LOADING, **query: str
) -> AppTest:
    """The page as it is when `status` is what the server has come to."""

    def load(server: Server) -> None:
        server.status = status

    monkeypatch.setattr(Server, "_load", load)
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
