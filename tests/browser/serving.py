"""A Streamlit script on a free local port, and a page that keeps what went wrong on it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Error, Locator, Page, expect

ROOT = Path(__file__).parents[2]
SHOW_MS = 60_000
LOAD_MS = 120_000
RUN_MS = 600_000
"""Bounds, not expectations: a machine that is shared may take many times as long as a quiet one."""
POLL_S = 0.05

AXE = ROOT / "build/npm/node_modules/axe-core/axe.min.js"
LOOK_THROUGH = """async () => (await axe.run()).violations.map(
  (one) => one.id + ': ' + one.nodes.map((node) => node.html).join(' | '))"""
TRIES = 5


@contextmanager
def serve(script: str) -> Iterator[str]:
    """The script's address, while it is served; `script` is a path below the repository."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    options = ["--server.headless=true", f"--server.port={port}", "--server.fileWatcherType=none"]
    command = [sys.executable, "-m", "streamlit", "run", script, *options]
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        process = subprocess.Popen(
            [*command, "--server.address=localhost"],
            cwd=ROOT,
            # one thread: beside it, another worker of the tests has a server of its own
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_started(process, Path(log.name))
            yield f"http://localhost:{port}"
        finally:
            process.terminate()
            process.wait()


def _wait_until_started(process: subprocess.Popen[bytes], log: Path) -> None:
    until_s = time.monotonic() + SHOW_MS / 1000
    while "URL:" not in log.read_text("utf-8", errors="replace"):
        if process.poll() is not None or time.monotonic() > until_s:
            pytest.fail(f"Streamlit did not start:\n{log.read_text('utf-8', errors='replace')}")
        time.sleep(POLL_S)


def watch(page: Page) -> list[str]:
    """A list that fills with the page's console errors and with its requests off the machine."""
    wrong: list[str] = []

    def note(message: str, is_wrong: bool = True) -> None:
        if is_wrong:
            wrong.append(message)

    page.on("console", lambda message: note(message.text, is_error(message)))
    page.on("pageerror", lambda error: note(str(error)))
    page.on("request", lambda request: note(request.url, is_foreign(request.url)))
    return wrong


def is_error(message: ConsoleMessage) -> bool:
    """Streamlit looks for its server below the address of a page first, and does not find it."""
    looking = message.location["url"].endswith(("/_stcore/health", "/_stcore/host-config"))
    return message.type == "error" and not looking


def is_foreign(url: str) -> bool:
    return not url.startswith(("data:", "blob:", "about:", "http://localhost:", "ws://localhost:"))


def link_in(code: Locator) -> str:
    """Streamlit empties a piece of code for an instant, before it can colour it and again when it
    draws it anew: found and read in one step."""
    return (code.filter(has_text="room=").text_content(timeout=LOAD_MS) or "").strip()


def open_tables(page: Page, count: int) -> None:
    """Opens the tables below the page's charts, `count` of them."""
    folds = page.get_by_text("The same as a table")
    expect(folds).to_have_count(count, timeout=LOAD_MS)
    for fold in folds.all():
        fold.click()
    expect(page.get_by_role("table").nth(count - 1)).to_be_visible()


def violations(page: Page) -> list[str]:
    """What axe-core finds on the page as it stands. Skips the test where axe is not installed."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed in build/npm")
    page.add_script_tag(path=AXE)
    for _ in range(TRIES):
        try:
            found: list[str] = page.evaluate(LOOK_THROUGH)
        except Error as error:  # it breaks off where the page is drawn anew under it
            broke_off = error
        else:
            return found
    raise broke_off


def check_looks(page: Page, widths: tuple[int, ...] = (390, 1920)) -> None:
    """Whether the page as it stands is accessible, and fits without scrolling sideways. In the dark
    at the first width only: what is where does not depend on colours."""
    height = (page.viewport_size or {"height": 844})["height"]
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    for width in widths[:1] if dark else widths:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
        found = violations(page)
        assert found == [], f"{width} pixels wide: {found}"
