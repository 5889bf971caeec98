"""Pictures of a stream: where each prompt's tokens came from, its times, and what was saved."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from prefix_engine.compare import State
from prefix_engine.lessons.served import Served, Stream
from ui.charts import Chart, axis, legend, text_font
from ui.palette import ARM_COLOUR, STATE_STYLE, Theme
from ui.wording import milliseconds

WITH, WITHOUT = "with the cache", "without the cache"
SYMBOL = {WITH: "circle", WITHOUT: "diamond-open"}
COLOUR = {WITH: ARM_COLOUR["hit"], WITHOUT: ARM_COLOUR["cold"]}
ROW = 46
EDGE = {"l": 8, "r": 16, "t": 8, "b": 8}


def tokens_chart(stream: Stream, shown: int, theme: Theme = "light") -> Chart:
    """A bar for each of the first `shown` requests: reused and computed tokens."""
    requests = stream.requests[:shown]
    figure = go.Figure()
    for name, state, counts in (
        ("from the cache", State.REUSED, [one.reused for one in requests]),
        ("computed", State.NEW, [one.computed for one in requests]),
    ):
        style = STATE_STYLE[state]
        shade = style.shade(theme)
        figure.add_bar(
            y=list(range(1, shown + 1)),
            x=counts,
            orientation="h",
            name=f"{style.glyph} {name}",
            text=[f"{style.glyph} {count:,}" if count else "" for count in counts],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont=text_font(theme, 13),
            marker={"color": shade.tint, "line": {"color": shade.edge, "width": 1.5}},
            hovertemplate=f"%{{x:,}} tokens {name}<extra></extra>",
        )
    figure.update_layout(
        barmode="stack",
        uniformtext={"minsize": 11, "mode": "hide"},
        bargap=0.3,
        xaxis=axis("tokens of the prompt", theme)
        | {"range": [0, 1.02 * max(one.tokens for one in stream.requests)], "tickformat": ",d"},
        yaxis=_rows(stream, theme),
        legend=legend(theme),
        height=_height(stream),
        margin=EDGE,
    )
    alt = "; ".join(
        f"{one.name}: {one.reused:,} from the cache, {one.computed:,} computed" for one in requests
    )
    return Chart(figure, f"Tokens of each prompt. {alt}.", _token_table(requests))


def times_chart(stream: Stream, shown: int, theme: Theme = "light") -> Chart:
    """Times to first token of the first `shown` requests: a dot a run, a bar for the median."""
    requests = stream.requests[:shown]
    figure = go.Figure()
    for name in (WITHOUT, WITH):
        _add_trials(figure, name, requests)
        figure.add_scatter(
            x=[_median_s(one, name) for one in requests],
            y=list(range(1, shown + 1)),
            mode="markers",
            marker={
                "symbol": "line-ns-open",
                "size": 26,
                "line": {"width": 4},
                "color": COLOUR[name],
            },
            showlegend=False,
            hovertemplate=f"{name}, median: %{{x:.2f}} s<extra></extra>",
        )
    slowest = max(max(t.ttft_s, t.cold_ttft_s) for one in stream.requests for t in one.trials)
    figure.update_layout(
        xaxis=axis("time to first token, s", theme) | {"range": [0, 1.05 * slowest]},
        yaxis=_rows(stream, theme),
        legend=legend(theme),
        height=_height(stream),
        margin=EDGE,
    )
    alt = "; ".join(
        f"{one.name}: {milliseconds(one.ttft_median_s)} with, "
        f"{milliseconds(one.cold_median_s)} without"
        for one in requests
    )
    return Chart(
        figure, f"Median time to first token with the cache and without. {alt}.", _trials(requests)
    )


def saved_chart(stream: Stream, theme: Theme = "light") -> Chart:
    """The seconds saved from the first request up to each one."""
    numbers = list(range(1, len(stream.requests) + 1))
    figure = go.Figure()
    figure.add_scatter(
        x=numbers,
        y=list(stream.saved_s),
        mode="lines+markers+text",
        text=[seconds(saved) for saved in stream.saved_s],
        textposition="top center",
        textfont=text_font(theme, 13),
        line={"color": COLOUR[WITH], "width": 3},
        marker={"size": 10},
        cliponaxis=False,
        hovertemplate="up to request %{x}: %{y:.2f} s saved<extra></extra>",
    )
    figure.update_layout(
        xaxis=axis("request", theme) | {"dtick": 1, "range": [0.7, numbers[-1] + 0.3]},
        yaxis=axis("saved so far, s", theme),
        showlegend=False,
        height=280,
        margin=EDGE | {"t": 28},
    )
    table = pd.DataFrame(
        {
            "request": [one.name for one in stream.requests],
            "saved by it": [milliseconds(one.saved_s) for one in stream.requests],
            "saved so far": [milliseconds(saved) for saved in stream.saved_s],
        }
    ).set_index("request")
    alt = f"Time saved so far: {stream.saved_s[-1]:.1f} s after {numbers[-1]} requests."
    return Chart(figure, alt, table)


def seconds(value: float) -> str:
    """1.9 s, and 0.0 s for what rounds to nothing, on either side of it."""
    return f"{round(value, 1) + 0.0:.1f} s"


def _add_trials(figure: go.Figure, name: str, requests: tuple[Served, ...]) -> None:
    for disturbed in (False, True):
        dots = [
            (number, trial.ttft_s if name == WITH else trial.cold_ttft_s)
            for number, one in enumerate(requests, 1)
            for trial in one.trials
            if (trial.ttft_disturbed if name == WITH else trial.cold_disturbed) is disturbed
        ]
        figure.add_scatter(
            x=[seconds for _, seconds in dots],
            y=[number for number, _ in dots],
            mode="markers",
            name=name,
            showlegend=not disturbed,
            marker={
                "symbol": "x-thin-open" if disturbed else SYMBOL[name],
                "size": 10,
                "line": {"width": 1.5, "color": COLOUR[name]},
                "color": COLOUR[name],
            },
            hovertemplate=f"{name}{', disturbed' if disturbed else ''}: %{{x:.2f}} s"
            "<extra></extra>",
        )


def _median_s(one: Served, name: str) -> float:
    return one.ttft_median_s if name == WITH else one.cold_median_s


def _token_table(requests: tuple[Served, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "request": [one.name for one in requests],
            "prompt": [f"{one.tokens:,}" for one in requests],
            "shared": [f"{one.shared:,}" for one in requests],
            "from the cache": [f"{one.reused:,}" for one in requests],
            "computed": [f"{one.computed:,}" for one in requests],
        }
    ).set_index("request")


def _trials(requests: tuple[Served, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "request": one.name,
                "round": str(trial.round),
                "with": milliseconds(trial.ttft_s),
                "without": milliseconds(trial.cold_ttft_s),
                "CPU ÷ wall": f"{trial.cpu_over_wall:.2f}, {trial.cold_cpu_over_wall:.2f}",
                "disturbed": "yes" if trial.disturbed else "no",
            }
            for one in requests
            for trial in one.trials
        ]
    ).set_index("request")


def _height(stream: Stream) -> int:
    return 120 + ROW * len(stream.requests)


def _rows(stream: Stream, theme: Theme) -> dict[str, object]:
    """Requests from the top down, in a place of their own before they are shown."""
    count = len(stream.requests)
    return {
        "tickvals": list(range(1, count + 1)),
        "ticktext": [str(number) for number in range(1, count + 1)],
        "range": [count + 0.6, 0.4],
        "title": {"text": "request", "font": text_font(theme)},
        "automargin": True,
        "tickfont": text_font(theme),
    }
