"""A room in Chromium on the real model: a host, members, and what each of them may see."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from prefix_engine.board import Board
from prefix_engine.measured import from_json
from tests.browser.serving import (
    LOAD_MS,
    RUN_MS,
    check_looks,
    link_in,
    open_tables,
    violations,
    watch,
)

HOSTILE = "Is <b>aspirin</b> **fine**? <img src=x onerror='document.title=1'>"

Visit = Callable[[str], Page]
Scheme = Literal["light", "dark"]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens an address as one more visitor."""
    pages: list[Page] = []
    wrong: list[list[str]] = []

    def open_(address: str) -> Page:
        page = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
        pages.append(page)
        wrong.append(watch(page))
        page.goto(address)
        return page

    yield open_
    for page in pages:
        page.context.close()
    assert not any(wrong)


@pytest.fixture
def host(page: Page, app: str) -> Page:
    """Who has just opened a room; it is ended when the test is over."""
    page.goto(f"{app}/room")
    page.get_by_role("button", name="Open", exact=True).click(timeout=LOAD_MS)
    expect(page.get_by_text("Code of this room")).to_be_visible(timeout=LOAD_MS)
    return page


def join_link(host: Page) -> str:
    return link_in(host.locator("code").first)


def ask(member: Page, question: str, prediction: str) -> None:
    member.get_by_label("Your question").fill(question, timeout=LOAD_MS)
    member.get_by_label("Your question").press("Control+Enter")
    member.get_by_text(prediction, exact=True).first.click()
    ask_button = member.get_by_role("button", name=re.compile("^Ask"))
    expect(ask_button).to_be_enabled(timeout=LOAD_MS)
    ask_button.click()
    expect(member.get_by_text("Your request is number")).to_be_visible(timeout=RUN_MS)


def end(host: Page) -> None:
    host.get_by_role("button", name="End the room").click()
    host.get_by_role("button", name="End it now").click()
    expect(host.get_by_text("This room has ended.")).to_be_visible(timeout=LOAD_MS)


def test_a_class_asks_predicts_and_sees_what_the_host_reveals(host: Page, visit: Visit) -> None:
    link = join_link(host)
    ann, ben = visit(link), visit(link)
    ask(ann, "Do you ship abroad?", "nothing")
    ask(ben, HOSTILE, "the system prompt or more")
    expect(ben.get_by_text("Code of this room")).to_have_count(0)
    expect(
        ben.get_by_text("2 requests. What was reused is covered: the host reveals it.")
    ).to_be_visible()
    ann.get_by_label("Your question").press_sequentially(" And")
    host.get_by_text("Reveal what was reused").click()
    expect(ben.get_by_text("Your request, number 2: 139 of")).to_be_visible(timeout=LOAD_MS)
    expect(ann.get_by_text("(✓ right)")).to_be_visible(timeout=LOAD_MS)
    expect(ann.get_by_label("Your question")).to_have_value(re.compile(" And"))
    expect(ann.get_by_text("Questions", exact=True)).to_have_count(0)
    host.get_by_text("Show the questions to everybody").click()
    expect(ann.get_by_text("Questions", exact=True)).to_be_visible(timeout=LOAD_MS)
    with host.expect_download() as download:
        host.get_by_role("button", name="Board as JSON").click()
    board = from_json(download.value.path().read_bytes(), Board).result
    asked = [(one.number, one.question, one.reused) for one in board.requests]
    assert asked == [(1, "Do you ship abroad?", 0), (2, HOSTILE, 139)]
    expect(ann.get_by_role("button", name="Board as JSON")).to_have_count(0)
    assert violations(ann) == []
    assert ann.title() != "1" and ann.locator("img[src='x']").count() == 0
    end(host)
    expect(ann.get_by_text("This room has ended.")).to_be_visible(timeout=LOAD_MS)


def test_what_is_no_room_and_no_key_opens_nothing(host: Page, visit: Visit, app: str) -> None:
    nobody = visit(f"{app}/room?room=<script>&host=x")
    expect(nobody.get_by_text("There is no room '<SCRIPT>'")).to_be_visible(timeout=LOAD_MS)
    member = visit(f"{join_link(host)}&host=wrong")
    expect(member.get_by_label("Your question")).to_be_visible(timeout=LOAD_MS)
    expect(member.get_by_text("End the room")).to_have_count(0)
    end(host)


def test_the_key_is_not_in_the_address_and_the_host_comes_back(
    host: Page, visit: Visit, app: str
) -> None:
    assert "host=" not in host.url and "room=" in host.url
    host.get_by_text("Your own link as host").click()
    link = link_in(host.locator("code").nth(1))
    second = visit(link)
    # the first: one that it replaces stands behind it until the run has ended
    reveal, same = (one.get_by_label("Reveal what was reused") for one in (host, second))
    expect(same).not_to_be_checked(timeout=LOAD_MS)
    assert "host=" not in second.url
    reveal.focus()
    host.keyboard.press("Space")
    expect(same.first).to_be_checked(timeout=LOAD_MS)
    expect(reveal).to_be_checked()
    expect(reveal).to_be_focused()
    expect(same).to_have_count(1)
    same.focus()
    second.keyboard.press("Space")
    expect(reveal.first).not_to_be_checked(timeout=LOAD_MS)
    host.get_by_role("link", name="Two prompts").first.click()
    expect(host.get_by_text("Code of this room")).to_have_count(0, timeout=LOAD_MS)
    host.get_by_role("link", name="Room").first.click()
    expect(host.get_by_text("Code of this room")).to_be_visible(timeout=LOAD_MS)
    end(host)


def test_door_and_board_are_accessible_and_fit(phone: Page, app: str, visit: Visit) -> None:
    phone.goto(f"{app}/room")
    open_button = phone.get_by_role("button", name="Open", exact=True)
    expect(open_button).to_be_enabled(timeout=LOAD_MS)
    check_looks(phone)
    open_button.click()
    expect(phone.get_by_text("Code of this room")).to_be_visible(timeout=LOAD_MS)
    ask(visit(join_link(phone)), "Are you open today?", "nothing")
    phone.get_by_text("Reveal what was reused").click()
    expect(phone.get_by_text("What the cache keeps of this room")).to_be_visible(timeout=LOAD_MS)
    expect(phone.locator(".js-plotly-plot").nth(2)).to_be_visible(timeout=LOAD_MS)
    open_tables(phone, 3)
    check_looks(phone)
    end(phone)
    check_looks(phone)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_projector_follows_the_room_and_fits(
    host: Page, visit: Visit, browser: Browser, scheme: Scheme
) -> None:
    member, link = visit(join_link(host)), host.get_by_role("link", name="Board for the projector")
    screen = browser.new_page(color_scheme=scheme, viewport={"width": 1280, "height": 720})
    wrong = watch(screen)
    expect(link).to_have_attribute("href", re.compile("view=screen"))
    screen.goto(link.get_attribute("href") or "")
    expect(screen.get_by_text("Nobody has asked yet.")).to_be_visible(timeout=LOAD_MS)
    ask(member, "Do you ship abroad?", "nothing")
    expect(screen.get_by_text("1 request. What was reused is")).to_be_visible(timeout=LOAD_MS)
    # a tree that forks twice
    for question in ("Do you ship on Sundays?", "Is aspirin sold?"):
        ask(visit(join_link(host)), question, "the system prompt or more")
    host.get_by_text("Reveal what was reused").click()
    expect(screen.get_by_text("What the cache keeps of this room")).to_be_visible(timeout=LOAD_MS)
    expect(screen.locator(".js-plotly-plot")).to_have_count(3, timeout=LOAD_MS)
    for chart in screen.locator(".js-plotly-plot").all():
        expect(chart).to_be_in_viewport(ratio=0.5)
    pieces = screen.locator(".iciclelayer text")
    expect(pieces).to_have_count(1 + 5)
    for piece in pieces.all():
        expect(piece).to_be_visible()
    expect(screen.get_by_role("switch")).to_have_count(0)
    check_looks(screen, (1280, 1920))
    end(host)
    expect(screen.get_by_text("This room has ended.")).to_be_visible(timeout=LOAD_MS)
    assert wrong == []
    screen.close()
