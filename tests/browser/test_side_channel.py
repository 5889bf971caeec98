"""The side channel in Chromium on the real model: predict, listen, read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.serving import LOAD_MS, RUN_MS, check_looks, link_in, open_tables

ASKED = "May I take <b class=planted>two</b> of **these** a day, and is one enough?"
NEVER = "Which of the gels that you sell is cheapest, and how soon would it be here?"


@pytest.fixture
def address(app: str) -> str:
    return f"{app}/side_channel"


def test_the_prediction_comes_before_what_the_times_tell(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_text("drawn by lot")).to_be_visible(timeout=LOAD_MS)
    expect(page.get_by_text("Recorded on")).to_have_count(0)
    page.get_by_text("No, the answers stay hidden").click()
    expect(page.get_by_text("Your prediction: No, the answers stay hidden")).to_be_visible()
    expect(page.get_by_text("Recorded on")).to_be_visible()


def test_an_own_run_finds_the_whole_question_only_where_nothing_is_salted(
    page: Page, address: str, tmp_path: Path
) -> None:
    page.goto(address)
    page.get_by_role("button", name="Show without guessing").click(timeout=LOAD_MS)
    page.get_by_role("button", name=re.compile("^Run it here")).click(timeout=LOAD_MS)
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible(timeout=LOAD_MS)
    expect(page.get_by_text("Measured here on")).to_be_visible(timeout=RUN_MS)
    with page.expect_download() as download:
        page.get_by_role("button", name="Result as JSON").click()
    download.value.save_as(tmp_path / "result.json")
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["result"]
    for heard, expected in (
        (result["shared"], {result["shared"]["secret"]}),
        (result["salted"], set()),
    ):
        assert found_whole(heard) == expected


def found_whole(heard: dict[str, Any]) -> set[int]:
    """The questions of which all but the last token was found in the cache."""
    return {p["question"] for p in heard["probes"] if p["reused"] == p["tokens"] - 1}


def test_covered_and_answered_it_is_accessible_and_fits(phone: Page, address: str) -> None:
    phone.goto(address)
    expect(phone.get_by_role("button", name=re.compile("^Show without"))).to_be_visible(
        timeout=LOAD_MS
    )
    expect(phone.get_by_text("●").first).to_be_visible(timeout=LOAD_MS)
    check_looks(phone)
    phone.get_by_role("button", name="Show without guessing").click()
    expect(phone.get_by_text("Result as JSON")).to_be_visible(timeout=LOAD_MS)
    expect(phone.locator(".js-plotly-plot").nth(1)).to_be_visible(timeout=LOAD_MS)
    open_tables(phone, 2)
    check_looks(phone)


def test_who_is_in_a_room_may_listen_to_it(page: Page, app: str, browser: Browser) -> None:
    page.goto(f"{app}/room")
    page.get_by_role("button", name="Open", exact=True).click(timeout=RUN_MS)
    expect(page.get_by_text("Code of this room")).to_be_visible(timeout=LOAD_MS)
    member = browser.new_page(viewport={"width": 1280, "height": 900})
    member.goto(link_in(page.locator("code").first))
    member.get_by_label("Your question").fill(ASKED, timeout=LOAD_MS)
    member.get_by_label("Your question").press("Control+Enter")
    member.get_by_text("the system prompt or more", exact=True).first.click()
    member.get_by_role("button", name=re.compile("^Ask")).click(timeout=LOAD_MS)
    expect(member.get_by_text("Your request is number")).to_be_visible(timeout=RUN_MS)
    member.close()
    page.get_by_text("Reveal what was reused").click()
    expect(page.get_by_text("What the cache keeps of this room")).to_be_visible(timeout=LOAD_MS)

    page.get_by_role("link", name="The side channel", exact=True).click()
    page.get_by_role("button", name="Show without guessing").click(timeout=LOAD_MS)
    for number, guess in enumerate((NEVER, ASKED), 1):
        page.get_by_label(f"Guess {number}").fill(guess, timeout=LOAD_MS)
        page.get_by_label(f"Guess {number}").press("Control+Enter")
    page.get_by_role("button", name=re.compile("^Listen")).click(timeout=LOAD_MS)
    expect(page.get_by_text("With a salt of your own")).to_be_visible(timeout=RUN_MS)
    check_looks(page)
    # the pharmacy's two tables stay closed
    for number in range(2):
        page.get_by_text("The same as a table").nth(2 + number).click()
        rows = page.get_by_role("table").nth(number).locator("tbody tr")
        expect(rows).to_have_count(2)
        for row, asked in zip(rows.all(), ("no", "yes"), strict=True):
            expect(row).to_contain_text(asked)
    assert not page.evaluate("document.querySelector('.stApp b.planted')")
