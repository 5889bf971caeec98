"""The KV divergence map as a picture: tokens from left to right, layers from the bottom up.

Columns stand side by side. Where tokens of B have no partner in A, one empty column stands for all
of them and says how many they are.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Literal

import pandas as pd
import plotly.graph_objects as go

from prefix_engine.lessons.divergence import Column, Divergence
from prefix_engine.lessons.divergence_verdict import percent
from ui.charts import Chart
from ui.palette import (
    CUT_GLYPH,
    DIFFERENT,
    FIRST_DIFFERENCE,
    GROUND,
    INK,
    REUSED,
    SAME_RECOMPUTED,
    StateStyle,
    Theme,
)

Part = Literal["keys", "values"]

SMALLEST, LARGEST = 1e-4, 1.0
"""The relative differences at the ends of the colour scale; it is logarithmic."""

_ROW_PX = 15
_LABEL_LENGTH = 12
_MOST_LABELS = 16  # more would overlap on a phone
_MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")


def divergence_chart(
    divergence: Divergence,
    columns: Sequence[Column],
    part: Part,
    cell: tuple[int, int] | None = None,
    theme: Theme = "light",
) -> Chart:
    """The map of some columns. `cell`, a layer and a position of B, gets a frame.

    A cell without any difference has the tint and the glyph of what is reused; every other one is
    the darker, the more it differs (on the dark theme: the brighter).
    """
    figure, at = go.Figure(), _places(columns)
    _add_equal(figure, divergence, columns, part, theme)
    _add_different(figure, divergence, columns, part, theme)
    _add_targets(figure, divergence, columns, part)
    if cell is not None:
        layer, b_at = cell
        _add_frame(figure, at[b_at], layer, theme)
    _add_cut(figure, divergence, columns, theme)
    _lay_out(figure, divergence, columns)
    return Chart(figure, _alt(divergence, columns, part), _table(divergence, columns))


def relative(column: Column, part: Part) -> tuple[float, ...]:
    """A column's relative differences, layer 0 first."""
    return column.k if part == "keys" else column.v


def style_of(divergence: Divergence, column: Column) -> StateStyle:
    """The look of a column's token: in the shared prefix, the same again, or another one."""
    if column.b_at < divergence.shared:
        return REUSED
    if column.same:
        return SAME_RECOMPUTED
    return FIRST_DIFFERENCE if column.b_at == divergence.shared else DIFFERENT


def _places(columns: Sequence[Column]) -> dict[int, int]:
    """Where on the x axis a column stands, by its position in B; each gap takes a place, too."""
    steps = [after.b_at - before.b_at for before, after in pairwise(columns)]
    gaps_passed = accumulate((step > 1 for step in steps), initial=0)
    return {
        column.b_at: number + gaps
        for number, (column, gaps) in enumerate(zip(columns, gaps_passed, strict=True))
    }


def _gaps(columns: Sequence[Column]) -> dict[int, int]:
    """How many tokens of B have no partner in A, by the place that stands for them."""
    at = _places(columns)
    return {
        at[before.b_at] + 1: after.b_at - before.b_at - 1
        for before, after in pairwise(columns)
        if after.b_at - before.b_at > 1
    }


def _add_equal(
    figure: go.Figure,
    divergence: Divergence,
    columns: Sequence[Column],
    part: Part,
    theme: Theme,
) -> None:
    at = _places(columns)
    equal = [
        (at[column.b_at], layer)
        for column in columns
        for layer, x in enumerate(relative(column, part))
        if x == 0
    ]
    shade = REUSED.shade(theme)
    figure.add_heatmap(
        **_grid(divergence, columns, part, lambda x: 0.0 if x == 0 else None),
        colorscale=[[0, shade.tint], [1, shade.tint]],
        zmin=0,
        zmax=1,
        showscale=False,
        xgap=1,
        ygap=1,
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[place for place, _ in equal],
        y=[layer for _, layer in equal],
        mode="text",
        text=REUSED.glyph,
        textfont={"size": 10, "color": INK[theme]},
        hoverinfo="skip",
    )


def _add_different(
    figure: go.Figure,
    divergence: Divergence,
    columns: Sequence[Column],
    part: Part,
    theme: Theme,
) -> None:
    shade = FIRST_DIFFERENCE.shade(theme)
    ticks = [10.0**power for power in range(-4, 1)]
    figure.add_heatmap(
        **_grid(divergence, columns, part, lambda x: math.log10(x) if x > 0 else None),
        # one hue, and its lightness runs one way
        colorscale=[[0, shade.tint], [0.75, shade.edge], [1, INK[theme]]],
        zmin=math.log10(SMALLEST),
        zmax=math.log10(LARGEST),
        xgap=1,
        ygap=1,
        hoverinfo="skip",
        colorbar={
            "orientation": "h",
            "thickness": 14,
            "len": 0.92,
            "y": 1.0,
            "yanchor": "bottom",
            "title": {
                "text": f"difference from A's {part} (✓ none)",
                "side": "top",
                "font": {"size": 13},
            },
            "tickvals": [math.log10(tick) for tick in ticks],
            "ticktext": [percent(tick) for tick in ticks],
            "tickfont": {"size": 13},
        },
    )


def _add_targets(
    figure: go.Figure, divergence: Divergence, columns: Sequence[Column], part: Part
) -> None:
    """A point in each cell, unseen: a heatmap tells no clicks."""
    at = _places(columns)
    cells = [
        (column, layer, x) for column in columns for layer, x in enumerate(relative(column, part))
    ]
    unseen = {"marker": {"opacity": 0}}
    figure.add_scatter(
        x=[at[column.b_at] for column, _, _ in cells],
        y=[layer for _, layer, _ in cells],
        mode="markers",
        marker={"symbol": "square", "size": _ROW_PX, "opacity": 0},
        selected=unseen,
        unselected=unseen,
        customdata=[
            [_escaped(divergence.b_tokens[column.b_at]), column.b_at + 1, percent(x)]
            for column, _, x in cells
        ],
        hovertemplate=(
            f"token %{{customdata[1]}} of B: %{{customdata[0]}}<br>layer %{{y}}: {part} differ "
            "by %{customdata[2]}<extra></extra>"
        ),
    )


def _add_frame(figure: go.Figure, place: int, layer: int, theme: Theme) -> None:
    for width, colour in ((5, GROUND[theme]), (2.5, INK[theme])):
        figure.add_shape(
            type="rect",
            x0=place - 0.5,
            x1=place + 0.5,
            y0=layer - 0.5,
            y1=layer + 0.5,
            line={"width": width, "color": colour},
        )


def _add_cut(
    figure: go.Figure, divergence: Divergence, columns: Sequence[Column], theme: Theme
) -> None:
    if not columns[0].b_at < divergence.shared <= columns[-1].b_at:
        return
    at = _places(columns)
    cut = max(at[column.b_at] for column in columns if column.b_at < divergence.shared) + 0.5
    figure.add_vline(
        x=cut,
        line={"width": 3, "dash": "dash", "color": FIRST_DIFFERENCE.shade(theme).edge},
    )
    # in the free row above the map: it needs no ground of its own, and so fits either theme
    figure.add_annotation(
        x=cut,
        y=divergence.layers,
        xanchor="left",
        text=CUT_GLYPH,
        showarrow=False,
        font={"size": 18},
    )


def _lay_out(figure: go.Figure, divergence: Divergence, columns: Sequence[Column]) -> None:
    top = divergence.layers - 1
    step = max(1, round(divergence.layers / 6))
    ticks = _ticks(divergence, columns)
    figure.update_layout(
        xaxis={
            "tickvals": list(ticks),
            "ticktext": list(ticks.values()),
            "tickangle": -90 if len(columns) > 12 or _gaps(columns) else -45,
            "tickfont": {"size": 13},
            "range": [-0.5, max(_places(columns).values()) + 0.5],
            "showgrid": False,
            "zeroline": False,
            "automargin": True,
        },
        yaxis={
            "title": {"text": "layer", "font": {"size": 13}},
            "tickvals": [*range(0, top, step), top],
            "tickfont": {"size": 13},
            "range": [-0.5, top + 1.5],
            "showgrid": False,
            "zeroline": False,
            "automargin": True,
        },
        showlegend=False,
        dragmode=False,
        hovermode="closest",
        height=_ROW_PX * divergence.layers + 235,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
    )


def _ticks(divergence: Divergence, columns: Sequence[Column]) -> dict[int, str]:
    """What stands below the columns, by place: a label below every gap, and as many as fit."""
    gaps, every = _gaps(columns), -(-len(columns) // _MOST_LABELS)
    ticks = {place: f"no partner in A: {count:,}" for place, count in gaps.items()}
    for column, place in zip(columns, _places(columns).values(), strict=True):
        if place % every == 0 and all(abs(place - gap) >= every for gap in gaps):
            ticks[place] = _tick(divergence, column)
    return ticks


def _grid(
    divergence: Divergence,
    columns: Sequence[Column],
    part: Part,
    shown: Callable[[float], float | None],
) -> dict[str, object]:
    """x, y and z of a heatmap; nothing is drawn where `shown` gives None, or in a gap."""
    at = _places(columns)
    by_place = {at[column.b_at]: relative(column, part) for column in columns}
    places, layers = range(max(by_place) + 1), range(divergence.layers)
    return {
        "x": list(places),
        "y": list(layers),
        "z": [[shown(by_place[x][y]) if x in by_place else None for x in places] for y in layers],
    }


def _tick(divergence: Divergence, column: Column) -> str:
    label = divergence.b_tokens[column.b_at]
    if len(label) > _LABEL_LENGTH:
        label = label[: _LABEL_LENGTH - 1] + "…"
    return f"{_escaped(label)} {style_of(divergence, column).glyph}"


def _alt(divergence: Divergence, columns: Sequence[Column], part: Part) -> str:
    shown = f"tokens {columns[0].b_at + 1:,} to {columns[-1].b_at + 1:,} of B"
    behind = [
        x
        for column in columns
        if column.b_at >= divergence.shared
        for x in relative(column, part)[1:]
    ]
    after = (
        f"after it, above layer 0, the differences run from {percent(min(behind))} to "
        f"{percent(max(behind))}"
        if behind
        else "nothing shown lies after it"
    )
    return (
        f"Map of {divergence.layers} layers by {len(columns)} tokens ({shown}): how far B's {part} "
        f"lie from A's. Up to the first difference, at token {divergence.shared + 1:,}, by at most "
        f"{percent(divergence.rounding)}; {after}."
    )


def _table(divergence: Divergence, columns: Sequence[Column]) -> pd.DataFrame:
    rows = [
        {
            "token of B": f"{column.b_at + 1}",
            "text": _MARKDOWN.sub(r"\\\1", divergence.b_tokens[column.b_at]),
            "is": f"{style.glyph} {style.word}",
            "K, layer 0": percent(column.k[0]),
            "V, layer 0": percent(column.v[0]),
            "K, above": _span(column.k[1:]),
            "V, above": _span(column.v[1:]),
        }
        for column in columns
        for style in [style_of(divergence, column)]
    ]
    return pd.DataFrame(rows).set_index("token of B")


def _span(values: Sequence[float]) -> str:
    return f"{percent(min(values))} – {percent(max(values))}" if values else "–"


def _escaped(text: str) -> str:
    """Plotly takes a few HTML tags for markup; a prompt's text has none."""
    return html.escape(text)
