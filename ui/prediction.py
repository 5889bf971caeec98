"""Predict, then reveal: the learner's guess where reuse stops, kept for each pair of prompts."""

from __future__ import annotations

from functools import partial
from typing import cast

import streamlit as st

from prefix_engine.compare import Comparison
from ui.strip import strip_payload, token_strip

Pair = tuple[tuple[int, ...], tuple[int, ...]]


def ask_for_guess(comparison: Comparison) -> None:
    """Show the strips without the answer; a click on a token is the learner's guess."""
    token_strip(
        strip_payload(comparison, guess=guess_for(comparison)),
        key="predict",
        mode="predict",
        on_guess=partial(_keep_guess, _pair(comparison)),
    )


def guess_for(comparison: Comparison) -> int | None:
    """The guess that was made for this pair in this session."""
    return _guesses().get(_pair(comparison))


def reveal(comparison: Comparison) -> None:
    """Show the answer for this pair from now on, guessed or not."""
    _guesses().setdefault(_pair(comparison), None)


def is_revealed(comparison: Comparison) -> bool:
    """Whether the learner guessed, or asked to be shown."""
    return _pair(comparison) in _guesses()


def _keep_guess(pair: Pair, guess: int) -> None:
    _guesses()[pair] = guess


def _guesses() -> dict[Pair, int | None]:
    return cast("dict[Pair, int | None]", st.session_state.setdefault("guesses", {}))


def _pair(comparison: Comparison) -> Pair:
    return comparison.a.ids, comparison.b.ids
