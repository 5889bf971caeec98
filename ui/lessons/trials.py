"""Times of served requests, run by run: a dot a run and a bar for the median, and the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from prefix_engine.lessons.served import Served
from ui.wording import milliseconds

Spot = tuple[float, Served]
"""Where a request stands on the axis that has no times."""


@dataclass(frozen=True)
class Series:
    """Times to first token with the cache or without it, under one name and in one look."""

    name: str
    cached: bool
    colour: str
    symbol: str

    def median_s(self, one: Served) -> float:
        return one.ttft_median_s if self.cached else one.cold_median_s

    def times(self, one: Served) -> list[tuple[float, bool]]:
        """The seconds of each run, and whether the machine disturbed it."""
        return [
            (t.ttft_s, t.ttft_disturbed) if self.cached else (t.cold_ttft_s, t.cold_disturbed)
            for t in one.trials
        ]


def add_series(
    figure: go.Figure, series: Series, spots: Sequence[Spot], upright: bool, **cell: int
) -> None:
    """Draw every run, crosses for disturbed ones; `upright` has the times on the axis upward, and
    a line from median to median. `cell` is the row and column of a figure that has several."""
    has_sound = not all(cross for _, one in spots for _, cross in series.times(one))
    for disturbed in (False, True):
        dots = [
            (at, seconds)
            for at, one in spots
            for seconds, cross in series.times(one)
            if cross is disturbed
        ]
        if dots:
            figure.add_scatter(
                **_placed(dots, upright),
                mode="markers",
                name=f"{series.name}, disturbed" if disturbed else series.name,
                legendgroup=series.name,
                showlegend=not (disturbed and has_sound),
                marker={
                    "symbol": "x-thin-open" if disturbed else series.symbol,
                    "size": 9,
                    "color": series.colour,
                    "line": {"width": 1.5, "color": series.colour},
                },
                **cell,
            )
    figure.add_scatter(
        **_placed([(at, series.median_s(one)) for at, one in spots], upright),
        mode="lines+markers" if upright else "markers",
        name=f"{series.name}, median",
        legendgroup=series.name,
        showlegend=False,
        line={"color": series.colour, "width": 1, "dash": "solid" if series.cached else "dot"},
        marker={
            "symbol": "line-ew-open" if upright else "line-ns-open",
            "size": 18,
            "color": series.colour,
            "line": {"width": 3},
        },
        **cell,
    )


def trial_rows(one: Served) -> list[dict[str, str]]:
    """A row for each run of a request and one for the median, for a table narrow as a phone."""
    rows = [
        {
            "run": str(trial.round),
            "with": milliseconds(trial.ttft_s),
            "without": milliseconds(trial.cold_ttft_s),
            "CPU ÷ wall": f"{trial.cpu_over_wall:.2f}, {trial.cold_cpu_over_wall:.2f}"
            + (", disturbed" if trial.disturbed else ""),
        }
        for trial in one.trials
    ]
    medians = (milliseconds(one.ttft_median_s), milliseconds(one.cold_median_s))
    return [
        *rows,
        {"run": "median", "with": medians[0], "without": medians[1], "CPU ÷ wall": "–"},
    ]


def runs_in_words(requests: Sequence[Served]) -> str:
    """How many runs each of the requests had: `1 run`, `3 runs`, `1 to 2 runs`."""
    counts = {len(one.trials) for one in requests}
    fewest, most = min(counts), max(counts)
    told = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"{told} run{'' if most == 1 else 's'}"


def disturbed_in_words(requests: Sequence[Served]) -> str:
    """What has to be said after medians of these requests, if anything."""
    count = sum(not one.has_sound_medians for one in requests)
    if not count:
        return ""
    return (
        f" Of {count} of these requests the machine disturbed every run, with the cache or "
        "without: their medians are of disturbed ones."
    )


def _placed(points: Sequence[tuple[float, float]], upright: bool) -> dict[str, object]:
    places, times = [at for at, _ in points], [seconds * 1e3 for _, seconds in points]
    if upright:
        return {"x": places, "y": times, "hovertemplate": "%{y:.1f} ms"}
    return {"x": times, "y": places, "hovertemplate": "%{x:.1f} ms"}
