"""The ordering page in Chromium on the real model: guess, reorder by keyboard, run, read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.serving import LOAD_MS, RUN_MS, check_looks, open_tables


@pytest.fixture
def address(app: str) -> str:
    return f"{app}/put_novel_tokens_late"


def test_a_part_is_moved_by_keyboard_measured_and_exported(
    page: Page, address: str, tmp_path: Path
) -> None:
    page.goto(address)
    run = page.get_by_role("button", name="Run it here")
    expect(run).to_be_enabled(timeout=LOAD_MS)
    page.get_by_role("button", name="Move Request id back").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("2. Request id")).to_be_visible()
    expect(page.get_by_role("button", name="Move Request id back")).to_be_focused()
    expect(page.get_by_text("This order has not been measured yet")).to_be_visible()
    page.get_by_role("slider", name="Requests").press("Home")
    page.get_by_role("slider", name="Rounds").press("Home")
    run.click()
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    expect(page.get_by_text("Measured here on")).to_be_visible(timeout=RUN_MS)
    headline = page.locator('[class*="st-key-say-headline"]')
    expect(headline).to_contain_text("Request 2 reuses 25 of 323 tokens (8%) in this order")
    with page.expect_download() as download:
        page.get_by_role("button", name="Result as JSON").click()
    download.value.save_as(tmp_path / "result.json")
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["result"]
    second = [place["stream"]["requests"][1]["reused"] for place in result["places"]]
    assert second == sorted(second)
    assert second[-1] > 10 * second[0]


def test_the_keyboard_stays_with_a_part_at_either_end(page: Page, address: str) -> None:
    page.goto(address)
    back = page.get_by_role("button", name="Move Chat history back")
    forward = page.get_by_role("button", name="Move Chat history forward")
    expect(page.get_by_role("button", name="Run it here")).to_be_enabled(timeout=LOAD_MS)
    back.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("7. Chat history")).to_be_visible()
    expect(back).to_be_disabled()
    expect(forward).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("6. Chat history")).to_be_visible()
    expect(forward).to_be_focused()


def test_covered_and_answered_it_is_accessible_and_fits(phone: Page, address: str) -> None:
    phone.goto(address)
    skip = phone.get_by_role("button", name="Show without guessing")
    expect(skip).to_be_visible(timeout=LOAD_MS)
    # while the model loads, a disabled button is as faint as Streamlit makes it
    expect(phone.get_by_role("button", name="Run it here")).to_be_enabled(timeout=LOAD_MS)
    check_looks(phone)
    skip.click()
    expect(phone.get_by_text("Result as JSON")).to_be_visible()
    open_tables(phone, 3)
    expect(phone.get_by_text("before Date and time").first).to_be_visible()
    check_looks(phone)
