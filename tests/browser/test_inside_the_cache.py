"""Inside the cache in Chromium: predict, play, pin and run on the real model; looks, access."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.serving import LOAD_MS, check_looks

HOSTILE = '<img src=x onerror="document.title=1"> **b** ![x](http://x.y/z)'


@pytest.fixture
def address(app: str) -> str:
    return f"{app}/inside_the_cache"


@pytest.fixture
def page(page: Page, address: str) -> Page:
    page.goto(address)
    return page


def run_button(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile("^Run it here"))


def reveal(page: Page) -> None:
    page.get_by_role("button", name="Show without guessing").click(timeout=LOAD_MS)


def run_the_changed_plan(page: Page) -> None:
    expect(page.get_by_text("These requests were not run yet")).to_be_visible(timeout=LOAD_MS)
    run_button(page).click()
    expect(page.get_by_text("The run is done:")).to_be_visible(timeout=LOAD_MS)
    reveal(page)
    expect(page.get_by_text("Measured here on")).to_be_visible(timeout=LOAD_MS)


def boxes(page: Page, state: str) -> Locator:
    return page.locator(f".fd-tree-box.fd-tree-{state}")


def test_a_prediction_reveals_the_tree_with_its_ghost_and_playback_moves_on(page: Page) -> None:
    page.get_by_text("Request 1", exact=True).first.click(timeout=LOAD_MS)
    expect(page.get_by_text("Request 1: ✗ it is: Request 2.")).to_be_visible(timeout=LOAD_MS)
    expect(boxes(page, "evicted")).to_have_text(re.compile("NYC.*evicted7 tokensin request 2"))
    page.get_by_role("button", name="Next").click()
    expect(boxes(page, "evicted")).to_have_count(3)
    page.get_by_text("The same as a table").first.click()
    expect(page.locator(".fd-tree-table tbody tr")).to_have_count(
        page.locator(".fd-tree-box").count()
    )


def test_a_pinned_request_survives_in_a_run_made_here(page: Page) -> None:
    expect(run_button(page)).to_be_enabled(timeout=LOAD_MS)
    page.get_by_label("Pin: keep this").click()
    page.get_by_role("option", name="Request 2").click()
    run_the_changed_plan(page)
    expect(page.get_by_text("✓ The run bears the sentence out.")).to_be_visible()
    expect(boxes(page, "kept").filter(has_text="NYC")).to_contain_text("pinned")


def test_prompts_are_never_parsed_as_markup(page: Page) -> None:
    expect(run_button(page)).to_be_enabled(timeout=LOAD_MS)
    page.get_by_text("Change the requests").click()
    field = page.get_by_label("One request a line")
    field.fill(f"{HOSTILE}\n{HOSTILE} again")
    field.press("Control+Enter")
    run_the_changed_plan(page)
    expect(boxes(page, "reused")).to_contain_text("<")
    assert page.locator('img[src="x"]').count() == 0
    assert page.title() != "1"


def test_every_state_is_accessible_and_fits(phone: Page) -> None:
    expect(run_button(phone)).to_be_enabled(timeout=LOAD_MS)
    check_looks(phone)
    reveal(phone)
    expect(phone.locator(".js-plotly-plot")).to_have_count(2, timeout=LOAD_MS)
    for heading in phone.locator("details > summary").all():
        heading.click()
    for width in (390, 1920):
        phone.set_viewport_size({"width": width, "height": 900})
        edge = phone.locator(".fd-tree").evaluate("one => one.getBoundingClientRect().right")
        for box in phone.locator(".fd-tree-box").all():
            assert box.evaluate("one => one.getBoundingClientRect().right") <= edge + 1
    check_looks(phone)
