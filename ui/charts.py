"""Figures for a run: each comes with a sentence for those who can't see it, and a table."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace

import pandas as pd
import plotly.graph_objects as go

from prefix_engine.record import Run
from prefix_engine.speed import Arm, Trial
from ui.palette import ARM_COLOUR, INK, STAGE_COLOUR, Theme
from ui.wording import milliseconds

STAGES = ("tokenize", "lookup", "load", "prefill", "pick", "other")


@dataclass(frozen=True)
class Chart:
    """A figure, its text alternative, and the same numbers as a table."""

    figure: go.Figure
    alt: str
    table: pd.DataFrame


def ttft_chart(run: Run, theme: Theme = "light") -> Chart:
    """Every trial as a dot, the median of each arm as a bar; ms from zero."""
    figure = go.Figure()
    for arm in reversed(Arm):
        sound = [t for t in _counted(run, arm) if not t.disturbed]
        disturbed = [t for t in _counted(run, arm) if t.disturbed]
        _add_dots(figure, arm, sound, "circle", "trial")
        _add_dots(figure, arm, disturbed, "x-thin-open", "disturbed by the machine, left out")
        median = run.arms[arm].median_s
        if median is not None:
            _add_median(figure, arm, median)
    figure.update_layout(
        xaxis=milliseconds_axis("time to first token, ms", theme),
        yaxis={
            "automargin": True,
            "tickfont": text_font(theme),
            "tickvals": [arm.value for arm in Arm],
            "ticktext": [
                f"<b>{arm}</b><br>{milliseconds(summary.median_s)}"
                for arm, summary in run.arms.items()
            ],
        },
        showlegend=False,
        height=270,
        margin={"l": 8, "r": 24, "t": 8, "b": 8},
    )
    medians = "; ".join(
        f"{arm}: {milliseconds(summary.median_s)} over {len(summary.ttft_s)} trials"
        for arm, summary in run.arms.items()
    )
    return Chart(figure, f"Time to first token, medians. {medians}.", _trial_table(run))


def stage_chart(run: Run, theme: Theme = "light") -> Chart:
    """The median seconds of each stage, stacked for each arm."""
    medians = {arm: _stage_medians_s(run, arm) for arm in Arm}
    figure = go.Figure()
    for stage in STAGES:
        figure.add_bar(
            y=[str(arm) for arm in reversed(Arm)],
            x=[(medians[arm][stage] or 0.0) * 1e3 for arm in reversed(Arm)],
            name=stage,
            orientation="h",
            marker={"color": STAGE_COLOUR[stage]},
            hovertemplate=f"%{{y}}: {stage} %{{x:.2f}} ms<extra></extra>",
        )
    figure.update_layout(
        barmode="stack",
        xaxis=milliseconds_axis("median of each stage, ms", theme),
        yaxis={"automargin": True, "tickfont": text_font(theme)},
        legend=legend(theme),
        height=270,
        margin={"l": 8, "r": 24, "t": 8, "b": 8},
    )
    table = pd.DataFrame(
        {str(arm): {stage: milliseconds(medians[arm][stage]) for stage in STAGES} for arm in Arm}
    ).rename_axis("stage")
    alt = "; ".join(f"{arm}: {_longest_stage(medians[arm])}" for arm in Arm)
    return Chart(figure, f"Stages of the time to first token. {alt}.", table)


def milliseconds_axis(title: str, theme: Theme) -> dict[str, object]:
    """An axis of times in ms, from zero."""
    return axis(title, theme) | {"rangemode": "tozero"}


def axis(title: str | None, theme: Theme) -> dict[str, object]:
    """An axis in the page's ink, with room for its labels; a title if there is one."""
    font = text_font(theme)
    named = {"title": {"text": title, "font": font}} if title else {}
    return {"tickfont": font, "automargin": True, **named}


def legend(theme: Theme) -> dict[str, object]:
    """A legend in a line above the picture, in the order in which things were added."""
    return {
        "orientation": "h",
        "yanchor": "bottom",
        "y": 1.02,
        "x": 0,
        "traceorder": "normal",
        "font": text_font(theme),
    }


def text_font(theme: Theme, size: int = 14) -> dict[str, object]:
    """Said for each axis: Streamlit's chart theme sets its own, fainter, where nothing is said.

    Where the page turns light or dark without a new run, `ui.text.page_style` recolours all text
    that stands on the page; text on a tint of ours keeps this ink, as the tint does.
    """
    return {"size": size, "color": INK[theme]}


def enlarged(chart: Chart, most_pixels: int, size: int = 20) -> Chart:
    """The same with larger text, no higher than that: to be read from the back row."""
    figure, font = go.Figure(chart.figure), {"size": size}
    figure.update_xaxes(tickfont=font, title_font=font)
    figure.update_yaxes(tickfont=font, title_font=font)
    figure.update_traces(textfont=font)
    figure.update_layout(legend_font=font, height=min(figure.layout.height, most_pixels))
    return replace(chart, figure=figure)


def _counted(run: Run, arm: Arm) -> list[Trial]:
    return [trial for trial in run.trials if trial.arm is arm and trial.round > 0]


def _add_dots(figure: go.Figure, arm: Arm, trials: list[Trial], symbol: str, what: str) -> None:
    figure.add_scatter(
        x=[trial.ttft_s * 1e3 for trial in trials],
        y=[arm.value] * len(trials),
        mode="markers",
        marker={
            "symbol": symbol,
            "size": 11,
            "color": ARM_COLOUR[arm],
            "opacity": 0.75,
            "line": {"width": 1.5, "color": ARM_COLOUR[arm]},
        },
        customdata=[[trial.round, trial.timing.cpu_over_wall] for trial in trials],
        hovertemplate=(
            f"{arm}, {what}: %{{x:.1f}} ms<br>round %{{customdata[0]}}, "
            "CPU over wall time %{customdata[1]:.2f}<extra></extra>"
        ),
    )


def _add_median(figure: go.Figure, arm: Arm, median_s: float) -> None:
    figure.add_scatter(
        x=[median_s * 1e3],
        y=[arm.value],
        mode="markers",
        marker={
            "symbol": "line-ns-open",
            "size": 34,
            "line": {"width": 4},
            "color": ARM_COLOUR[arm],
        },
        hovertemplate=f"{arm}, median: %{{x:.1f}} ms<extra></extra>",
    )


def _trial_table(run: Run) -> pd.DataFrame:
    return (
        pd.DataFrame(
            [
                {
                    "round": trial.round or "discarded",
                    "arm": str(trial.arm),
                    "TTFT": milliseconds(trial.ttft_s),
                    "reused": trial.reused,
                    "CPU ÷ wall": f"{trial.timing.cpu_over_wall:.2f}",
                    "disturbed": "yes, left out" if trial.disturbed else "no",
                }
                for trial in run.trials
            ]
        )
        .astype({"round": str})
        .set_index("round")
    )


def _stage_medians_s(run: Run, arm: Arm) -> dict[str, float | None]:
    """None where the machine disturbed every trial of the arm."""
    timings = [t.timing for t in _counted(run, arm) if not t.disturbed]
    if not timings:
        return dict.fromkeys(STAGES)
    return {
        stage: statistics.median(
            t.other_s if stage == "other" else t.stages_s[stage] for t in timings
        )
        for stage in STAGES
    }


def _longest_stage(medians_s: dict[str, float | None]) -> str:
    known = {stage: seconds for stage, seconds in medians_s.items() if seconds is not None}
    if not known:
        return "no undisturbed trial"
    longest = max(known, key=known.__getitem__)
    return f"{longest} takes most, {milliseconds(known[longest])}"
