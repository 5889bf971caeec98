"""Two raw prompts for the page on why reuse stops: a preset, or the learner's own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import streamlit as st

from ui.lessons.splice_view import found_splices
from ui.presets import load_presets

_SHAPES = {
    "weather": "One word differs: SF / NYC",
    "longer-id": "An id one token longer: all text moves",
    "id-front": "Long system prompt behind a request id",
}


@dataclass(frozen=True)
class Pair:
    """Two prompts, as they stand in the editors."""

    a: str
    b: str

    @property
    def key(self) -> str:
        """Names the pair: another one gets a prediction of its own."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]


def ask_for_pair() -> Pair:
    """Show the editors; returns what stands in them."""
    pairs = preset_pairs()
    chosen = st.selectbox("Preset", list(pairs), key="pair")
    left, right = st.columns(2)
    preset = pairs[chosen]
    # editors of its own for each preset: a click right after the choice can't bring old text back
    return Pair(
        left.text_area("A", preset.a, key=f"A: {chosen}", height=110),
        right.text_area("B", preset.b, key=f"B: {chosen}", height=110),
    )


def preset_pairs() -> dict[str, Pair]:
    """The pairs that the page offers, by title."""
    presets = {preset.id: preset for preset in load_presets()}
    pairs = {title: Pair(presets[name].a, presets[name].b) for name, title in _SHAPES.items()}
    search = found_splices().result
    for index, what in (
        (search.changed, "a wrong cache changes the text"),
        (search.unchanged, "a wrong cache leaves the text as it is"),
    ):
        found = search.splices[index]
        pairs[f"Found by search: {what}"] = Pair(found.a, found.b)
    return pairs
