"""The main page in Chromium on the real model: open, predict, run, read the figures."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.serving import LOAD_MS, RUN_MS, check_looks, watch

HOSTILE = (
    '<img src=x onerror="document.title=1"><style>*{display:none}</style> **b** ![x](http://x.y/z)'
)


def open_page(page: Page, app: str, query: str = "") -> None:
    page.goto(f"{app}/?{query}")
    expect(run_button(page)).to_be_enabled(timeout=LOAD_MS)


def run_button(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile("^Run Shortcut"))


def run(page: Page) -> None:
    run_button(page).click()
    expect(page.get_by_text("Measured here on")).to_be_visible(timeout=RUN_MS)


def type_prompts(page: Page, a: str, b: str) -> None:
    for label, text in (("A: already in the cache", a), ("B: arrives next", b)):
        page.get_by_label(label).fill(text)
        page.get_by_label(label).press("Control+Enter")


def unfold(page: Page, name: str) -> None:
    """By keyboard: what unfolds above may move it from under a mouse."""
    part = page.locator("details", has=page.get_by_text(name, exact=False)).first
    if part.get_attribute("open") is None:
        part.locator("summary").press("Enter")
    expect(part).to_have_attribute("open", "")


def headline(page: Page) -> Locator:
    return page.locator('[class*="st-key-say-headline"]')


def stops(page: Page) -> Locator:
    """Where a guess can be put: before each token of B, and after the last one."""
    return page.locator("button.fd-row-b")


def kv_cells(page: Page) -> Locator:
    return page.locator('[data-testid="stTable"]').first.locator("td")


def test_it_opens_with_the_recorded_pair_and_its_answer_covered(page: Page, app: str) -> None:
    open_page(page, app)
    expect(stops(page)).to_have_count(9 + 1)
    expect(page.get_by_text("Recorded on")).to_have_count(0)
    page.get_by_role("button", name="Show the recorded run").click()
    expect(headline(page)).to_contain_text("B reuses 2 of 9 tokens.")
    expect(page.get_by_text("Recorded on")).to_be_visible()


def test_a_guess_reveals_and_the_gap_is_told(page: Page, app: str) -> None:
    open_page(page, app)
    page.locator('.fd-cell.fd-row-b[data-i="4"]').click()
    expect(headline(page)).to_contain_text("B reuses 2 of 9 tokens.")
    expect(page.get_by_text("2 tokens too late").first).to_be_visible()


def test_typed_prompts_are_compared_run_and_exported(
    page: Page, browser: Browser, app: str, tmp_path: Path
) -> None:
    open_page(page, app, "trials=1&reply=4")
    type_prompts(page, "The cat sat on the mat.", "The cat sat on the hat.")
    expect(stops(page)).to_have_count(7 + 1)
    run(page)
    expect(headline(page)).to_contain_text('" mat" against " hat"')
    with page.expect_download() as download:
        page.get_by_role("button", name="Run as JSON").click()
    download.value.save_as(tmp_path / "run.json")
    data = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert (data["shared"], data["reused"], data["computed"]) == (5, 5, 2)
    per_token = data["kv_bytes_per_token"]
    shown = [f"{tokens * per_token:,} B" for tokens in (5, 2, 7)]
    expect(kv_cells(page)).to_have_text(["5", "2", "7", *shown])
    assert sorted(trial["arm"] for trial in data["trials"]) == ["cold", "control", "hit"]
    assert [reply["arm"] for reply in data["replies"]] == ["cold", "hit"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Report as HTML").click()
    download.value.save_as(tmp_path / "report.html")
    report = browser.new_page()
    wrong = watch(report)
    report.goto((tmp_path / "report.html").as_uri())
    expect(report.locator("h1")).to_contain_text("B reuses 5 of 7 tokens.")
    expect(report.locator(".fd-cell.fd-row-b")).to_have_count(7)
    assert [url for url in wrong if not url.startswith("file:")] == []


def test_a_link_opens_with_its_preset_and_settings(page: Page, app: str) -> None:
    open_page(page, app, "preset=repeat&trials=2&reply=0&mode=chat")
    expect(page.get_by_role("radio", name="chat")).to_be_checked()
    run(page)
    expect(headline(page)).to_contain_text("B reuses 51 of 52 tokens")
    expect(page.get_by_text("Both replies")).to_have_count(0)
    page.get_by_text("Link to this page").click()
    link = page.get_by_test_id("stCode").last
    expect(link).to_contain_text("preset=repeat&mode=chat&trials=2&reply=0")


def test_a_link_with_nonsense_opens_as_if_it_said_nothing(page: Page, app: str) -> None:
    open_page(page, app, "preset=%3Cscript%3E&trials=999&reply=x&mode=zzz")
    expect(stops(page)).to_have_count(9 + 1)


def test_markup_in_prompts_stays_text(page: Page, app: str) -> None:
    open_page(page, app, "trials=1&reply=4")
    type_prompts(page, HOSTILE, HOSTILE + " and more")
    run(page)
    expect(headline(page)).to_contain_text("B continues A: all")
    assert page.locator("img[src='x'], img[src*='x.y']").count() == 0
    assert page.title() != "1"


def test_a_prompt_over_the_limit_is_refused_with_its_count(page: Page, app: str) -> None:
    open_page(page, app)
    type_prompts(page, "a", "word " * 3000)
    expect(page.get_by_text("B has 3,001 tokens; the limit is 2,048.")).to_be_visible()


def test_stop_ends_a_run_and_the_next_one_works(page: Page, app: str) -> None:
    open_page(page, app, "preset=long-system&trials=20&reply=0")
    run_button(page).click()
    stop = page.get_by_role("button", name="Stop", exact=True)
    stop.click(timeout=RUN_MS)
    expect(stop).to_have_count(0, timeout=RUN_MS)
    expect(page.get_by_text("Measured here on")).to_have_count(0)
    type_prompts(page, "one two", "one three")
    page.reload()
    open_page(page, app, "trials=1&reply=0&preset=repeat")
    run(page)


def test_every_state_is_accessible_and_fits(phone: Page, app: str) -> None:
    open_page(phone, app)
    check_looks(phone)
    phone.get_by_role("button", name="Show the recorded run").click()
    expect(phone.get_by_text("Recorded on")).to_be_visible()
    for name in ("Stages", "Table: every trial", "What this does not show"):
        unfold(phone, name)
    expect(phone.get_by_text("One small model on one processor")).to_be_visible()
    check_looks(phone)


def test_a_guess_that_is_followed_at_once_by_run_is_not_lost(page: Page, app: str) -> None:
    open_page(page, app, "preset=repeat&trials=1&reply=0")
    expect(stops(page).first).to_be_visible()
    page.evaluate(
        """() => {
          document.querySelector('.fd-cell.fd-row-b[data-i="4"]').click();
          document.querySelector('[data-testid="stBaseButton-primary"]').click();
        }"""
    )
    expect(page.get_by_text("Measured here on")).to_be_visible(timeout=RUN_MS)
    expect(page.get_by_text("Your guess was before token 5").first).to_be_visible()


def test_in_a_long_prompt_the_cut_can_be_guessed_without_opening_anything(
    page: Page, app: str
) -> None:
    open_page(page, app, "preset=long-system&trials=1&reply=0")
    page.locator('button.fd-row-b[data-i="524"]').click()
    run(page)
    expect(page.get_by_text("Your guess, before token 525, is right.").first).to_be_visible()
