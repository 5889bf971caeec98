"""The page on why reuse stops in Chromium on the real model: predict, run, click a cell, read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.serving import check_looks

LOAD_MS = 60_000
RUN_MS = 120_000
MARKUP = '<b>SF</b> <img src=x onerror="document.title=1"> **b** ![x](http://x.y/z) the same again'


@pytest.fixture
def address(app: str) -> str:
    return f"{app}/why_it_stops"


def open_page(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_text("●")).to_be_visible(timeout=LOAD_MS)


def reveal(page: Page) -> None:
    page.get_by_role("button", name="Show without guessing").click()
    expect(page.locator(".js-plotly-plot")).to_be_visible(timeout=LOAD_MS)


def run(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^Run it here")).click()
    expect(page.get_by_text("Measured here on")).to_be_visible(timeout=RUN_MS)
    expect(page.locator(".js-plotly-plot")).to_be_visible()


def type_pair(page: Page, a: str, b: str) -> None:
    for label, text in (("A: already in the cache", a), ("B: arrives next", b)):
        page.get_by_label(label).fill(text)
        page.get_by_label(label).press("Control+Enter")


def cell(page: Page) -> Locator:
    return page.locator(".st-key-say-sentence-cell")


def test_a_guess_reveals_the_recorded_map(page: Page, address: str) -> None:
    open_page(page, address)
    expect(page.get_by_text("Recorded on")).to_have_count(0)
    page.get_by_text("No: it is another KV in every layer").click()
    expect(page.get_by_text("✗ it is: Only in layer 0")).to_be_visible()
    expect(page.get_by_text("6 tokens read the same as in A.")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_be_visible()


def test_a_clicked_cell_tells_its_numbers(page: Page, address: str) -> None:
    open_page(page, address)
    reveal(page)
    expect(cell(page)).to_contain_text("Layer 1, token 4 of B")
    plot = page.locator(".js-plotly-plot .nsewdrag").first
    box = plot.bounding_box()
    assert box is not None
    # the upper right corner: the last of 9 tokens, the highest of 30 layers
    plot.click(position={"x": box["width"] * (8.5 / 9), "y": box["height"] * (0.5 / 30)})
    expect(cell(page)).to_contain_text("Layer 29, token 9 of B, “·wear”")
    layer = page.get_by_label("Layer", exact=True)
    layer.fill("0")
    layer.press("Enter")
    expect(cell(page)).to_contain_text("Layer 0, token 9 of B")
    expect(cell(page)).to_contain_text("the keys differ by 0%, the values by 0%.")


def test_own_text_is_run_and_exported_as_shown(page: Page, address: str, tmp_path: Path) -> None:
    open_page(page, address)
    reveal(page)
    type_pair(page, "Tom has 3 apples left.", "Tom has 15 apples left.")
    expect(page.get_by_text("These prompts were not computed yet")).to_be_visible()
    run(page)
    expect(page.get_by_text("the values agree and the keys do not")).to_be_visible()
    expect(page.get_by_text("A wrong cache can be tried only where")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Result as JSON").click()
    download.value.save_as(tmp_path / "result.json")
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["result"]
    assert result["divergence"]["b"] == "Tom has 15 apples left."
    assert result["splice"] is None


def test_a_found_pair_shows_both_texts(page: Page, address: str) -> None:
    open_page(page, address)
    page.get_by_label("Preset").click()
    page.get_by_role("option", name="Found by search: a wrong cache changes the text").click()
    reveal_run = page.get_by_role("button", name="Show without guessing")
    reveal_run.click()
    run(page)
    expect(page.get_by_text("The wrong cache changed the text")).to_be_visible()
    texts = page.locator('[class*="st-key-say-reply-splice"]').all_inner_texts()
    assert len(texts) == 2 and texts[0] != texts[1]


def test_markup_in_prompts_stays_text(page: Page, address: str) -> None:
    open_page(page, address)
    reveal(page)
    type_pair(page, MARKUP.replace("SF", "NY"), MARKUP)
    run(page)
    page.get_by_text("The same as a table").click()
    expect(page.get_by_role("table").first).to_be_visible()
    assert page.locator("img[src='x'], img[src*='x.y']").count() == 0
    assert page.title() != "1"
    ticks = page.locator(".js-plotly-plot .xtick").all_text_contents()
    assert any("</" in tick for tick in ticks)


def test_stop_ends_a_run_and_the_next_one_works(page: Page, address: str) -> None:
    open_page(page, address)
    page.get_by_label("Preset").click()
    page.get_by_role("option", name="Long system prompt behind a request id").click()
    page.get_by_role("button", name="Show without guessing").click()
    page.get_by_role("button", name=re.compile("^Run it here")).click()
    stop = page.get_by_role("button", name="Stop", exact=True)
    stop.click(timeout=RUN_MS)
    expect(stop).to_have_count(0, timeout=RUN_MS)
    expect(page.get_by_text("These prompts were not computed yet")).to_be_visible()
    type_pair(page, "one two three four", "six two three four")
    run(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_state_is_accessible_and_fits(page: Page, address: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    page.set_viewport_size({"width": 390, "height": 844})
    open_page(page, address)
    check_looks(page)
    reveal(page)
    for name in ("The same as a table", "All 24 pairs", "What this does not show"):
        page.get_by_text(name).first.click()
    expect(page.get_by_text("One small model.")).to_be_visible()
    check_looks(page)
