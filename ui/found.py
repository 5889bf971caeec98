"""Which run belongs to what stands in the editors: one made in this session, or a recorded one."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from prefix_engine.record import Run
from ui.editors import Inputs
from ui.recorded import recorded_run

KEPT = "run"


@dataclass(frozen=True)
class Found:
    """A run of just these prompts, and whether it is a recording."""

    run: Run
    recorded: bool


def find_run(inputs: Inputs) -> Found | None:
    """The session's own run if it is of these prompts, else a recording of them, else None."""
    own: Run | None = st.session_state.get(KEPT)
    if own is not None and (own.a, own.b) == (inputs.a, inputs.b):
        return Found(own, recorded=False)
    recording = recorded_run(inputs.a, inputs.b)
    return Found(recording, recorded=True) if recording else None


def keep_run(run: Run) -> None:
    """Make it the session's own run."""
    st.session_state[KEPT] = run
