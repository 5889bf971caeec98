"""A run while it is made: whose turn it is, how far it is, what the model says, and Stop."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import streamlit as st

from prefix_engine.compare import Comparison
from prefix_engine.record import Run
from prefix_engine.speed import Arm, Trial
from prefix_engine.turns import ComputeSlot
from ui.editors import Inputs
from ui.text import place_for
from ui.wording import milliseconds

if TYPE_CHECKING:
    from prefix_engine.engine import Engine, Step
    from prefix_engine.run import Watch

BETWEEN_UPDATES_S = 0.25
FLUSH_S = 0.02


def compare_now(engine: Engine, inputs: Inputs) -> Comparison:
    """Tokenize and compare, without running anything. Raises where a prompt is too long."""
    from prefix_engine.run import compare_prompts  # brings torch, which the page can't wait for

    return compare_prompts(engine, inputs.a, inputs.b)


def make_run(engine: Engine, slot: ComputeSlot, inputs: Inputs) -> Run:
    """Run the two prompts, showing progress here. Any rerun of the page, Stop or a closed tab stops
    it within one chunk: Streamlit raises from the next update, and the cache stays whole."""
    from prefix_engine.run import run

    progress = Progress(slot)
    st.button("Stop", help="Nothing is lost: the cache stays as it was.")
    return run(engine, inputs.a, inputs.b, inputs.rounds, inputs.reply_tokens, progress.watch())


class Progress:
    """Tells a run's progress on the page, seldom enough not to disturb what is being timed."""

    def __init__(self, slot: ComputeSlot) -> None:
        self._slot = slot
        self._bar = st.progress(0.0, "Waiting for a turn")
        self._places = {}
        for arm, column in zip((Arm.COLD, Arm.HIT), st.columns(2), strict=True):
            with column:
                self._places[arm] = st.empty(), place_for("reply", key=f"live-{arm}")
        self._said: dict[Arm, str] = defaultdict(str)
        self._part, self._text = 0.0, "Computing A and storing its KV"
        self._updated_s = 0.0

    def watch(self) -> Watch:
        """The callbacks for `run`."""
        from prefix_engine.run import Watch

        return Watch(self._turn, self._on_step, self._on_trial, self._on_token)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._slot.turn(lambda before: self._update(f"Waiting: {before} before you")):
            # what was told last is sent by another thread: let it, before a clock starts
            time.sleep(FLUSH_S)
            yield

    def _on_step(self, done: int, total: int) -> None:
        self._update_if_due(f"{self._text} ({done:,} of {total:,} tokens)")

    def _on_trial(self, trial: Trial, of: int) -> None:
        self._part += 1 / of
        name = "Discarded round" if trial.round == 0 else f"Round {trial.round}"
        self._text = f"{name}: {trial.arm} took {milliseconds(trial.ttft_s)}"
        self._update_if_due(self._text)

    def _on_token(self, arm: Arm, step: Step) -> None:
        heading, reply = self._places[arm]
        if not self._said[arm]:
            self._part, self._text = 1.0, f"Answering B: {arm}"
            heading.caption(f"{arm}: first token after {milliseconds(step.prefill.ttft_s)}")
        self._said[arm] += step.text
        reply.text(self._said[arm])

    def _update_if_due(self, text: str) -> None:
        if time.monotonic() - self._updated_s > BETWEEN_UPDATES_S:
            self._update(text)

    def _update(self, text: str) -> None:
        self._bar.progress(min(self._part, 1.0), text)
        self._updated_s = time.monotonic()
        # the update is sent by another thread: let it, while the clock is stopped
        time.sleep(FLUSH_S)
