"""The meaning of colours, glyphs and words for token states, in one place.

The hues are Okabe and Ito's, which stay apart for colour-blind eyes (https://jfly.uni-koeln.de/color/).
No state is told by colour alone: each has a border of its own, a glyph and a word as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prefix_engine.compare import State

Line = Literal["solid", "thick", "hatched", "dashed", "thin", "dotted"]
Theme = Literal["light", "dark"]


@dataclass(frozen=True, slots=True)
class Shade:
    """A state's colours on one theme: fill behind text, border, and the fill's hatching."""

    tint: str
    edge: str
    stripe: str | None = None


@dataclass(frozen=True, slots=True)
class StateStyle:
    """How one state looks and what it is called; `meaning` is one clause in plain words."""

    glyph: str
    word: str
    meaning: str
    line: Line
    light: Shade
    dark: Shade

    def shade(self, theme: Theme) -> Shade:
        return self.light if theme == "light" else self.dark


REUSED = StateStyle(
    glyph="✓",
    word="reused",
    meaning="its keys and values come from the cache",
    line="solid",
    light=Shade(tint="#c2e7dc", edge="#007656"),
    dark=Shade(tint="#0a463b", edge="#2cbf92"),
)
MATCHED_RECOMPUTED = StateStyle(
    glyph="▢",
    word="matched, still computed",
    meaning="A has it at this position, yet it is computed",
    line="dotted",
    light=Shade(tint="#f2dae7", edge="#995b7d"),
    dark=Shade(tint="#4a3246", edge="#d88db5"),
)
FIRST_DIFFERENCE = StateStyle(
    glyph="≠",
    word="first difference",
    meaning="from here on nothing of A can be reused",
    line="thick",
    light=Shade(tint="#f5d3b8", edge="#c25500"),
    dark=Shade(tint="#5f300e", edge="#f58742"),
)
SAME_RECOMPUTED = StateStyle(
    glyph="↻",
    word="same token, recomputed",
    meaning="A has this token too, but after other tokens: its keys and values differ",
    line="hatched",
    light=Shade(tint="#fdf3dc", edge="#966700", stripe="#f8e0ab"),
    dark=Shade(tint="#43340f", edge="#e69f00", stripe="#5e4811"),
)
DIFFERENT = StateStyle(
    glyph="\N{BULLET}",
    word="different",
    meaning="A has another token or none that fits here, so it is computed",
    line="dashed",
    light=Shade(tint="#ececee", edge="#686868"),
    dark=Shade(tint="#2e3036", edge="#9aa0aa"),
)
NEW = StateStyle(
    glyph="+",
    word="new",
    meaning="A has ended, so it is computed",
    line="thin",
    light=Shade(tint="#d6e8f3", edge="#0072b2"),
    dark=Shade(tint="#1b3a50", edge="#56b4e9"),
)

STATE_STYLE: dict[State, StateStyle] = {
    State.REUSED: REUSED,
    State.MATCHED_RECOMPUTED: MATCHED_RECOMPUTED,
    State.FIRST_DIFFERENCE: FIRST_DIFFERENCE,
    State.SAME_RECOMPUTED: SAME_RECOMPUTED,
    State.DIFFERENT: DIFFERENT,
    State.NEW: NEW,
}

REASON: dict[str, str] = {
    "block": "only whole blocks are reused, and its block holds a token that differs or is missing",
    "last_token": "the last token is always computed: its logits are what the request is for",
}
"""Why a matched token is computed all the same, by `TokenState.why`."""

ARM_COLOUR: dict[str, str] = {"cold": "#2a83bd", "control": "#c06b9b", "hit": "#009e73"}
"""The arms of a timing, by `Arm`; like the stages' these stand out on both themes alike."""

STAGE_COLOUR: dict[str, str] = {
    "tokenize": "#bd8300",
    "lookup": "#3d94c9",
    "load": "#009e73",
    "prefill": "#d55e00",
    "pick": "#b0629a",
    "other": "#8a8f98",
}
"""The stages of a time to first token."""

CUT_GLYPH = "\N{BLACK SCISSORS}\N{VARIATION SELECTOR-15}"
"""The cut between two tokens; the selector keeps it a text glyph where an emoji font exists."""

INK: dict[Theme, str] = {"light": "#1b1d25", "dark": "#f3f4f6"}
"""Text on any tint."""

SOFT_INK: dict[Theme, str] = {"light": "#4b5160", "dark": "#c6cbd5"}
"""Text that stands back (glyphs of the invisible, ids, rulers), still readable on any tint."""

GROUND: dict[Theme, str] = {"light": "#ffffff", "dark": "#171614"}
"""Streamlit's page behind it all."""


def css_variables(selector: str = ":root") -> str:
    """All of it as CSS custom properties for `selector`, following its `color-scheme`.

    `--fd-reused-tint`, `--fd-reused-edge`, … one pair for each state (`_` becomes `-`), a
    `-stripe` for the hatched one, and `--fd-ink`, `--fd-soft-ink`.
    """
    names = {"--fd-ink": INK, "--fd-soft-ink": SOFT_INK}
    for state, style in STATE_STYLE.items():
        name = f"--fd-{state.value.replace('_', '-')}"
        names[f"{name}-tint"] = {"light": style.light.tint, "dark": style.dark.tint}
        names[f"{name}-edge"] = {"light": style.light.edge, "dark": style.dark.edge}
        if style.light.stripe and style.dark.stripe:
            names[f"{name}-stripe"] = {"light": style.light.stripe, "dark": style.dark.stripe}
    lines = "\n".join(
        f"  {name}: light-dark({colour['light']}, {colour['dark']});"
        for name, colour in names.items()
    )
    return f"{selector} {{\n{lines}\n}}\n"
