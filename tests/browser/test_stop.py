"""Stop, pressed in Chromium while the real model computes: the page is as it was before."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.serving import LOAD_MS, RUN_MS


@pytest.mark.parametrize(
    "address",
    ["put_novel_tokens_late", "where_it_pays", "one_user_many_users", "side_channel"],
)
def test_a_run_can_be_stopped_and_loses_nothing(page: Page, app: str, address: str) -> None:
    page.goto(f"{app}/{address}")
    page.get_by_role("button", name=re.compile("^Run it here")).click(timeout=LOAD_MS)
    stop = page.get_by_role("button", name="Stop", exact=True)
    stop.click(timeout=RUN_MS)
    expect(stop).to_have_count(0, timeout=RUN_MS)
    expect(page.get_by_text("Measured here on")).to_have_count(0)
    expect(page.get_by_text("A recorded run waits")).to_be_visible()


def test_who_closes_the_page_leaves_the_machine_to_the_next(
    page: Page, browser: Browser, app: str
) -> None:
    gone = browser.new_page()
    gone.goto(f"{app}/?preset=long-system&trials=20&reply=0")
    gone.get_by_role("button", name=re.compile("^Run")).click(timeout=LOAD_MS)
    expect(gone.get_by_role("button", name="Stop", exact=True)).to_be_visible(timeout=RUN_MS)
    gone.close()
    page.goto(f"{app}/?preset=repeat&trials=1&reply=0")
    page.get_by_role("button", name=re.compile("^Run")).click(timeout=LOAD_MS)
    expect(page.get_by_text("Measured here on")).to_be_visible(timeout=RUN_MS)
