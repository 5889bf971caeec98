"""A sample of what `python -m benchmarks.hostile` types into the page and puts into its links."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from benchmarks.common.hostile_page import HostilePage
from benchmarks.common.hostile_texts import HTML, KINDS, MARKDOWN, hostile_texts

NOT_HERE = ("surrogates", "long line")
"""The first can't be typed, the other is slow to type."""


@pytest.fixture
def hostile(browser: Browser, app: str) -> Iterator[HostilePage]:
    page = browser.new_page()
    yield HostilePage(page, app)
    page.close()


def test_nothing_that_is_typed_is_executed_changed_or_breaks_the_page(hostile: HostilePage) -> None:
    hostile.open()
    for kind, text in hostile_texts(len(KINDS), seed=4):
        if kind not in NOT_HERE:
            hostile.type_in(text)
    hostile.type_in(" ".join((*HTML, *MARKDOWN)))
    assert hostile.wrong == []


def test_nothing_in_a_link_is_executed_or_breaks_the_page(hostile: HostilePage) -> None:
    for text in ("".join((*HTML, *MARKDOWN)), "1e999", "\x00", "9" * 400):
        hostile.open_linked(text)
        hostile.open_room(text)
    assert hostile.wrong == []


def test_nothing_in_an_upload_is_executed_and_the_page_says_what_is_wrong(
    hostile: HostilePage,
) -> None:
    for text in ("".join((*HTML, *MARKDOWN)), "[1]\n{}", "\x00\ud800"):
        hostile.upload(text)
    assert hostile.wrong == []


def test_the_checks_notice_markup_that_became_an_element(hostile: HostilePage) -> None:
    hostile.open()
    hostile.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<i data-hit>x</i>')")
    hostile.type_in("harmless")
    assert len(hostile.wrong) == 1 and "markup became an element" in hostile.wrong[0]
