"""The hit rate of a trace against the size of the cache."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from prefix_engine.lessons.trace import BLOCK_TOKENS
from prefix_engine.lessons.trace_curve import TraceCurve
from ui.charts import Chart, text_font
from ui.palette import ARM_COLOUR, INK, Theme


def hit_chart(curve: TraceCurve, theme: Theme = "light") -> Chart:
    """Reused part of all input tokens for each size, under the ceiling that none exceeds."""
    sizes = [(point.budget_blocks or 0) * BLOCK_TOKENS for point in curve.points]
    rates = [100 * point.hit_rate for point in curve.points]
    top = 100 * curve.ceiling.hit_rate
    font = text_font(theme)
    figure = go.Figure()
    figure.add_scatter(
        x=sizes,
        y=rates,
        name="hit rate",
        mode="lines+markers",
        line={"color": ARM_COLOUR["hit"], "width": 3},
        marker={"size": 9},
        hovertemplate="room for %{x:,} tokens: %{y:.1f}% of input tokens<extra></extra>",
    )
    figure.add_hline(
        y=top,
        line={"color": INK[theme], "width": 2, "dash": "dash"},
        annotation={
            "text": f"ceiling {top:.1f}%",
            "font": font,
            "x": 0,
            "xanchor": "left",
            "yanchor": "bottom",
        },
    )
    figure.update_layout(
        xaxis={
            "title": {"text": "room in the cache, tokens", "font": font},
            "type": "log",
            "tickfont": font,
            "tickvals": sizes[::-2][::-1],
            "ticktext": [_short(size) for size in sizes[::-2][::-1]],
            "automargin": True,
        },
        yaxis={
            "title": {"text": "hit rate, % of input tokens", "font": font},
            "tickfont": font,
            "range": [0, 1.2 * max(top, 1)],
            "automargin": True,
        },
        showlegend=False,
        height=340,
        margin={"l": 8, "r": 24, "t": 8, "b": 8},
    )
    table = pd.DataFrame(
        {
            "room in blocks": [f"{point.budget_blocks:,}" for point in curve.points],
            "room in tokens": [f"{size:,}" for size in sizes],
            "hit rate": [f"{rate:.1f}%" for rate in rates],
            "requests with a hit": [f"{point.requests_hit:,}" for point in curve.points],
            "too long to store": [f"{point.requests_refused:,}" for point in curve.points],
        }
    ).set_index("room in blocks")
    alt = (
        f"Hit rate against room in the cache: from {rates[0]:.1f}% with {sizes[0]:,} tokens to "
        f"{rates[-1]:.1f}% with {sizes[-1]:,}; the ceiling is {top:.1f}%."
    )
    return Chart(figure, alt, table)


def _short(tokens: int) -> str:
    """512, 16 k, 1.2 M."""
    for size, unit in ((10**6, " M"), (10**3, " k")):
        if tokens >= size:
            return f"{tokens / size:.3g}{unit}"
    return str(tokens)
