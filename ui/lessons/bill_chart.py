"""Figures and tables of a bill: cost against the number of requests, and all rules side by side."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from prefix_engine.lessons.billing import Bill
from prefix_engine.lessons.prices import Rule
from ui.charts import Chart, text_font
from ui.lessons.bill_words import (
    ASSUMED,
    EVIDENCE_GLYPH,
    FACTS,
    VERDICT_GLYPH,
    effect,
    fact,
    mark,
    money,
    ordinal,
)
from ui.palette import ARM_COLOUR, INK, Theme
from ui.wording import requests

TABLE_ROWS = 12


def cost_chart(bill: Bill, theme: Theme = "light") -> Chart:
    """What all requests so far cost, with caching and without, against how many they are."""
    unit = bill.rule.unit
    counts = list(range(1, len(bill.charges) + 1))
    ink = text_font(theme)
    figure = go.Figure()
    for name, at, colour, dash, symbol in (
        ("with caching", 0, ARM_COLOUR["hit"], "solid", "circle"),
        # on top and dashed: where both cost the same, both are seen
        ("without caching", 1, ARM_COLOUR["cold"], "dash", "square-open"),
    ):
        figure.add_scatter(
            x=counts,
            y=[float(pair[at]) for pair in bill.cumulative],
            name=name,
            mode="lines+markers" if len(counts) <= 30 else "lines",
            line={"color": colour, "dash": dash, "width": 3},
            marker={"symbol": symbol, "size": 8},
            hovertemplate=f"%{{x}} requests {name}: %{{y}} {unit}<extra></extra>",
        )
    if bill.pays_from:
        figure.add_vline(
            x=bill.pays_from,
            line={"color": INK[theme], "width": 1, "dash": "dot"},
            annotation={
                "text": f"✓ pays from {ordinal(bill.pays_from)}",
                "font": ink,
                "xanchor": "left",
                "y": 1,
                "yanchor": "bottom",
            },
        )
    figure.update_layout(
        xaxis={
            "title": {"text": "requests", "font": ink},
            "tickfont": ink,
            "automargin": True,
            "tickformat": ",d",
            "dtick": 1 if len(counts) <= 10 else None,
        },
        yaxis={
            "title": {"text": f"input cost so far, {unit}", "font": ink},
            "tickfont": ink,
            "rangemode": "tozero",
            "automargin": True,
        },
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.12, "font": ink},
        height=380,
        margin={"l": 8, "r": 16, "t": 8, "b": 8},
    )
    alt = (
        f"{bill.rule.label}. Input cost of {requests(len(counts))}: with caching "
        f"{money(bill.cost, unit)}, without {money(bill.without, unit)}."
    )
    return Chart(figure, alt, _steps(bill))


def _steps(bill: Bill) -> pd.DataFrame:
    """The first requests one by one, and the last."""
    rows = [
        {
            "request": f"{n:,}",
            "read": f"{charge.read:,}",
            "written": f"{charge.written:,}",
            "neither": f"{charge.plain:,}",
            "with caching so far": money(cost, bill.rule.unit),
            "without so far": money(without, bill.rule.unit),
        }
        for n, (charge, (cost, without)) in enumerate(
            zip(bill.charges, bill.cumulative, strict=True), 1
        )
    ]
    shown = rows if len(rows) <= TABLE_ROWS else [*rows[: TABLE_ROWS - 1], rows[-1]]
    return pd.DataFrame(shown).set_index("request")


def bill_table(made: Sequence[Bill]) -> pd.DataFrame:
    """Every rule's bill for the same requests, each in its own unit; few columns, for a phone."""
    return pd.DataFrame(
        [
            {
                "rule": f"{EVIDENCE_GLYPH[bill.rule.evidence]} {bill.rule.label}",
                "without caching": money(bill.without, bill.rule.unit),
                "with caching": money(bill.cost, bill.rule.unit),
                "caching": f"{VERDICT_GLYPH[bill.verdict]} {effect(bill)}",
            }
            for bill in made
        ]
    ).set_index("rule")


def rule_table(rule: Rule) -> pd.DataFrame:
    """Each fact of a rule, and who says so."""
    return pd.DataFrame(
        [
            {"fact": FACTS[name], "as read": fact(rule, name), "who says so": _who(rule, name)}
            for name in FACTS
            if getattr(rule, name) is not None or _is_missed(rule, name)
        ]
    ).set_index("fact")


def _is_missed(rule: Rule, name: str) -> bool:
    """Whether a bill has to take something in place of a fact that is not known."""
    return name in ASSUMED and not (name == "read" and rule.read_price is not None)


def _who(rule: Rule, name: str) -> str:
    return "–" if getattr(rule, name) in (None, False) else mark(rule.evidence_of(name))
