"""What the learner enters: a preset or their own prompts, and how to run them."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from prefix_engine.tokenizer import Message, Prompt
from ui.presets import Preset, load_presets, preset_prompts

DEFAULT_ROUNDS = 7
DEFAULT_REPLY_TOKENS = 24


@dataclass(frozen=True)
class Inputs:
    """Two prompts and the settings of a run. `preset` is where the prompts began."""

    preset: Preset
    a: Prompt
    b: Prompt
    rounds: int
    reply_tokens: int

    @property
    def lesson(self) -> str | None:
        """What the preset teaches, as long as its prompts were not edited."""
        untouched = preset_prompts(self.preset) == (self.a, self.b)
        return self.preset.lesson if untouched else None


def ask_for_inputs() -> Inputs:
    """Show the editors and return what stands in them. Preset and settings live in the link."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        preset = _choose_preset()
        st.segmented_control(
            "Send as", ["raw", "chat"], key="mode", required=True, bind="query-params"
        )
        with st.popover("Settings"):
            rounds, reply_tokens = _ask_for_settings()
    return Inputs(preset, *_edit_prompts(), rounds, reply_tokens)


def _choose_preset() -> Preset:
    presets = {preset.id: preset for preset in load_presets()}
    linked = st.query_params.get("preset", "")
    if "preset" not in st.session_state:
        st.session_state["preset"] = linked if linked in presets else next(iter(presets))
    chosen = st.selectbox(
        "Preset", list(presets), format_func=lambda name: presets[name].title, key="preset"
    )
    # not bound: a bound selectbox puts the title into the link, and titles get reworded
    st.query_params["preset"] = chosen
    if st.session_state.get("filled_from") != chosen:
        _fill_in(presets[chosen])
    return presets[chosen]


def _fill_in(preset: Preset) -> None:
    """Put a preset's texts into the editors. When the page opens, a link's own mode still wins: a
    bound widget takes what its link says first."""
    st.session_state["filled_from"] = preset.id
    st.session_state["a"] = preset.a
    st.session_state["b"] = preset.b
    st.session_state["system"] = preset.system or ""
    st.session_state["mode"] = preset.mode


def _begin_with(key: str, value: int) -> None:
    """A widget's first value in this session, unless the link brings one."""
    if key not in st.session_state and key not in st.query_params:
        st.session_state[key] = value


def _ask_for_settings() -> tuple[int, int]:
    _begin_with("trials", DEFAULT_ROUNDS)
    _begin_with("reply", DEFAULT_REPLY_TOKENS)
    rounds = st.slider(
        "Trials of each arm",
        min_value=1,
        max_value=20,
        key="trials",
        bind="query-params",
        help="With fewer than 5 undisturbed trials an arm, no verdict on speed is given.",
    )
    reply_tokens = st.slider(
        "Longest reply, in tokens (0: none)",
        min_value=0,
        max_value=64,
        key="reply",
        bind="query-params",
    )
    return rounds, reply_tokens


def _edit_prompts() -> tuple[Prompt, Prompt]:
    chat = st.session_state["mode"] == "chat"
    system = _ask_for_system() if chat else ""
    left, right = st.columns(2)
    a = left.text_area("A: already in the cache", key="a", height=130)
    b = right.text_area("B: arrives next", key="b", height=130)
    if not chat:
        return a or "", b or ""
    turns = (Message("system", system),) if system else ()
    return (*turns, Message("user", a or "")), (*turns, Message("user", b or ""))


def _ask_for_system() -> str:
    text = st.text_area(
        "System prompt, the same for A and B",
        key="system",
        placeholder="Empty: the template sends a system prompt of its own, if it has one",
    )
    return text or ""
