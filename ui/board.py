"""The board of a room: what the class does together, large enough for a projector."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from prefix_engine.room import Board, Branch
from ui.chapter import show_chart
from ui.room_chart import tally_chart, times_chart, tree_chart
from ui.text import page_theme, say
from ui.wording import milliseconds, tokens


def show_board(board: Board, tree: Sequence[Branch], is_host: bool) -> None:
    """What this visitor may see of the room now."""
    say(headline(board), "headline", key="board")
    members, requests, rate, saved = st.columns(4)
    members.metric("members", board.members)
    requests.metric("requests", len(board.requests))
    rate.metric("hit rate", _hidden_until(board, _percent(board.hit_rate)))
    saved.metric("tokens saved", _hidden_until(board, f"{board.tokens_saved:,}"))
    if not board.requests:
        return
    st.header("What the class predicted")
    show_chart(tally_chart(board, page_theme()), "tally")
    if board.revealed:
        st.header("Time to first token, request by request")
        show_chart(times_chart(board, page_theme()), "times")
        st.header("What the cache keeps of this room")
        st.caption("Green pieces are shared by several prompts; blue ones end a prompt.")
        show_chart(tree_chart(tree, page_theme()), "tree")
    if board.prompts_shown or is_host:
        _show_questions(board, is_host)


def headline(board: Board) -> str:
    """What happened so far, or what is to be done."""
    if not board.requests:
        return "Nobody has asked yet. The first request finds an empty cache."
    if not board.revealed:
        return f"{len(board.requests)} asked. What was reused is revealed by the host."
    first, later = board.first_ttft_s, board.later_median_s
    so_far = f"{tokens(board.tokens_saved)} of {board.tokens:,} did not have to be computed."
    if later is None:
        return f"{so_far} No request has been a hit yet."
    return (
        f"{so_far} The first request took {milliseconds(first)} to its first token, "
        f"a later one {milliseconds(later)} (median of {len(board.later_ttft_s)})."
    )


def _show_questions(board: Board, is_host: bool) -> None:
    hidden = is_host and not board.prompts_shown
    label = "Questions (hidden from the class)" if hidden else "Questions"
    with st.expander(label, expanded=board.prompts_shown):
        rows = [
            {
                "request": request.number,
                "question": request.question,
                "predicted": request.prediction or "–",
                "tokens": request.tokens,
                "reused": request.reused if board.revealed else "?",
                "TTFT": milliseconds(request.ttft_s) if board.revealed else "?",
            }
            for request in reversed(board.requests)
        ]
        # a data frame's canvas shows text as it is; st.table would parse it as Markdown
        st.dataframe(pd.DataFrame(rows).astype(str), hide_index=True, key="questions")


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.1%}"


def _hidden_until(board: Board, value: str) -> str:
    return value if board.revealed else "?"
