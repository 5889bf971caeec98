"""How soon each of the eavesdropper's questions was answered, as dots."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from prefix_engine.lessons.heard import Eavesdropping
from ui.charts import Chart, milliseconds_axis, text_font
from ui.palette import ARM_COLOUR, Theme
from ui.wording import milliseconds


def eavesdropping_chart(heard: Eavesdropping, theme: Theme = "light") -> Chart:
    """A row for each question, a dot for each undisturbed probe; the one that was asked is told by
    a star in its label."""
    figure = go.Figure()
    questions = range(len(heard.questions))
    for question in questions:
        asked = question == heard.secret
        figure.add_scatter(
            x=[seconds * 1e3 for seconds in heard.times_s(question)],
            y=[question] * len(heard.times_s(question)),
            mode="markers",
            marker={
                "symbol": "star" if asked else "circle",
                "size": 13 if asked else 11,
                "color": ARM_COLOUR["hit" if asked else "control"],
                "opacity": 0.75,
            },
            hovertemplate=f"{label(heard, question)}: %{{x:.1f}} ms<extra></extra>",
        )
    figure.update_layout(
        xaxis=milliseconds_axis("time to first token, ms", theme),
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
        height=300,
        margin={"l": 8, "r": 24, "t": 8, "b": 8},
    )
    medians = "; ".join(
        f"{label(heard, question)}: {milliseconds(heard.median_s(question))}"
        for question in questions
    )
    return Chart(figure, f"Median time to first token. {medians}.", _table(heard))


def label(heard: Eavesdropping, question: int) -> str:
    """Question 1, and ★ at the one that was asked."""
    return f"question {question + 1}" + (" ★" if question == heard.secret else "")


def _table(heard: Eavesdropping) -> pd.DataFrame:
    rows = []
    for question in range(len(heard.questions)):
        probes = [probe for probe in heard.probes if probe.question == question]
        rows.append(
            {
                "question": label(heard, question),
                "tokens": probes[0].tokens,
                "reused": probes[0].reused,
                "median TTFT": milliseconds(heard.median_s(question)),
                "undisturbed probes": len(heard.times_s(question)),
            }
        )
    return pd.DataFrame(rows).set_index("question")
