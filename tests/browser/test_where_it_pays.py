"""Where it pays in Chromium on the real model: predict, step, run, stop, replay a trace."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from prefix_engine.lessons.sample_trace import sample_trace
from tests.browser.serving import LOAD_MS, RUN_MS, check_looks


@pytest.fixture
def address(app: str) -> str:
    return f"{app}/where_it_pays"


@pytest.fixture
def page(page: Page, address: str) -> Page:
    page.goto(address)
    expect(run_button(page)).to_be_enabled(timeout=LOAD_MS)
    return page


def run_button(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile("^Run it here"))


def headline(page: Page) -> Locator:
    return page.locator('[class*="st-key-say-headline"]').first


def choose(page: Page, label: str) -> None:
    page.get_by_text(label, exact=True).click()


def use_one_round(page: Page) -> None:
    page.get_by_role("slider", name="Rounds").press("ArrowLeft")


def test_requests_are_predicted_and_revealed_one_by_one(page: Page) -> None:
    expect(page.get_by_text("Recorded on")).to_have_count(0)
    choose(page, "none of them")
    expect(page.get_by_text("Your prediction: none of them: ✗ it is:")).to_be_visible()
    expect(headline(page)).to_contain_text("Request 2 of 5 sends")
    page.get_by_role("button", name="Next request").click()
    expect(headline(page)).to_contain_text("Request 3 of 5 sends")
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_text("All requests together")).to_be_visible()
    page.get_by_role("slider", name="Requests shown").press("ArrowLeft")
    expect(headline(page)).to_contain_text("Request 4 of 5 sends")


def test_a_workload_is_served_for_real(page: Page) -> None:
    choose(page, "Documents (RAG)")
    use_one_round(page)
    run_button(page).click()
    expect(page.get_by_text("Measured here on")).to_be_visible(timeout=RUN_MS)
    expect(headline(page)).to_contain_text("Request 5 of 5 sends")
    expect(page.get_by_text("prompt tokens came from the cache")).to_be_visible()
    # what is said of the times is this machine's to say
    expect(page.get_by_text(re.compile("bears? the sentence out|can't tell")).first).to_be_visible()


def test_an_uploaded_trace_is_replayed(page: Page) -> None:
    choose(page, "a file of mine")
    lines = "\n".join(sample_trace()[:80]).encode()
    page.locator('input[type="file"]').set_input_files(
        {"name": "*mine*.jsonl", "mimeType": "application/jsonl", "buffer": lines}
    )
    page.get_by_role("button", name="Replay it").click()
    about = page.get_by_text("Calculated, not measured, from the file")
    expect(about).to_contain_text("80 requests")
    expect(page.get_by_text("*mine*.jsonl").first).to_be_visible()


def test_every_state_is_accessible_and_fits(phone: Page) -> None:
    check_looks(phone)
    phone.get_by_role("button", name="Show without guessing").click()
    phone.get_by_role("button", name="Show all").click()
    # the run's last element: what comes before it is on the phone by then
    expect(phone.get_by_role("button", name="Result as JSON")).to_be_visible()
    for summary in phone.locator('[data-testid="stExpander"] summary').all():
        summary.click()
    expect(phone.get_by_text("One small model on one processor")).to_be_visible()
    check_looks(phone)
