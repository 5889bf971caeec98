"""The page on why reuse stops in Chromium on the real model: predict, run, click a cell, read."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.serving import LOAD_MS, RUN_MS, check_looks

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
    # a map that was there before goes only when the page has run
    expect(page.locator(".js-plotly-plot")).to_have_count(1)


def type_pair(page: Page, a: str, b: str) -> None:
    for label, text in (("A", a), ("B", b)):
        editor = page.get_by_role("textbox", name=label, exact=True)
        editor.fill(text)
        editor.press("Control+Enter")


def choose(page: Page, title: str) -> None:
    editor = page.get_by_role("textbox", name="A", exact=True)
    before = editor.input_value()
    page.get_by_label("Preset").click()
    page.get_by_role("option", name=title).click()
    # each pair has buttons of its own: those of the last one go only when the page has run
    expect(editor).not_to_have_value(before)
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def contrasts(page: Page) -> dict[str, float]:
    """WCAG contrast of each text of the map outside its cells against the page behind it."""
    found: dict[str, float] = page.evaluate(
        """() => {
            const light = (colour) => {
                const [r, g, b] = colour.match(/[\\d.]+/g).map((part) => {
                    const one = Number(part) / 255;
                    return one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4;
                });
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const app = document.querySelector('[data-testid="stApp"]');
            const behind = light(getComputedStyle(app).backgroundColor);
            const texts = document.querySelectorAll(
                ".js-plotly-plot :is(.xtick, .ytick, .ytitle, .annotation, .colorbar) text," +
                ".js-plotly-plot text.ytitle");
            return Object.fromEntries([...texts].map((text) => {
                const own = light(getComputedStyle(text).fill);
                const [low, high] = [own, behind].sort((one, other) => one - other);
                return [text.textContent, (high + 0.05) / (low + 0.05)];
            }));
        }"""
    )
    return found


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
    # below the free row that the cut's sign stands in
    plot.click(position={"x": box["width"] * (8.5 / 9), "y": box["height"] * (1.5 / 31)})
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
    page.get_by_role("button", name=re.compile("^Run it here")).click()
    expect(page.get_by_text("The run is done: predict above")).to_be_visible(timeout=RUN_MS)
    reveal(page)
    expect(page.get_by_text("Measured here on")).to_be_visible()
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
    choose(page, "Found by search: a wrong cache changes the text")
    expect(page.get_by_text("A recorded run waits")).to_be_visible()
    reveal(page)
    expect(page.get_by_text("The wrong cache changed the text")).to_be_visible()
    replies = page.locator('[class*="st-key-say-reply-splice"]')
    expect(replies).to_have_count(2)
    texts = replies.all_inner_texts()
    assert texts[0] != texts[1]
    run(page)
    expect(replies).to_have_text(texts)


def test_tokens_without_a_partner_are_one_column(page: Page, address: str) -> None:
    open_page(page, address)
    choose(page, "An id one token longer: all text moves")
    reveal(page)
    ticks = page.locator(".js-plotly-plot g.xtick")
    expect(ticks.filter(has_text="no partner in A")).to_have_count(1)
    page.set_viewport_size({"width": 390, "height": 844})
    # the drawing, not the box around it: that one is narrow at once
    page.wait_for_function("document.querySelector('.js-plotly-plot .main-svg').clientWidth < 380")
    lefts = sorted(box["x"] for tick in ticks.all() if (box := tick.bounding_box()))
    widths = [box["width"] for tick in ticks.all() if (box := tick.bounding_box())]
    gaps = [after - before for before, after in pairwise(lefts)]
    assert min(gaps) >= 0.9 * max(widths), "labels overlap"


COLOURS = """[
    getComputedStyle(document.querySelector('.stApp')).backgroundColor,
    getComputedStyle(document.querySelector('.js-plotly-plot .xtick text')).fill,
]"""


@pytest.mark.parametrize("schemes", [("light", "dark"), ("dark", "light")])
def test_an_open_map_stays_readable_when_the_theme_turns(
    page: Page, address: str, schemes: tuple[Literal["light", "dark"], Literal["light", "dark"]]
) -> None:
    before, after = schemes
    page.emulate_media(color_scheme=before)
    open_page(page, address)
    reveal(page)
    expect(page.locator(".js-plotly-plot g.xtick")).to_have_count(9)
    was = contrasts(page)
    colours = page.evaluate(COLOURS)
    page.emulate_media(color_scheme=after)
    page.wait_for_function(f"was => {COLOURS}.every((now, i) => now !== was[i])", arg=colours)
    turned = contrasts(page)
    assert len(turned) == len(was) > 15
    for found in (was, turned):
        assert {text: ratio for text, ratio in found.items() if ratio < 4.5} == {}


def test_markup_in_prompts_stays_text(page: Page, address: str) -> None:
    open_page(page, address)
    reveal(page)
    type_pair(page, MARKUP.replace("SF", "NY"), MARKUP)
    page.get_by_role("button", name=re.compile("^Run it here")).click()
    expect(page.get_by_text("The run is done: predict above")).to_be_visible(timeout=RUN_MS)
    reveal(page)
    page.get_by_text("The same as a table").click()
    expect(page.get_by_role("table").first).to_be_visible()
    assert page.locator("img[src='x'], img[src*='x.y']").count() == 0
    assert page.title() != "1"
    ticks = page.locator(".js-plotly-plot g.xtick")
    expect(ticks.filter(has_text="</").first).to_be_visible()


def test_stop_ends_a_run_and_the_next_one_works(page: Page, address: str) -> None:
    open_page(page, address)
    choose(page, "Long system prompt behind a request id")
    reveal(page)
    page.get_by_role("button", name=re.compile("^Run it here")).click()
    stop = page.get_by_role("button", name="Stop", exact=True)
    stop.click(timeout=RUN_MS)
    expect(stop).to_have_count(0, timeout=RUN_MS)
    expect(page.get_by_text("Recorded on").first).to_be_visible()
    expect(page.get_by_text("Measured here on")).to_have_count(0)
    choose(page, "One word differs: SF / NYC")
    reveal(page)
    run(page)


def test_every_state_is_accessible_and_fits(phone: Page, address: str) -> None:
    open_page(phone, address)
    check_looks(phone)
    reveal(phone)
    for name in ("The same as a table", "All 24 pairs", "What this does not show"):
        phone.get_by_text(name).first.click()
    expect(phone.get_by_text("One small model.")).to_be_visible()
    check_looks(phone)
