"""The page "The bill" in Chromium: predict, bill, count a text on the real model; looks, access."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.serving import LOAD_MS, check_looks


@pytest.fixture
def address(app: str) -> str:
    return f"{app}/the_bill"


@pytest.fixture
def page(page: Page, address: str) -> Page:
    page.goto(address)
    return page


def test_a_prediction_reveals_the_bill_and_its_chart(page: Page) -> None:
    page.get_by_text("from the 2nd request on", exact=True).click()
    right = page.get_by_text("Your prediction: from the 2nd request on: ✓ right.")
    expect(right).to_be_visible(timeout=LOAD_MS)
    expect(page.get_by_text("caching pays from the 2nd request on")).to_be_visible()
    chart = page.get_by_label(re.compile("Input cost of 20 requests: with caching 0.08875 USD"))
    expect(chart.first).to_be_visible(timeout=LOAD_MS)


def test_a_text_is_counted_by_the_model_and_billed(page: Page) -> None:
    page.get_by_text("A text, counted").click(timeout=LOAD_MS)
    expect(page.get_by_text("Recorded on")).to_be_visible(timeout=LOAD_MS)
    page.get_by_label("New in each request").fill("Is it open today? <b>**Now**</b>")
    page.get_by_label("New in each request").press("Control+Enter")
    expect(page.get_by_text("These texts are not counted yet")).to_be_visible(timeout=LOAD_MS)
    count = page.get_by_role("button", name=re.compile("^Count the tokens"))
    expect(count).to_be_enabled(timeout=LOAD_MS)
    count.click()
    expect(page.get_by_text("Measured here on")).to_be_visible(timeout=LOAD_MS)
    page.get_by_role("button", name="Show without guessing").click()
    expect(page.get_by_text("No prefix here reaches the minimum")).to_be_visible(timeout=LOAD_MS)


def test_every_state_is_accessible_and_fits(phone: Page) -> None:
    skip = phone.get_by_role("button", name="Show without guessing")
    expect(skip).to_be_visible(timeout=LOAD_MS)
    expect(phone.get_by_text("●").first).to_be_visible(timeout=LOAD_MS)
    check_looks(phone)
    skip.click()
    for name in ("The same as a table", "The rule, fact by fact", "What this does not show"):
        phone.get_by_text(name, exact=True).click(timeout=LOAD_MS)
    expect(phone.get_by_text("Only the price is tested here.")).to_be_visible(timeout=LOAD_MS)
    expect(phone.locator(".js-plotly-plot").first).to_be_visible(timeout=LOAD_MS)
    expect(phone.get_by_text("minimum length").first).to_be_visible(timeout=LOAD_MS)
    check_looks(phone)
