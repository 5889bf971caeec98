"""How far a measurement is: a bar, whose turn it is, and Stop."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from prefix_engine.turns import FIRST_SHARE, ComputeSlot, Waiting
from prefix_engine.watch import Watch

BETWEEN_UPDATES_S = 0.25
FLUSH_S = 0.02
TELLING_PART = 0.1
"""From here on the time that it took says something about the time that is left."""


def visitor() -> str:
    """This session's name in the queue: a random word, made up when it is first asked for."""
    if "visitor" not in st.session_state:
        st.session_state["visitor"] = secrets.token_hex(8)
    name: str = st.session_state["visitor"]
    return name


def wait_in_words(waiting: Waiting) -> str:
    """How many are before, and about how long it takes."""
    words = f"Waiting for your turn: {waiting.before} before you"
    if waiting.estimate_s is None:
        return words
    about = f"about {waiting.estimate_s:.0f} s" if waiting.estimate_s >= 1 else "less than 1 s"
    return f"{words}, {about}"


class Progress:
    """Tells it on the page, seldom enough not to disturb what is being timed.

    Any rerun of the page, Stop or a closed tab ends the measurement within one chunk: Streamlit
    raises from the next update, and the cache stays whole.
    """

    def __init__(
        self,
        slot: ComputeSlot,
        doing: str = "Starting",
        turns: int = FIRST_SHARE,
        check: Callable[[], object] | None = None,
    ) -> None:
        """`turns` as in `ComputeSlot.visit`; `check` is asked again and again while one waits, and
        may raise to end it."""
        self._visit = slot.visit(visitor(), self._on_wait, turns)
        self._check = check
        self._place = st.empty()
        self.here = self._place.container(key="progress")
        self.here.button("Stop", help="Nothing is lost: the cache stays as it was.")
        self._bar = self.here.progress(0.0, "Waiting for a turn")
        self._part, self._doing = 0.0, doing
        self._shown, self._updated_s = "", 0.0
        self._began_s: float | None = None
        self._left = ""

    def close(self) -> None:
        """All is measured, or nothing more will be: let the next one compute at once."""
        self._visit.close()
        self._place.empty()

    def watch(self) -> Watch:
        """The callbacks for what is measured."""
        return Watch(self.turn, self.on_step, self.tell)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the one compute slot, saying so, and hold it for the block."""
        with self._visit.turn():
            # what was told last is sent by another thread: let it, before a clock starts
            time.sleep(FLUSH_S)
            if self._began_s is None:
                self._began_s = time.monotonic()
            yield

    def on_step(self, done: int, total: int) -> None:
        """A chunk of a prefill is about to begin."""
        visitor()  # see `_on_wait`
        self._update_if_due(f"{self._doing} ({done:,} of {total:,} tokens){self._left}")

    def tell(self, part: float, what: str) -> None:
        """This part is done (0 to 1), and this comes next."""
        visitor()
        self._part, self._doing, self._left = part, what, self._time_left(part)
        self._update_if_due(what + self._left)

    def _time_left(self, part: float) -> str:
        """By what this run took until now, waits included; empty where that says little yet."""
        if self._began_s is None or not TELLING_PART <= part < 1:
            return ""
        took_s = time.monotonic() - self._began_s
        return f" · about {took_s * (1 - part) / part:.0f} s left"

    def _on_wait(self, waiting: Waiting) -> None:
        # asking the session is where Streamlit raises, and costs no message to the browser
        visitor()
        if self._check is not None:
            self._check()
        self._update_if_due(wait_in_words(waiting))

    def _update_if_due(self, text: str) -> None:
        if text != self._shown and time.monotonic() - self._updated_s > BETWEEN_UPDATES_S:
            self._update(text)

    def _update(self, text: str) -> None:
        self._bar.progress(min(max(self._part, 0.0), 1.0), text)
        self._shown, self._updated_s = text, time.monotonic()
        # the update is sent by another thread: let it, while the clock is stopped
        time.sleep(FLUSH_S)
