"""Which run belongs to what stands in the editors: one made in this session, or a recorded one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from prefix_engine.model.info import ModelInfo
from prefix_engine.model.places import SMOLLM2
from prefix_engine.record import Run
from ui.editors import Inputs
from ui.recorded import recorded_run

if TYPE_CHECKING:
    from prefix_engine.engine import Engine

KEPT = "run"


@dataclass(frozen=True)
class Found:
    """A run of just these prompts, and whether it is a recording."""

    run: Run
    recorded: bool


def find_run(inputs: Inputs, engine: Engine | None) -> Found | None:
    """The session's own run if it is of these prompts, else a recording of them, else None. Where
    another model answers, a recording says nothing about it, and none is found."""
    own: Run | None = st.session_state.get(KEPT)
    if own is not None and (own.a, own.b) == (inputs.a, inputs.b):
        return Found(own, recorded=False)
    recording = recorded_run(inputs.a, inputs.b)
    if recording is None or (engine and not is_built_in(engine.model.info)):
        return None
    return Found(recording, recorded=True)


def keep_run(run: Run) -> None:
    """Make it the session's own run."""
    st.session_state[KEPT] = run


def is_built_in(model: ModelInfo) -> bool:
    """Whether it is the model whose tokens the presets' lessons speak of."""
    return model.weights_sha256 == SMOLLM2.sha256
