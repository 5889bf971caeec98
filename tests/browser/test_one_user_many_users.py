"""One user, many users in Chromium on the real model: guess, run, more users, read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.serving import LOAD_MS, RUN_MS, check_looks, open_tables


@pytest.fixture
def address(app: str) -> str:
    return f"{app}/one_user_many_users"


def test_it_runs_for_real_and_its_users_grow_by_keyboard(
    page: Page, address: str, tmp_path: Path
) -> None:
    page.goto(address)
    run = page.get_by_role("button", name="Run it here")
    expect(run).to_be_enabled(timeout=LOAD_MS)
    page.get_by_role("slider", name="Users to measure").press("Home")
    page.get_by_role("slider", name="Rounds").press("Home")
    expect(page.get_by_text("2 users are not measured yet")).to_be_visible()
    run.click()
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    expect(page.get_by_text("Measured here on")).to_be_visible(timeout=RUN_MS)
    expect(page.get_by_text("2 users behind that system prompt")).to_be_visible()
    page.get_by_role("slider", name="Users behind one system prompt").press("End")
    expect(page.get_by_text("Calculated: 10,000 users")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Result as JSON").click()
    download.value.save_as(tmp_path / "result.json")
    arms = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["result"]["arms"]
    reused = {arm["who"]: sum(one["reused"] for one in arm["stream"]["requests"]) for arm in arms}
    assert reused["one user, unrelated prompts"] == 0
    assert reused["many users, a namespace each"] == 0
    assert reused["one user, one system prompt"] > 500


def test_covered_and_answered_it_is_accessible_and_fits(phone: Page, address: str) -> None:
    phone.goto(address)
    expect(phone.get_by_role("button", name="Run it here")).to_be_enabled(timeout=LOAD_MS)
    check_looks(phone)
    phone.get_by_role("button", name="Show without guessing").click()
    expect(phone.get_by_text("Result as JSON")).to_be_visible()
    open_tables(phone, 3)
    expect(phone.get_by_text("calculated", exact=True).first).to_be_visible()
    check_looks(phone)
