"""The divergence map on a page: which part of it, and the numbers of one cell."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import streamlit as st

from prefix_engine.lessons.divergence import Column, Divergence
from prefix_engine.lessons.divergence_verdict import percent
from ui.lessons.divergence_chart import Part, divergence_chart, relative, style_of
from ui.text import page_theme, say

WINDOW = 32
"""Columns shown at once: more would be too narrow to read."""

_BEFORE_CUT = 8
_LAYER = "cell-layer"


def show_divergence(divergence: Divergence, key: str) -> None:
    """The map with its switches, the picked cell's numbers, and the table. `key` names the run."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        part = cast(
            Part,
            st.segmented_control("Show", ["keys", "values"], default="keys", required=True),
        )
        columns = _aligned(divergence)
    if not columns:
        return
    columns = _window(divergence, columns)
    token_key = f"cell-token-{key}"
    cell = _picked(divergence, columns, token_key)
    chart = divergence_chart(divergence, columns, part, cell, page_theme())
    st.plotly_chart(
        chart.figure,
        key=f"map-{key}",
        alt=chart.alt,
        on_select=partial(_pick, f"map-{key}", token_key),
        selection_mode="points",
        config={"displayModeBar": False},
    )
    _show_cell(divergence, columns, token_key)
    with st.expander("The same as a table"):
        st.table(chart.table, alt=chart.alt)


def _aligned(divergence: Divergence) -> tuple[Column, ...]:
    if not divergence.by_text:
        return divergence.by_position
    by = st.segmented_control(
        "Compare each token of B with",
        ["the same text in A", "the same position in A"],
        default="the same text in A",
        required=True,
    )
    return divergence.by_text if by == "the same text in A" else divergence.by_position


def _window(divergence: Divergence, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns around the cut, or those that the learner asks for."""
    spare = len(columns) - WINDOW
    if spare <= 0:
        return columns
    at_cut = sum(column.b_at < divergence.shared for column in columns) - _BEFORE_CUT
    first = st.slider(
        f"First of the {WINDOW} columns shown, of {len(columns):,}",
        min_value=1,
        max_value=spare + 1,
        value=min(max(at_cut, 0), spare) + 1,
    )
    return columns[first - 1 : first - 1 + WINDOW]


def _picked(divergence: Divergence, columns: Sequence[Column], token_key: str) -> tuple[int, int]:
    """The layer and the position of B whose numbers are told; at first, the first text again."""
    positions = [column.b_at for column in columns]
    if st.session_state.get(token_key) not in positions:
        again = [c.b_at for c in columns if c.same and c.b_at >= divergence.shared]
        st.session_state[token_key] = (again or positions)[0]
    layer = st.session_state.get(_LAYER, min(1, divergence.layers - 1))
    st.session_state[_LAYER] = min(layer, divergence.layers - 1)
    return st.session_state[_LAYER], st.session_state[token_key]


def _pick(chart_key: str, token_key: str) -> None:
    """A cell was clicked: what `_show_cell` tells follows it."""
    event: Any = st.session_state[chart_key]
    for point in event["selection"]["points"][:1]:
        st.session_state[token_key] = int(point["customdata"][1]) - 1
        st.session_state[_LAYER] = int(point["y"])


def _show_cell(divergence: Divergence, columns: Sequence[Column], token_key: str) -> None:
    """The same choice by keyboard, and the numbers of the cell in words."""
    by_position = {column.b_at: column for column in columns}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Token of B (or click a cell)",
            list(by_position),
            key=token_key,
            format_func=lambda at: f"{at + 1}: {divergence.b_tokens[at]}",
        )
        st.number_input("Layer", 0, divergence.layers - 1, key=_LAYER)
    layer, column = st.session_state[_LAYER], by_position[st.session_state[token_key]]
    keys, values = relative(column, "keys")[layer], relative(column, "values")[layer]
    say(
        f"Layer {layer}, token {column.b_at + 1} of B, “{divergence.b_tokens[column.b_at]}”, "
        f"against token {column.a_at + 1} of A, “{divergence.a_tokens[column.a_at]}” "
        f"({style_of(divergence, column).word}): the keys differ by {percent(keys)}, the values "
        f"by {percent(values)}.",
        key="cell",
    )
