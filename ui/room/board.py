"""The board of a room: what the class does together, large enough for a projector."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from prefix_engine.board import Board, Branch
from prefix_engine.machine import describe_machine
from prefix_engine.room import Room
from ui.chapter import draw_chart, show_chart
from ui.charts import Chart, enlarged
from ui.palette import Theme
from ui.room.chart import tally_chart, times_chart, tree_chart
from ui.server import ready_engine
from ui.text import page_theme, say
from ui.wording import milliseconds, requests, tokens

TakeTree = Callable[[], Sequence[Branch]]

MOST_PIXELS = 330
"""Of a chart on the projector, where nobody scrolls."""
SALTED = "Salted: a new namespace for each member. What will be reused now?"
BUSY = (
    "Other work took the processors while the requests that reused nothing were computed. They "
    "look slower than they are, and what reuse saves larger: don't go by these times."
)
TREE = "Pieces, in tokens: green ones begin several different prompts, blue ones belong to one."
HOW_TO_READ = (
    "From left to right: where it forks, prompts differ. A prompt that was asked again counts "
    "once. A piece's width says nothing about its length."
)
KEPT = 32
"""Figures of a kind kept for all sessions: each room's newest, light and dark."""


def show_board(
    board: Board,
    is_host: bool = False,
    take_tree: TakeTree | None = None,
    is_large: bool = False,
    has_tally: bool = True,
) -> None:
    """What this visitor may see of the room now; with `take_tree`, its tree once revealed. Large
    for the projector: larger text in the charts, which stand side by side, and no tables of them,
    which are on the pages of all others."""
    busy = board.revealed and board.was_busy(describe_machine().threads)
    say(headline(board, busy), "headline", key="board")
    if board.salted:
        st.info(SALTED)
    with st.container(horizontal=True, gap="large", key="board-figures"):
        st.metric("who asked", board.askers, help="Who reloads the page counts again.")
        st.metric("requests", len(board.requests))
        st.metric("hit rate, of tokens", _hidden_until(board, _percent(board.hit_rate)))
        st.metric("tokens saved", _hidden_until(board, f"{board.tokens_saved:,}"))
    if board.not_stored:
        st.caption(_not_stored_in_words(board))
    if not board.requests:
        return
    if busy:
        st.warning(BUSY)
    show = _show_large if is_large else show_chart
    at = board.code, board.version, page_theme()
    # nobody scrolls on a projector: there they stand side by side
    side_by_side = is_large and board.revealed
    left, middle, right = st.columns(3) if side_by_side else (st.container() for _ in range(3))
    if has_tally:
        with left:
            st.header("What the class predicted")
            st.caption("Counted by request: who asks again, counts again.")
            show(_tally(*at, board), "tally")
    if board.revealed:
        with middle:
            st.header("Time to first token")
            st.caption(computed_in_words(board))
            show(_times(*at, board), "times")
    if board.revealed and take_tree is not None:
        with right:
            st.header("What the cache keeps of this room")
            st.caption(TREE if is_large else f"{TREE} {HOW_TO_READ}")
            tree = tuple(take_tree())
            # it may change without the board: others may need the room
            show(_tree(board.code, hash(tree), page_theme(), tree), "tree")
    if board.prompts_shown or is_host:
        _show_questions(board, is_host)
    if board.revealed and not is_large:
        st.caption("Next, on the page The side channel: is it safe to share?")


def show_system(room: Room) -> None:
    """The system prompt that everybody shares, folded."""
    with st.expander("The system prompt that everybody here shares"):
        say(room.system, key="system")


def tree_of(room: Room) -> TakeTree:
    """What the cache keeps of the room at the time of the call."""

    def take() -> Sequence[Branch]:
        from prefix_engine.cache import RadixCache  # brings torch

        engine = ready_engine()
        if engine is None or not isinstance(engine.cache, RadixCache):
            return ()
        return room.tree(engine.cache)

    return take


def look_again(room: Room, version: int, every_s: float) -> None:
    """Draw the page anew when the room has changed, but not for nothing: to draw is to compute, and
    disturbs requests."""

    @st.fragment(run_every=every_s)
    def look() -> None:
        if room.ended or room.board.version != version:
            st.rerun()

    look()


def headline(board: Board, busy: bool = False) -> str:
    """What happened so far, or what is to be done; nothing of times taken on a `busy` machine."""
    if not board.requests:
        return "Nobody has asked yet. Who is the first?"
    if not board.revealed:
        return f"{requests(len(board.requests))}. What was reused is covered: the host reveals it."
    so_far = f"{tokens(board.tokens_saved)} of {board.tokens:,} did not have to be computed."
    if busy:
        return so_far
    return " ".join(filter(None, (so_far, _times_in_words(board), _disturbed_in_words(board))))


def _times_in_words(board: Board) -> str:
    first, later = board.first, board.later_median_s
    if not board.hits:
        return "No request has been a hit yet."
    if first is None:
        return (
            "There is no first time to compare with: the machine disturbed each cold request. "
            "The host can salt the room for one request: that one is cold, too."
        )
    if later is None:
        return "There is no later time to compare with: the machine disturbed each hit."
    is_first = first.number == 1
    cold = "The first request" if is_first else f"Request {first.number}, which was cold,"
    count = len(board.later_ttft_s)
    return (
        f"{cold} took {milliseconds(first.ttft_s)} to its first token, "
        f"a {'later ' if is_first else ''}hit {milliseconds(later)}"
        f"{f' (median of {count})' if count > 1 else ''}."
    )


def _disturbed_in_words(board: Board) -> str:
    if not board.disturbed:
        return ""
    return f"Disturbed by the machine, and left out of the times: {len(board.disturbed)}."


def _not_stored_in_words(board: Board) -> str:
    count = board.not_stored
    were = "1 request was" if count == 1 else f"{count} requests were"
    return f"{were} not stored: the cache is full."


def computed_in_words(board: Board) -> str:
    """How much there was to compute, which the times go by, of hits and of cold requests."""
    parts = [
        f"{_range([one.tokens - one.reused for one in board.requests if bool(one.reused) is hit])} "
        f"of each {what}"
        for hit, what in ((True, "hit"), (False, "request that reused nothing"))
        if any(bool(one.reused) is hit for one in board.requests)
    ]
    return f"Computed: {', '.join(parts)}."


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return tokens(low) if low == high else f"{low:,} to {tokens(high)}"


def _show_large(chart: Chart, key: str) -> None:
    draw_chart(enlarged(chart, MOST_PIXELS), key)


# Each is made once for all who look on. The version stands for what is given after it.


@st.cache_resource(max_entries=KEPT, show_spinner=False)
def _tally(code: str, version: int, theme: Theme, _board: Board) -> Chart:
    return tally_chart(_board, theme)


@st.cache_resource(max_entries=KEPT, show_spinner=False)
def _times(code: str, version: int, theme: Theme, _board: Board) -> Chart:
    return times_chart(_board, theme)


@st.cache_resource(max_entries=KEPT, show_spinner=False)
def _tree(code: str, look: int, theme: Theme, _tree: Sequence[Branch]) -> Chart:
    return tree_chart(_tree, theme)


def _show_questions(board: Board, is_host: bool) -> None:
    hidden = is_host and not board.prompts_shown
    label = "Questions (hidden from the class)" if hidden else "Questions"
    with st.expander(label, expanded=board.prompts_shown):
        rows = [
            {
                "request": request.number,
                "question": request.question,
                "reused": f"{request.reused} of {request.tokens} tokens" if board.revealed else "?",
                "to first token": milliseconds(request.ttft_s) if board.revealed else "?",
                "predicted": (request.prediction or "–") if board.revealed or is_host else "?",
            }
            for request in reversed(board.requests)
        ]
        # a data frame's canvas shows text as it is; st.table would parse it as Markdown
        st.dataframe(pd.DataFrame(rows).astype(str), hide_index=True, key="questions")


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.1%}"


def _hidden_until(board: Board, value: str) -> str:
    return value if board.revealed else "?"
