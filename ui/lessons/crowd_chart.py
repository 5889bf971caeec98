"""Pictures of who shares a prefix: what each arm computed, its times, and more and more users."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from prefix_engine.compare import State
from prefix_engine.lessons.crowd import Crowd, Sharing, Who, sharing
from prefix_engine.lessons.stream import Stream
from ui.charts import Chart, axis, legend, milliseconds_axis, text_font
from ui.lessons.crowd import SCALE
from ui.lessons.trials import Series, add_series, trial_rows
from ui.palette import ARM_COLOUR, INK, STATE_STYLE, Theme
from ui.wording import milliseconds

WITH, WITHOUT = "with the cache", "with an empty one, as if nothing were kept"
BETWEEN_ARMS = 1.0


def arms_chart(crowd: Crowd, theme: Theme = "light") -> Chart:
    """For each arm, the tokens of all its requests: reused, and computed."""
    names = [_broken(arm.who) for arm in crowd.arms]
    figure = go.Figure()
    for state, word, counts in (
        (State.REUSED, "reused", [arm.stream.reused for arm in crowd.arms]),
        (State.NEW, "computed", [arm.stream.prefilled for arm in crowd.arms]),
    ):
        style = STATE_STYLE[state]
        shade = style.shade(theme)
        figure.add_bar(
            y=names,
            x=counts,
            orientation="h",
            name=f"{style.glyph} {word}",
            marker={
                "color": shade.tint,
                "line": {"color": shade.edge, "width": 1.5},
                "pattern": {
                    "shape": "" if state is State.REUSED else "/",
                    "fgcolor": shade.edge,
                    "fillmode": "overlay",
                    "solidity": 0.1,
                },
            },
            text=[f"{style.glyph} {count:,}" if count else "" for count in counts],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"color": INK[theme], "size": 14},
            hovertemplate=f"%{{y}}: %{{x}} tokens {word}<extra></extra>",
        )
    figure.update_layout(
        barmode="stack",
        xaxis=axis("tokens of all prompts", theme) | {"rangemode": "tozero"},
        yaxis={"autorange": "reversed", "automargin": True, "tickfont": text_font(theme)},
        legend=legend(theme),
        height=420,
        margin={"l": 8, "r": 16, "t": 8, "b": 8},
    )
    alt = "; ".join(f"{arm.who}: {_of(arm.stream)}" for arm in crowd.arms)
    return Chart(figure, f"Tokens reused in each arm. {alt}.", _arm_table(crowd))


def ttft_chart(crowd: Crowd, theme: Theme = "light") -> Chart:
    """Every request's times to first token, with the cache and without, arm by arm: a dot a run.

    The requests of an arm stand below each other, the first one on top.
    """
    figure = go.Figure()
    spots, middles, row = [], [], 0.0
    for arm in crowd.arms:
        requests = arm.stream.requests
        spots += [(row + at, one) for at, one in enumerate(requests)]
        middles.append(row + (len(requests) - 1) / 2)
        row += len(requests) + BETWEEN_ARMS
    for series in (
        Series(WITHOUT, False, ARM_COLOUR["cold"], "diamond-open"),
        Series(WITH, True, ARM_COLOUR["hit"], "circle"),
    ):
        add_series(figure, series, spots, upright=False)
    figure.update_layout(
        xaxis=milliseconds_axis("time to first token, ms", theme),
        yaxis={
            "range": [row - 0.5, -1],
            "tickvals": middles,
            "ticktext": [_broken(arm.who) for arm in crowd.arms],
            "showgrid": False,
            "automargin": True,
            "tickfont": text_font(theme),
        },
        legend=legend(theme),
        height=100 + round(22 * row),
        margin={"l": 8, "r": 16, "t": 8, "b": 8},
    )
    alt = "; ".join(
        f"{arm.who}: " + ", ".join(milliseconds(one.ttft_median_s) for one in arm.stream.requests)
        for arm in crowd.arms
    )
    return Chart(
        figure,
        f"Median time to first token of each request with the cache. {alt}.",
        _request_table(crowd),
    )


def users_chart(crowd: Crowd, chosen: int, theme: Theme = "light") -> Chart:
    """The reused part of all prompt tokens against the number of users: measured, then calculated.

    A mark stands at the chosen number.
    """
    stream = crowd.of(Who.CROWD)
    points = [sharing(stream, users) for users in SCALE]
    measured = [point for point in points if point.measured]
    figure = go.Figure()
    _add_users(figure, measured, "measured", "circle", "solid", ARM_COLOUR["hit"])
    calculated = [measured[-1], *(point for point in points if not point.measured)]
    _add_users(figure, calculated, "calculated", "circle-open", "dot", ARM_COLOUR["hit"])
    here = sharing(stream, chosen)
    figure.add_scatter(
        x=[here.users],
        y=[here.hit_rate * 100],
        mode="markers",
        name="your choice",
        marker={"symbol": "x-thin-open", "size": 20, "line": {"width": 4}, "color": INK[theme]},
        hoverinfo="skip",
    )
    figure.update_layout(
        xaxis=axis("users (each step is ten times as many)", theme)
        | {"type": "log", "tickvals": [1, 10, 100, 1_000, 10_000], "tickformat": ","},
        yaxis=axis("tokens reused, %", theme) | {"range": [0, 100]},
        legend=legend(theme),
        height=340,
        margin={"l": 8, "r": 16, "t": 8, "b": 8},
    )
    alt = ", ".join(f"{point.users:,} users {point.hit_rate:.0%}" for point in points)
    return Chart(figure, f"Reused part of all prompt tokens: {alt}.", _users_table(points))


def _add_users(
    figure: go.Figure, points: list[Sharing], name: str, symbol: str, dash: str, colour: str
) -> None:
    figure.add_scatter(
        x=[point.users for point in points],
        y=[point.hit_rate * 100 for point in points],
        mode="lines+markers",
        name=name,
        line={"color": colour, "dash": dash},
        marker={"symbol": symbol, "size": 10, "color": colour},
        hovertemplate=f"%{{x:,}} users: %{{y:.1f}}% reused, {name}<extra></extra>",
    )


def _arm_table(crowd: Crowd) -> pd.DataFrame:
    return pd.DataFrame(
        {
            str(arm.who): {
                "requests": f"{len(arm.stream.requests)}",
                "tokens": f"{arm.stream.tokens:,}",
                "reused": f"{arm.stream.reused:,} ({arm.stream.hit_rate:.0%})",
                "computed": f"{arm.stream.prefilled:,}",
            }
            for arm in crowd.arms
        }
    ).T.rename_axis("arm")


def _request_table(crowd: Crowd) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"request": f"{one.name}: {one.reused} of {one.tokens} reused"} | row
            for arm in crowd.arms
            for one in arm.stream.requests
            for row in trial_rows(one)
        ]
    ).set_index("request")


def _users_table(points: list[Sharing]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "users": f"{point.users:,}",
                "tokens": f"{point.tokens:,}",
                "computed": f"{point.prefilled:,}",
                "reused": f"{point.hit_rate:.1%}",
                "how": "measured" if point.measured else "calculated",
            }
            for point in points
        ]
    ).set_index("users")


def _of(stream: Stream) -> str:
    return f"{stream.reused} of {stream.tokens}"


def _broken(who: Who) -> str:
    """The name of an arm on two lines, for a narrow axis."""
    return who.replace(", ", ",<br>")
