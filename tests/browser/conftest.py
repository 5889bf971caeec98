"""Chromium as the system has it, for pytest-playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.serving import SHOW_MS, serve, watch

expect.set_options(timeout=SHOW_MS)


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, object]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    return {
        "executable_path": chromium,
        "args": [
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-background-networking",
        ],
    }


@pytest.fixture(scope="session")
def app() -> Iterator[str]:
    """The address of the app: one server for all tests, as for all visitors."""
    with serve("app.py") as address:
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A visitor of their own, on whose page nothing may go wrong."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    wrong = watch(page)
    yield page
    page.close()
    assert wrong == []


@pytest.fixture(params=["light", "dark"])
def phone(page: Page, request: pytest.FixtureRequest) -> Page:
    """The page on a phone, light and dark."""
    page.emulate_media(color_scheme=request.param, reduced_motion="reduce")
    page.set_viewport_size({"width": 390, "height": 844})
    return page
