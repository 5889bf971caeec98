"""How soon each of the eavesdropper's questions was answered, as dots."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from prefix_engine.lessons.heard import Eavesdropping, Probe
from ui.charts import Chart, milliseconds_axis, text_font
from ui.palette import ARM_COLOUR, Theme
from ui.wording import milliseconds

DISTURBED = "x-thin-open"


def eavesdropping_chart(heard: Eavesdropping, upto_s: float, theme: Theme = "light") -> Chart:
    """A row for each question, a dot for each probe, × where the machine disturbed it; one that was
    asked is told by a star, in its label too. The axis of times ends at `upto_s`: charts that are
    compared have one scale."""
    figure = go.Figure()
    questions = range(len(heard.questions))
    for question in questions:
        probes = heard.counted(question)
        sound = [probe for probe in probes if not probe.disturbed]
        disturbed = [probe for probe in probes if probe.disturbed]
        symbol = "star" if question in heard.asked else "circle"
        _add_dots(figure, heard, question, sound, symbol)
        _add_dots(figure, heard, question, disturbed, DISTURBED)
    figure.update_layout(
        xaxis=milliseconds_axis("time to first token, ms", theme) | {"range": [0, upto_s * 1e3]},
        yaxis={
            "tickvals": list(questions),
            "ticktext": [
                f"<b>{label(heard, question)}</b><br>{milliseconds(heard.median_s(question))}"
                for question in questions
            ],
            "autorange": "reversed",
            "automargin": True,
            "tickfont": text_font(theme),
        },
        showlegend=False,
        height=60 + 60 * len(questions),
        margin={"l": 8, "r": 24, "t": 8, "b": 8},
    )
    medians = "; ".join(
        f"{label(heard, question)}: {milliseconds(heard.median_s(question))}"
        for question in questions
    )
    return Chart(figure, f"Median time to first token. {medians}.", _table(heard))


def slowest_s(*heard: Eavesdropping) -> float:
    """A little more than the slowest probe that is drawn of them all took."""
    return 1.05 * max(probe.ttft_s for one in heard for probe in one.probes if probe.round > 0)


def label(heard: Eavesdropping, question: int) -> str:
    """Question 1, and ★ at one that was asked."""
    return f"question {question + 1}" + (" ★" if question in heard.asked else "")


def _add_dots(
    figure: go.Figure, heard: Eavesdropping, question: int, probes: Sequence[Probe], symbol: str
) -> None:
    colour = ARM_COLOUR["hit" if question in heard.asked else "control"]
    what = ", disturbed by the machine, left out" if symbol == DISTURBED else ""
    figure.add_scatter(
        x=[probe.ttft_s * 1e3 for probe in probes],
        y=[question] * len(probes),
        mode="markers",
        marker={
            "symbol": symbol,
            "size": 13 if symbol == "star" else 11,
            "color": colour,
            "opacity": 0.75,
            "line": {"width": 1.5, "color": colour},
        },
        hovertemplate=f"{label(heard, question)}{what}: %{{x:.1f}} ms<extra></extra>",
    )


def _table(heard: Eavesdropping) -> pd.DataFrame:
    return pd.DataFrame(
        [_row(heard, question) for question in range(len(heard.questions))]
    ).set_index("question")


def _row(heard: Eavesdropping, question: int) -> dict[str, object]:
    """In a room it is not told how much was found of a question: that would say more of what others
    asked than whether it was this one."""
    probes = heard.counted(question)
    found: dict[str, object] = (
        {"asked": "yes" if question in heard.asked else "no"}
        if heard.secret is None
        else {"reused": probes[0].reused}
    )
    sound = len(heard.times_s(question))
    return {
        "question": label(heard, question),
        "tokens": probes[0].tokens,
        **found,
        "median TTFT": milliseconds(heard.median_s(question)),
        "tries counted": f"{sound} of {len(probes)}",
    }
