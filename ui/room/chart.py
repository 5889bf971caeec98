"""A room in pictures: the tally of predictions, the times of the requests, the tree."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import pandas as pd
import plotly.graph_objects as go

from prefix_engine.board import Board, Branch, RoomRequest
from ui.charts import Chart, axis, legend, milliseconds_axis, text_font
from ui.palette import ARM_COLOUR, GROUND, NEW, REUSED, Theme
from ui.wording import milliseconds, tokens

MOST_PIXELS = 1600
"""The tree's picture is no higher, however many have asked."""
LABEL_WIDTH = 15
"""Characters of a line in front of a bar: three charts stand side by side on a projector."""


def tally_chart(board: Board, theme: Theme = "light") -> Chart:
    """A bar for each prediction; once revealed, how many of it were right."""
    tally, right = board.tally, board.right
    figure = go.Figure()
    figure.add_bar(
        x=list(tally.values()),
        y=list(tally),
        orientation="h",
        marker={"color": ARM_COLOUR["hit"], "opacity": 0.55},
        hovertemplate="%{y}: %{x}<extra></extra>",
    )
    figure.update_layout(
        xaxis={"visible": False, "rangemode": "tozero"},
        yaxis={
            "autorange": "reversed",
            "automargin": True,
            "tickfont": text_font(theme),
            "tickvals": list(tally),
            "ticktext": ["<br>".join(_label(board, name)) for name in tally],
        },
        showlegend=False,
        height=270,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
    )
    table = pd.DataFrame(
        {
            "predicted": tally,
            **({"right": right} if board.revealed else {}),
        }
    ).rename_axis("reused of their own request")
    counts = "; ".join(f"{name}: {_count(board, name)}" for name in tally)
    return Chart(figure, f"Predictions of what is reused. {counts}.", table)


def _label(board: Board, name: str) -> list[str]:
    """The prediction and how many made it: beside a short bar there would be no room for that."""
    return [*wrap(name, LABEL_WIDTH), f"<b>{_count(board, name)}</b>"]


def times_chart(board: Board, theme: Theme = "light") -> Chart:
    """A mark for each request in the order of the asking; hits, misses and what the machine
    disturbed by colour and shape. Few words: three charts stand side by side on a projector."""
    figure, disturbed = go.Figure(), board.disturbed
    sound = [request for request in board.requests if not request.disturbed]
    hits = [request for request in sound if request.reused]
    misses = [request for request in sound if not request.reused]
    unsalted = [request for request in misses if not request.salted]
    salted = [request for request in misses if request.salted]
    _add(figure, unsalted, "no reuse", ARM_COLOUR["cold"], "square")
    if salted:
        _add(figure, salted, "no reuse, salted", ARM_COLOUR["cold"], "square-open")
    _add(figure, hits, "hit", ARM_COLOUR["hit"], "circle")
    if disturbed:
        _add(figure, disturbed, "disturbed", ARM_COLOUR["control"], "x-thin-open")
    figure.update_layout(
        xaxis=axis("request", theme)
        | {
            "tick0": 1,
            "dtick": max(1, len(board.requests) // 10),
            "range": [0.5, len(board.requests) + 0.5],
        },
        yaxis=milliseconds_axis("ms", theme),
        legend=legend(theme),
        showlegend=True,
        height=340,
        margin={"l": 8, "r": 24, "t": 8, "b": 8},
    )
    table = pd.DataFrame(
        {
            "tokens": [request.tokens for request in board.requests],
            "reused": [request.reused for request in board.requests],
            "TTFT": [milliseconds(request.ttft_s) for request in board.requests],
            "salted": [_yes(request.salted) for request in board.requests],
            "disturbed": [_yes(request.disturbed) for request in board.requests],
        },
        index=pd.Index([request.number for request in board.requests], name="request"),
    )
    alt = (
        f"Time to first token of {len(board.requests)} requests: {len(misses)} reused nothing, "
        f"{len(hits)} were hits, {len(disturbed)} were disturbed by the machine and are left out. "
        f"The first took {milliseconds(board.first.ttft_s if board.first else None)}, "
        f"the median later hit {milliseconds(board.later_median_s)}."
    )
    return Chart(figure, alt, table)


def tree_chart(tree: Sequence[Branch], theme: Theme = "light") -> Chart:
    """The room's tree from left to right; a piece is as high as the prompts that end on it."""
    number = {one.id: at for at, one in enumerate(tree, 1)}
    parents = {one.parent for one in tree}
    figure = go.Figure(
        go.Icicle(
            ids=["root", *(str(one.id) for one in tree)],
            parents=["", *("root" if one.parent is None else str(one.parent) for one in tree)],
            # no words: on a projector the pieces are narrow
            labels=["start", *(f"{one.tokens:,}" for one in tree)],
            customdata=["the beginning", *map(_piece, tree)],
            values=[0, *(0 if one.id in parents else 1 for one in tree)],
            marker={
                "colors": [
                    GROUND[theme],
                    *((REUSED if one.ends > 1 else NEW).shade(theme).tint for one in tree),
                ],
                "line": {"width": 2, "color": GROUND[theme]},
            },
            tiling={"orientation": "h"},
            leaf={"opacity": 1},
            textfont=text_font(theme),
            hovertemplate="%{customdata}<extra></extra>",
            sort=False,
        )
    )
    figure.update_layout(
        height=min(max(200, 26 * len(tree)), MOST_PIXELS),
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        # of very many pieces each is too low for words
        uniformtext={"minsize": 10, "mode": "hide"},
    )
    shared = sum(one.tokens for one in tree if one.ends > 1)
    own = sum(one.tokens for one in tree if one.ends == 1)
    ends = sum(one.ends for one in tree if one.parent is None)
    table = pd.DataFrame(
        {
            "tokens": [one.tokens for one in tree],
            "follows": [
                "the beginning" if one.parent is None else f"piece {number[one.parent]}"
                for one in tree
            ],
            "different prompts": [one.ends for one in tree],
        },
        index=pd.Index([f"piece {at}" for at in number.values()], name="piece"),
    )
    alt = (
        f"The tree in the cache: {tokens(shared)} in pieces that several prompts share, "
        f"{tokens(own)} that only one has, of {ends} different ones."
    )
    return Chart(figure, alt, table)


def _add(
    figure: go.Figure, requests: Sequence[RoomRequest], name: str, colour: str, symbol: str
) -> None:
    figure.add_scatter(
        x=[request.number for request in requests],
        y=[request.ttft_s * 1e3 for request in requests],
        mode="markers",
        name=name,
        marker={"size": 12, "color": colour, "symbol": symbol},
        customdata=[[request.reused, request.tokens] for request in requests],
        hovertemplate=(
            "request %{x}: %{y:.1f} ms, %{customdata[0]} of %{customdata[1]} tokens reused"
            f"<extra>{name}</extra>"
        ),
    )


def _piece(one: Branch) -> str:
    return f"{tokens(one.tokens)}, {one.ends} prompt{'s' if one.ends > 1 else ''}"


def _yes(so: bool) -> str:
    return "yes" if so else "no"


def _count(board: Board, prediction: str) -> str:
    count = board.tally[prediction]
    return f"{count}, {board.right[prediction]} right" if board.revealed else f"{count}"
