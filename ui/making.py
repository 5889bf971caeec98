"""A run of two prompts while it is made: the trials one by one, and what the model says."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from typing import TYPE_CHECKING

import streamlit as st

from prefix_engine.compare import Comparison
from prefix_engine.record import Run
from prefix_engine.speed import Arm, Trial
from prefix_engine.turns import ComputeSlot
from ui.editors import Inputs
from ui.progress import Progress
from ui.text import place_for
from ui.wording import milliseconds

if TYPE_CHECKING:
    from prefix_engine.engine import Engine, Step
    from prefix_engine.run import RunWatch


def compare_now(engine: Engine, inputs: Inputs) -> Comparison:
    """Tokenize and compare, without running anything. Raises where a prompt is too long."""
    from prefix_engine.run import compare_prompts  # brings torch, which the page can't wait for

    return compare_prompts(engine, inputs.a, inputs.b)


def make_run(engine: Engine, slot: ComputeSlot, inputs: Inputs) -> Run:
    """Run the two prompts, showing progress here."""
    from prefix_engine.run import run

    with closing(RunProgress(slot)) as progress:
        watch = progress.run_watch()
        return run(engine, inputs.a, inputs.b, inputs.rounds, inputs.reply_tokens, watch)


class RunProgress(Progress):
    """Tells each trial's time, and the replies as they come."""

    def __init__(self, slot: ComputeSlot) -> None:
        super().__init__(slot, "Computing A and storing its KV")
        self._places = {}
        for arm, column in zip((Arm.COLD, Arm.HIT), self.here.columns(2), strict=True):
            with column:
                self._places[arm] = st.empty(), place_for("reply", key=f"live-{arm}")
        self._said: dict[Arm, str] = defaultdict(str)
        self._trials = 0

    def run_watch(self) -> RunWatch:
        """The callbacks for `run`."""
        from prefix_engine.run import RunWatch

        return RunWatch(self.turn, self.on_step, on_trial=self._on_trial, on_token=self._on_token)

    def _on_trial(self, trial: Trial, of: int) -> None:
        self._trials += 1
        name = "Discarded round" if trial.round == 0 else f"Round {trial.round}"
        self.tell(self._trials / of, f"{name}: {trial.arm} took {milliseconds(trial.ttft_s)}")

    def _on_token(self, arm: Arm, step: Step) -> None:
        heading, reply = self._places[arm]
        if not self._said[arm]:
            heading.caption(f"{arm}: first token after {milliseconds(step.prefill.ttft_s)}")
        self.tell(1.0, f"Answering B: {arm}")
        self._said[arm] += step.text
        reply.text(self._said[arm])
