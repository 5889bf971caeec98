"""The token strip in Chromium: predict, reveal, point, copy, collapse, by mouse and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from prefix_engine.compare import Comparison, compare
from tests.browser.serving import serve, violations, watch
from tests.ui.prompts import chat, raw
from ui.palette import INK
from ui.strip import Mode, static_head, static_strip, strip_payload

WEATHER = compare(raw("Weather in SF today?"), raw("Weather in NYC today?"))
WORDS = [f"w{n}" for n in range(3_000)]
LONG = compare(
    raw(" ".join([*WORDS[:1500], "SF", *WORDS[1500:]])),
    raw(" ".join([*WORDS[:1500], "NYC", *WORDS[1500:]])),
)


@pytest.fixture(scope="module")
def sheet(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """One page for all tests here, and what went wrong on it: errors, and foreign requests."""
    page = browser.new_page()
    wrong = watch(page)
    yield page, wrong
    page.close()


@pytest.fixture
def page(sheet: tuple[Page, list[str]]) -> Iterator[Page]:
    page, wrong = sheet
    wrong.clear()
    page.set_viewport_size({"width": 1280, "height": 800})
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    page.mouse.move(0, 0)
    page.goto("about:blank")  # content set twice in one document gets no pointerleave in Chromium
    yield page
    assert wrong == []


def show(
    page: Page,
    comparison: Comparison,
    mode: Mode = "result",
    *,
    scheme: str = "light",
    **options: Any,
) -> None:
    strip = static_strip(strip_payload(comparison, **options), mode)
    page.set_content(
        f'<!doctype html><html lang="en" style="color-scheme: {scheme}"><title>Strip</title>'
        f"<body style='background: Canvas'><main><h1>Strip</h1>{strip}</main>{static_head()}"
    )
    page.wait_for_selector(".fd-flow > *")


def cell(page: Page, row: str, at: int) -> Locator:
    return page.locator(f'.fd-cell.fd-row-{row}[data-i="{at}"]')


def told(page: Page) -> str:
    return page.locator(".fd-detail").inner_text()


def copied(page: Page) -> str:
    page.evaluate(
        "() => document.addEventListener('copy',"
        " (event) => { window.copied = event.clipboardData.getData('text/plain'); })"
    )
    page.keyboard.press("Control+C")
    text: str = page.evaluate("() => window.copied")
    return text


def drag(page: Page, start: Locator, end: Locator) -> None:
    first, last = start.bounding_box(), end.bounding_box()
    assert first and last
    page.mouse.move(first["x"] + 1, first["y"] + first["height"] / 2)
    page.mouse.down()
    page.mouse.move(last["x"] + last["width"] - 1, last["y"] + last["height"] / 2, steps=8)
    page.mouse.up()


class TestPredict:
    def test_a_click_marks_where_reuse_stops(self, page: Page) -> None:
        show(page, WEATHER, "predict")
        cell(page, "b", 3).click()
        expect(cell(page, "b", 3)).to_have_attribute("aria-pressed", "true")
        expect(page.locator(".fd-guess")).to_have_text("reuse stops here")
        cell(page, "b", 1).click()
        expect(page.locator("[aria-pressed=true]")).to_have_count(1)
        expect(page.locator(".fd-guess")).to_have_count(1)

    def test_a_click_on_a_means_the_same_position(self, page: Page) -> None:
        show(page, WEATHER, "predict")
        cell(page, "a", 2).click()
        expect(cell(page, "b", 2)).to_have_attribute("aria-pressed", "true")

    def test_the_last_stop_means_that_all_is_reused(self, page: Page) -> None:
        show(page, WEATHER, "predict")
        page.get_by_role("button", name="all reused").click()
        expect(cell(page, "b", 5)).to_have_attribute("aria-pressed", "true")

    def test_an_empty_b_leaves_nothing_to_guess(self, page: Page) -> None:
        show(page, compare(raw("a b"), raw("")), "predict")
        cell(page, "a", 1).click()
        expect(page.locator(".fd-guess")).to_have_count(0)
        expect(page.locator(".fd-none")).to_have_text("empty")

    def test_no_state_shows_before_the_reveal(self, page: Page) -> None:
        show(page, WEATHER, "predict")
        for hidden in (".fd-reused", ".fd-first-difference", ".fd-cut", ".fd-stop", ".fd-state"):
            expect(page.locator(hidden)).to_have_count(0)
        cell(page, "b", 2).hover()
        assert "difference" not in told(page)

    def test_the_keyboard_alone_can_guess(self, page: Page) -> None:
        show(page, WEATHER, "predict")
        page.keyboard.press("Tab")
        expect(cell(page, "b", 0)).to_be_focused()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(cell(page, "b", 2)).to_have_attribute("aria-pressed", "true")
        page.keyboard.press("End")
        page.keyboard.press("Space")
        expect(cell(page, "b", 5)).to_have_attribute("aria-pressed", "true")
        page.keyboard.press("Home")
        expect(cell(page, "b", 0)).to_be_focused()

    @pytest.mark.parametrize("mode", ["predict", "result"])
    def test_one_tab_stop_leads_in_and_the_next_leads_out(self, page: Page, mode: Mode) -> None:
        show(page, WEATHER, mode)
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Tab")
        assert page.evaluate("() => document.activeElement === document.body")
        page.keyboard.press("Shift+Tab")
        expect(cell(page, "b", 1)).to_be_focused()

    def test_a_long_pair_does_not_give_the_cut_away(self, page: Page) -> None:
        show(page, LONG, "predict")
        expect(cell(page, "b", 0)).to_be_visible()
        expect(cell(page, "b", 1500)).to_have_count(0)
        expect(page.get_by_text("Jump to the cut")).to_be_hidden()


class TestResult:
    def test_states_show_as_glyph_and_word(self, page: Page) -> None:
        show(page, WEATHER)
        assert page.locator(".fd-state").all_inner_texts() == ["✓", "✓", "≠", "↻", "↻"]
        assert page.locator(".fd-legend li").all_inner_texts() == [
            "✓ reused 2",
            "≠ first difference 1",
            "↻ same token, recomputed 2",
        ]

    def test_the_cut_is_one_line_through_both_rows_in_front_of_the_difference(
        self, page: Page
    ) -> None:
        show(page, WEATHER)
        line = page.locator(".fd-cut").bounding_box()
        before, after = cell(page, "a", 1).bounding_box(), cell(page, "b", 2).bounding_box()
        assert line and before and after
        assert line["y"] <= before["y"]
        assert line["y"] + line["height"] >= after["y"] + after["height"]
        scissors = page.locator(".fd-cut span").bounding_box()
        assert scissors
        assert before["x"] + before["width"] < scissors["x"]
        assert scissors["x"] + scissors["width"] < after["x"]

    def test_tokens_stand_over_one_another_by_position_also_when_lines_wrap(
        self, page: Page
    ) -> None:
        page.set_viewport_size({"width": 390, "height": 800})
        long = compare(raw(" ".join(WORDS[:30])), raw(" ".join(["longer", *WORDS[1:30]])))
        show(page, long)
        boxes = [[cell(page, row, at).bounding_box() for row in "ab"] for at in range(30)]
        for a, b in boxes:
            assert a and b
            assert (a["x"], a["width"]) == (b["x"], b["width"])
            assert 0 < b["y"] - a["y"] < 2 * a["height"]
        tops = {a["y"] for a, _ in boxes if a}
        assert len(tops) > 3
        assert page.locator(".fd-gutter .fd-rows").count() == len(tops)
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")

    def test_pointing_at_a_token_links_its_position_in_both_rows(self, page: Page) -> None:
        show(page, WEATHER)
        cell(page, "a", 3).hover()
        expect(page.locator(".fd-linked")).to_have_count(2)
        expect(cell(page, "b", 3)).to_have_class("fd-cell fd-row-b fd-same-recomputed fd-linked")
        assert "Token 4 · position 3 · ↻ same token, recomputed" in told(page)
        assert told(page).count("20 74 6F 64 61 79") == 2

    def test_pointing_at_a_moved_token_shows_its_partner_in_a(self, page: Page) -> None:
        show(page, compare(raw("x a b"), raw("x new a b")))
        cell(page, "b", 3).hover()
        expect(page.locator(".fd-partner")).to_have_count(1)
        expect(cell(page, "a", 2)).to_have_class("fd-cell fd-row-a fd-partner")
        assert "token 3 of A, moved by +1" in told(page)

    def test_the_first_difference_is_told_before_anything_is_pointed_at(self, page: Page) -> None:
        show(page, WEATHER)
        assert told(page).startswith("Token 3 · position 2 · ≠ first difference")

    def test_a_click_pins_the_detail_and_another_lets_go(self, page: Page) -> None:
        show(page, WEATHER)
        cell(page, "b", 4).click()
        page.mouse.move(0, 0)
        assert told(page).startswith("Token 5")
        cell(page, "b", 4).click()
        page.mouse.move(0, 0)
        expect(page.locator(".fd-told")).to_contain_text("Token 3")

    def test_details_never_move_what_is_below(self, page: Page) -> None:
        show(page, compare(raw("a b"), raw("a b c")), "predict")
        height = page.evaluate("() => document.documentElement.scrollHeight")
        cell(page, "b", 2).hover()
        assert page.evaluate("() => document.documentElement.scrollHeight") == height

    def test_a_screen_reader_hears_each_position_once(self, page: Page) -> None:
        show(page, compare(raw("a b"), raw("a c")))
        expect(page.locator(".fd-flow")).to_match_aria_snapshot("""
            - group "Tokens of B; arrow keys move":
              - /children: equal
              - 'button "token 1: a; A has a; reused"'
              - 'button "token 2: ·c; A has ·b; first difference"'
        """)

    def test_arrow_down_goes_to_the_next_line(self, page: Page) -> None:
        page.set_viewport_size({"width": 390, "height": 800})
        show(page, compare(raw(" ".join(WORDS[:40])), raw(" ".join(WORDS[:40]))))
        page.keyboard.press("Tab")
        first = page.locator(":focus").bounding_box()
        page.keyboard.press("ArrowDown")
        second = page.locator(":focus").bounding_box()
        assert first and second
        assert second["y"] > first["y"] and second["x"] == first["x"]
        page.keyboard.press("ArrowUp")
        expect(cell(page, "b", 0)).to_be_focused()

    def test_the_guess_and_its_distance_stay(self, page: Page) -> None:
        show(page, WEATHER, guess=4)
        expect(page.locator(".fd-guess")).to_have_text("your guess")
        expect(page.locator(".fd-between")).to_have_count(2)
        expect(page.locator(".fd-guessed")).to_contain_text("2 tokens too late")

    def test_block_edges_and_the_reason_show(self, page: Page) -> None:
        show(page, compare(raw("a b c d e"), raw("a b c x e"), block_size=2))
        expect(page.locator(".fd-stop")).to_have_count(1)
        expect(page.locator(".fd-cut")).to_have_count(1)
        expect(cell(page, "b", 2)).to_have_attribute("title", re.compile("only whole blocks"))

    @pytest.mark.parametrize(("a", "b"), [("a b", ""), ("", "a b"), ("", "")])
    def test_empty_prompts_say_so(self, page: Page, a: str, b: str) -> None:
        show(page, compare(raw(a), raw(b)))
        expect(page.locator(".fd-none")).to_have_count((not a) + (not b))
        expect(page.locator(".fd-none").first).to_have_text("empty")


class TestReveal:
    def test_the_sweep_ends_within_800_ms(self, page: Page) -> None:
        show(page, LONG, run="r")
        ends: list[float] = page.evaluate(
            "() => document.getAnimations().map((one) => one.effect.getComputedTiming().endTime)"
        )
        assert ends and max(ends) <= 800

    def test_reduced_motion_means_none(self, page: Page) -> None:
        page.emulate_media(reduced_motion="reduce")
        show(page, WEATHER, run="r")
        assert page.evaluate("() => document.getAnimations().length") == 0

    def test_a_run_is_swept_in_once(self, page: Page) -> None:
        strip = static_strip(strip_payload(WEATHER, run="same"))
        page.set_content(f"<main>{strip}{strip}</main>{static_head()}")
        expect(page.locator(".fd-flow.fd-sweep")).to_have_count(1)

    def test_without_a_run_nothing_moves(self, page: Page) -> None:
        show(page, WEATHER)
        expect(page.locator(".fd-sweep")).to_have_count(0)


class TestText:
    @pytest.mark.parametrize(
        "text",
        ["one two\n\tthree", "a\u200bb\u00a0c  d", "\ufeffbom", "ok 🌦 x", "·⏎ ⟨U+200B⟩ real"],
    )
    def test_copying_gives_the_true_text(self, page: Page, text: str) -> None:
        prompt = raw(text, split="🌦")
        show(page, compare(raw("other"), prompt))
        drag(page, cell(page, "b", 0), cell(page, "b", len(prompt.tokens) - 1))
        assert copied(page) == text

    def test_copying_takes_whole_tokens_of_the_row_where_the_drag_began(self, page: Page) -> None:
        show(page, WEATHER)
        drag(page, cell(page, "a", 1), cell(page, "b", 2))
        assert copied(page) == " in SF"

    def test_copying_never_cuts_a_character(self, page: Page) -> None:
        show(page, compare(raw("other"), raw("ok 🌦 x", split="🌦")))
        drag(page, cell(page, "b", 3), cell(page, "b", 4))
        assert copied(page) == "🌦 x"

    def test_hostile_text_is_shown_and_never_parsed(self, page: Page) -> None:
        hostile = "<img src=x onerror=alert(1)> </script><style>*{display:none}</style> {{x}}"
        show(page, compare(raw("a"), raw(hostile)))
        expect(page.locator("main img, main style")).to_have_count(0)
        shown = "".join(page.locator(".fd-cell.fd-row-b").all_text_contents())
        assert shown == hostile.replace(" ", "")

    def test_a_split_character_is_one_glyph_over_its_bytes(self, page: Page) -> None:
        show(page, compare(raw("x 🌦", split="🌦"), raw("y 🌦", split="🌦")))
        glyph = page.locator(".fd-character.fd-row-b")
        expect(glyph).to_have_text("🌦")
        parts = page.locator(".fd-row-b .fd-hex")
        assert parts.all_inner_texts() == ["F0 9F", "8C A6"]
        box, first, last = (one.bounding_box() for one in (glyph, parts.first, parts.last))
        assert box and first and last
        assert first["x"] < box["x"] + box["width"] / 2 < last["x"] + last["width"]
        assert "\ufffd" not in page.locator("main").inner_text()

    def test_a_cut_may_fall_inside_a_character(self, page: Page) -> None:
        show(page, compare(raw("x 🌦", split="🌦"), raw("x 🌧", split="🌧")))
        expect(page.locator(".fd-character")).to_have_count(2)
        expect(page.locator(".fd-cluster:has(.fd-character) .fd-cut")).to_have_count(1)

    def test_rtl_tokens_keep_the_order_of_positions(self, page: Page) -> None:
        show(page, compare(raw("مرحبا بالعالم اليوم"), raw("مرحبا بالعالم غدا")))
        boxes = [cell(page, "b", at).bounding_box() for at in range(3)]
        lefts = [box["x"] for box in boxes if box]
        assert lefts == sorted(lefts) and len(set(lefts)) == 3

    def test_template_tokens_are_locked_pills_joined_by_turn(self, page: Page) -> None:
        show(page, compare(chat("Be kind.", "Hi"), chat("Be kind.", "Yo")))
        pills = page.locator(".fd-row-b.fd-template")
        assert pills.first.inner_text() == "<|im_start|>"
        expect(page.locator(".fd-row-b.fd-template.fd-joined")).to_have_count(8)
        expect(cell(page, "b", 3)).not_to_have_class("fd-template")


class TestLong:
    def test_it_opens_on_the_cut_with_the_rest_collapsed(self, page: Page) -> None:
        show(page, LONG)
        expect(cell(page, "b", 1500)).to_have_count(1)
        assert page.locator(".fd-gap").all_inner_texts() == [
            "… 1,450 reused tokens …",
            "… 1,451 tokens: same token, recomputed …",
        ]
        expect(page.locator(".fd-map")).to_be_visible()

    def test_expanding_shows_the_next_page_and_keeps_the_cap(self, page: Page) -> None:
        show(page, LONG)
        for shown in (10, 110, 210, 310, 410):
            expect(cell(page, "b", shown - 1)).to_have_count(1)
            expect(cell(page, "b", shown)).to_have_count(0)
            page.locator(f'.fd-gap[data-from="{shown}"]').click()
            assert page.locator(".fd-cell").count() <= 600
        assert page.locator(".fd-strip *").count() < 3_000

    def test_the_cut_is_one_click_away(self, page: Page) -> None:
        show(page, LONG)
        for shown in (10, 110, 210, 310, 410):
            page.locator(f'.fd-gap[data-from="{shown}"]').click()
        expect(cell(page, "b", 1500)).to_have_count(0)
        page.get_by_role("button", name="Jump to the cut").click()
        expect(cell(page, "b", 1500)).to_be_in_viewport()

    def test_the_map_leads_anywhere(self, page: Page) -> None:
        show(page, LONG)
        width = page.locator(".fd-map").evaluate("(map) => map.clientWidth")
        page.locator(".fd-map").click(position={"x": width * 0.25, "y": 5})
        expect(cell(page, "b", 750)).to_be_in_viewport()

    def test_an_expander_can_be_reached_and_used_by_keyboard(self, page: Page) -> None:
        show(page, LONG)
        page.get_by_role("button", name="Jump to the cut").focus()
        page.keyboard.press("Tab")
        for _ in range(10):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(cell(page, "b", 10)).to_be_focused()


@pytest.mark.parametrize(
    ("comparison", "mode", "scheme"),
    [
        (WEATHER, "predict", "light"),
        (WEATHER, "result", "dark"),
        (LONG, "predict", "dark"),
        (LONG, "result", "light"),
    ],
    ids=["short predict", "short result", "long predict", "long result"],
)
def test_axe_finds_nothing(page: Page, comparison: Comparison, mode: Mode, scheme: str) -> None:
    show(page, comparison, mode, scheme=scheme, guess=4)
    assert violations(page) == []


@pytest.fixture(scope="module")
def app() -> Iterator[str]:
    with serve("tests/browser/strip_app.py") as address:
        yield address


class TestStreamlit:
    def test_guess_reveal_and_pin_reach_python_and_survive_reruns(
        self, page: Page, app: str
    ) -> None:
        page.goto(app)
        predict = page.locator('.fd-strip[data-mode="predict"]')
        predict.locator('button[data-i="3"]').click()
        expect(page.get_by_text("guessed: 3")).to_be_visible()
        page.get_by_text("Reveal").click()
        result = page.locator('.fd-strip[data-mode="result"]')
        expect(result.locator(".fd-guessed")).to_contain_text("1 token too late")
        expect(predict.locator(".fd-guess")).to_have_text("reuse stops here")
        result.locator('.fd-row-b[data-i="4"]').click()
        expect(page.get_by_text("selected: 4")).to_be_visible()
        reruns = page.get_by_text("reruns:").inner_text()
        page.get_by_role("button", name="Rerun").click()
        expect(page.get_by_text("reruns:")).not_to_have_text(reruns)
        expect(page.get_by_text("selected: 4")).to_be_visible()
        expect(predict.locator(".fd-guess")).to_have_text("reuse stops here")
        expect(result.locator(".fd-pinned")).to_have_count(2)

    def test_the_theme_of_the_page_is_followed(self, page: Page, app: str) -> None:
        for scheme, ink in INK.items():
            page.emulate_media(color_scheme=scheme)
            page.goto(app)
            page.get_by_text("Reveal").click()
            red, green, blue = (int(ink[at : at + 2], 16) for at in (1, 3, 5))
            reused = page.locator(".fd-cell.fd-reused").first
            expect(reused).to_have_css("color", f"rgb({red}, {green}, {blue})")
