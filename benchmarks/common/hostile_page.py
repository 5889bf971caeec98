"""Hostile texts, links and uploads through the main page, in Chromium."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import quote

from playwright.sync_api import Page, expect

from benchmarks.common.hostile_texts import has_half_characters
from ui.lessons.trace_replay import UPLOAD

A_LABEL, B_LABEL = "A: already in the cache", "B: arrives next"
UPLOAD_PAGE, ROOM_PAGE = "where_it_pays", "room"
COMPLAINT = '[class*="st-key-say-complaint"]'
SETTLE_MS, ANSWER_MS = 60_000, 300
CANARIES = """() => [
    document.title === 'hit' && 'a script was run',
    document.querySelector('[data-hit]') && 'markup became an element',
    document.querySelector('img[src="x"], iframe[src*="hostile"], [href*="hostile.invalid"]')
        && 'a link or a picture was made',
    getComputedStyle(document.querySelector('.stApp')).display === 'none' && 'a style was applied',
    document.querySelector('[data-testid="stException"]') && 'the page shows an exception',
].filter(Boolean)"""


@dataclass
class HostilePage:
    """The main page, and everything that went wrong on it so far."""

    page: Page
    address: str
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.wrong.append(f"an error: {error}"))
        self.page.on("dialog", lambda dialog: self.wrong.append("a dialog was opened"))
        self.page.on("request", lambda request: self._note_request(request.url))

    def open(self, query: str = "") -> None:
        """Open the page by a link, and wait until it has run."""
        self.page.goto(f"{self.address}/?{query}")
        self._settle()
        expect(self.page.get_by_label(B_LABEL)).to_be_visible(timeout=SETTLE_MS)

    def open_linked(self, text: str) -> None:
        """The same text as every parameter that a link can have; no address can hold a half
        character."""
        value = "" if has_half_characters(text) else quote(text[:500])
        self.open("&".join(f"{name}={value}" for name in ("preset", "mode", "trials", "reply")))
        self._check(text)

    def open_room(self, text: str) -> None:
        """The same text as a room's code and as its host's key."""
        if has_half_characters(text):
            return
        value = quote(text[:500])
        self.page.goto(f"{self.address}/{ROOM_PAGE}?room={value}&host={value}")
        self._settle()
        expect(self.page.get_by_role("heading", name="Room", exact=True)).to_be_visible()
        self._check(text)

    def upload(self, text: str) -> None:
        """A file with that name and content, as a trace; the page must have a word on it."""
        self.page.goto(f"{self.address}/{UPLOAD_PAGE}")
        self._settle()
        self.page.get_by_text(UPLOAD, exact=True).click()
        name = "".join(c for c in text[:40] if c.isprintable() and c not in '/\\"') or "nameless"
        self.page.locator('input[type="file"]').set_input_files(
            {
                "name": f"{name}.jsonl",
                "mimeType": "application/json",
                "buffer": text.encode("utf-8", "surrogatepass"),
            }
        )
        expect(self.page.locator(COMPLAINT)).to_be_visible(timeout=SETTLE_MS)
        self._settle()
        self._check(text)

    def type_in(self, text: str) -> None:
        """Type it as both prompts, as far as a browser can: half characters can't be sent."""
        if has_half_characters(text):
            return
        for label, typed in ((A_LABEL, text), (B_LABEL, f"{text}.")):
            box = self.page.get_by_label(label)
            box.fill(typed)
            box.press("Control+Enter")
            self._settle()
        self._check(text)
        kept = self.page.get_by_label(A_LABEL).input_value()
        if _as_typed(kept) != _as_typed(text):
            self.wrong.append(f"the page made {kept[:40]!r} of what was typed: {text[:40]!r}")

    def _settle(self) -> None:
        app = self.page.locator('[data-testid="stApp"]')
        # what was sent shows only with the server's answer, which may have come and gone by now
        with suppress(AssertionError):
            expect(app).to_have_attribute("data-test-script-state", "running", timeout=ANSWER_MS)
        expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=SETTLE_MS)

    def _check(self, text: str) -> None:
        for found in self.page.evaluate(CANARIES):
            self.wrong.append(f"{found}: {text[:40]!r}")

    def _note_request(self, url: str) -> None:
        if not url.startswith(("data:", "blob:", "about:", self.address, "ws://localhost:")):
            self.wrong.append(f"a request left the machine: {url}")


def _as_typed(text: str) -> str:
    """What a text box makes of a text: it knows one line end only."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
