"""Two raw prompts for the page on why reuse stops: a preset, or the learner's own."""

from __future__ import annotations

import streamlit as st

from ui.lessons.splice_view import found_splices
from ui.presets import load_presets

_SHAPES = {
    "weather": "One word differs: SF / NYC",
    "longer-id": "An id one token longer: all text moves",
    "id-front": "Long system prompt behind a request id",
}


def ask_for_pair() -> tuple[str, str]:
    """Show the editors and return A and B as they stand there."""
    pairs = _pairs()
    chosen = st.selectbox("Preset", list(pairs), key="pair")
    left, right = st.columns(2)
    # editors of its own for each preset: a click right after the choice can't bring old text back
    a, b = (
        column.text_area(label, text, key=f"{label}: {chosen}", height=110)
        for column, label, text in zip(
            (left, right),
            ("A: already in the cache", "B: arrives next"),
            pairs[chosen],
            strict=True,
        )
    )
    return a, b


def _pairs() -> dict[str, tuple[str, str]]:
    """A and B by title."""
    presets = {preset.id: preset for preset in load_presets()}
    pairs = {title: (presets[name].a, presets[name].b) for name, title in _SHAPES.items()}
    search = found_splices().result
    for index, what in (
        (search.changed, "a wrong cache changes the text"),
        (search.unchanged, "a wrong cache leaves the text as it is"),
    ):
        pairs[f"Found by search: {what}"] = search.splices[index].a, search.splices[index].b
    return pairs
