"""Pictures of ordered prompts: each request's parts and time, and a part on its way back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from prefix_engine.compare import State
from prefix_engine.lessons.ordering import Ordered, Orders
from prefix_engine.lessons.parts import Stretch
from prefix_engine.lessons.stream import Served
from ui.charts import Chart, axis, legend, text_font
from ui.lessons.trials import Series, add_series, trial_rows
from ui.palette import ARM_COLOUR, CUT_GLYPH, FIRST_DIFFERENCE, INK, STATE_STYLE, Theme
from ui.wording import milliseconds

SHOWN = (State.REUSED, State.SAME_RECOMPUTED, State.DIFFERENT, State.NEW)
PATTERN = {State.REUSED: "", State.SAME_RECOMPUTED: "/", State.DIFFERENT: ".", State.NEW: ""}
BETWEEN_ORDERS = 0.8
BESIDE = 0.14  # how far apart two series stand at one request or place
WITH, WITHOUT = "with the cache", "without the cache"
NAMES = ("this order", "suggested order")
COLOUR = {NAMES[0]: ARM_COLOUR["control"], NAMES[1]: ARM_COLOUR["hit"], WITHOUT: ARM_COLOUR["cold"]}
SYMBOL = {NAMES[0]: "square", NAMES[1]: "circle", WITHOUT: "diamond-open"}


def both_orders(orders: Orders) -> dict[str, Ordered]:
    """The measured orders by name; only one where the given order is the suggested one."""
    if orders.given.order == orders.suggested.order:
        return {NAMES[0]: orders.given}
    return dict(zip(NAMES, (orders.given, orders.suggested), strict=True))


def parts_chart(orders: Orders, theme: Theme = "light") -> Chart:
    """A bar for each request: its parts from left to right, by what happened to their tokens."""
    figure = go.Figure()
    rows = list(_rows(orders))
    for state in SHOWN:
        _add_state(figure, state, rows, theme)
    cuts = [(row, served) for row, _, served, _ in rows if served.shared]
    figure.add_scatter(
        x=[served.reused for _, served in cuts],
        y=[row for row, _ in cuts],
        mode="markers",
        name=f"{CUT_GLYPH} reuse ends",
        marker={
            "symbol": "line-ns-open",
            "size": 26,
            "line": {"width": 4},
            "color": FIRST_DIFFERENCE.shade(theme).edge,
        },
        hovertemplate="reuse ends after %{x} tokens<extra></extra>",
    )
    figure.update_layout(
        barmode="overlay",
        xaxis=axis("tokens of the prompt", theme) | {"rangemode": "tozero"},
        yaxis={
            "tickvals": [row for row, *_ in rows],
            "ticktext": [served.name.rpartition(" ")[2] for _, _, served, _ in rows],
            "title": {"text": "request", "font": text_font(theme)},
            "range": [rows[-1][0] + 0.6, -1],
            "automargin": True,
            "tickfont": text_font(theme),
        },
        legend=legend(theme),
        uniformtext={"minsize": 11, "mode": "hide"},
        height=110 + 34 * len(rows),
        margin={"l": 8, "r": 16, "t": 8, "b": 8},
    )
    for name, row in {name: row for row, name, *_ in reversed(rows)}.items():
        figure.add_annotation(
            x=0,
            y=row - 0.7,
            xanchor="left",
            text=f"<b>{name}</b>",
            showarrow=False,
            font=text_font(theme),
        )
    alt = " ".join(
        f"{name.capitalize()}: " + ", ".join(map(_reuse, ordered.stream.requests)) + "."
        for name, ordered in both_orders(orders).items()
    )
    return Chart(figure, f"Reused tokens of each request. {alt}", _stretch_table(rows))


def ttft_chart(orders: Orders, theme: Theme = "light") -> Chart:
    """Each request's times to first token, in both orders and without the cache: a dot a run."""
    figure = go.Figure()
    shown = _shown(orders)
    for at, (series, ordered) in enumerate(shown):
        offset = BESIDE * (at - (len(shown) - 1) / 2)
        spots = [(n + offset, one) for n, one in enumerate(ordered.stream.requests, 1)]
        add_series(figure, series, spots, upright=True)
    figure.update_layout(
        xaxis=axis("request", theme) | {"dtick": 1},
        yaxis=axis("time to first token, ms", theme) | {"rangemode": "tozero"},
        legend=legend(theme),
        height=300,
        margin={"l": 8, "r": 16, "t": 8, "b": 8},
    )
    table = pd.DataFrame(
        [
            {"request": f"{number}, {name}", **row}
            for name, ordered in both_orders(orders).items()
            for number, one in enumerate(ordered.stream.requests, 1)
            for row in trial_rows(one)
        ]
    ).set_index("request")
    alt = "; ".join(
        f"{series.name}: "
        + ", ".join(milliseconds(series.median_s(one)) for one in ordered.stream.requests)
        for series, ordered in shown
    )
    return Chart(figure, f"Median time to first token of each request. {alt}.", table)


def places_chart(orders: Orders, titles: Mapping[str, str], theme: Theme = "light") -> Chart:
    """What request 2 reuses, and its times, with the moved part at each place, front to back."""
    second = [place.stream.requests[1] for place in orders.places]
    numbers = list(range(1, len(second) + 1))
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    reused = STATE_STYLE[State.REUSED]
    figure.add_bar(
        x=numbers,
        y=[one.reused for one in second],
        name=f"{reused.glyph} tokens reused",
        marker={
            "color": reused.shade(theme).tint,
            "line": {"color": reused.shade(theme).edge, "width": 2},
        },
        text=[f"{one.reused:,}" for one in second],
        textposition="outside",
        textfont=text_font(theme),
        cliponaxis=False,
        hovertemplate="place %{x}: %{y} tokens reused<extra></extra>",
        row=1,
        col=1,
    )
    for side, series in (
        (-1, Series(WITH, True, ARM_COLOUR["hit"], "circle")),
        (1, Series(WITHOUT, False, ARM_COLOUR["cold"], "diamond-open")),
    ):
        spots = [(n + side * BESIDE / 2, one) for n, one in zip(numbers, second, strict=True)]
        add_series(figure, series, spots, upright=True, row=2, col=1)
    title = titles[orders.moved]
    most = max(one.tokens for one in second)
    figure.update_xaxes(axis(None, theme), dtick=1, row=1, col=1)
    figure.update_xaxes(axis(f"place of: {title} (1: front)", theme), dtick=1, row=2, col=1)
    figure.update_yaxes(axis("tokens reused", theme), range=[0, most * 1.1], row=1, col=1)
    figure.update_yaxes(axis("TTFT, ms", theme), rangemode="tozero", row=2, col=1)
    figure.update_layout(legend=legend(theme), height=440, margin={"l": 8, "r": 16, "t": 8, "b": 8})
    return Chart(
        figure,
        f"{title} from front to back, what request 2 reuses: "
        + ", ".join(f"place {n}: {one.reused}" for n, one in zip(numbers, second, strict=True))
        + ".",
        _place_table(orders, titles),
    )


Row = tuple[float, str, Served, Sequence[Stretch]]
"""Where a bar stands, the name of its order, its request, and that request's stretches."""


def _rows(orders: Orders) -> Iterator[Row]:
    row = 0.0
    for name, ordered in both_orders(orders).items():
        for served, stretches in zip(ordered.stream.requests, ordered.stretches, strict=True):
            yield row, name, served, stretches
            row += 1
        row += BETWEEN_ORDERS


def _add_state(figure: go.Figure, state: State, rows: Sequence[Row], theme: Theme) -> None:
    style = STATE_STYLE[state]
    shade = style.shade(theme)
    bars = []
    for row, _, _, stretches in rows:
        begin = 0
        for one in stretches:
            if one.state is state:
                bars.append((row, begin, one))
            begin += one.tokens
    if not bars:
        return
    figure.add_bar(
        x=[one.tokens for _, _, one in bars],
        y=[row for row, _, _ in bars],
        base=[begin for _, begin, _ in bars],
        width=0.8,
        orientation="h",
        name=f"{style.glyph} {style.word}",
        marker={
            "color": shade.tint,
            "line": {"color": shade.edge, "width": 1.5},
            "pattern": {
                "shape": PATTERN[state],
                "fgcolor": shade.stripe or shade.edge,
                "fillmode": "overlay",
                "size": 7,
            },
        },
        text=[f"{style.glyph} {one.part}" for _, _, one in bars],
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        textfont={"color": INK[theme], "size": 13},
        hovertemplate=[
            f"{one.part}: {one.tokens} tokens, {style.word}<extra></extra>" for _, _, one in bars
        ],
    )


def _shown(orders: Orders) -> list[tuple[Series, Ordered]]:
    """What the chart of times shows, and whose requests; without the cache, the given order's."""
    both = [
        (Series(name, True, COLOUR[name], SYMBOL[name]), ordered)
        for name, ordered in both_orders(orders).items()
    ]
    without = Series(WITHOUT, False, COLOUR[WITHOUT], SYMBOL[WITHOUT])
    return [*both, (without, orders.given)]


def _reuse(served: Served) -> str:
    return f"{served.reused} of {served.tokens}"


def _stretch_table(rows: Sequence[Row]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "order": name,
                "tokens": served.tokens,
                "reused": served.reused,
                "reuse ends in": _last_reused(stretches),
                "TTFT": milliseconds(served.ttft_median_s),
                "without the cache": milliseconds(served.cold_median_s),
            }
            for _, name, served, stretches in rows
        ],
    ).set_index("order")


def _last_reused(stretches: Sequence[Stretch]) -> str:
    return next((one.part for one in reversed(stretches) if one.state is State.REUSED), "–")


def _place_table(orders: Orders, titles: Mapping[str, str]) -> pd.DataFrame:
    rows = []
    for number, place in enumerate(orders.places, 1):
        second = place.stream.requests[1]
        following = place.order[number:]
        before = f"before {titles[following[0]]}" if following else "last"
        where = {"place": f"{number}, {before}: {_reuse(second)} reused"}
        rows += [where | row for row in trial_rows(second)]
    return pd.DataFrame(rows).set_index("place")
