"""What a member sees of a room: a question to ask, what became of it, and the board."""

from __future__ import annotations

from contextlib import closing

import streamlit as st

from prefix_engine.board import PREDICTIONS, RoomRequest
from prefix_engine.errors import PrefixEngineError
from prefix_engine.room import MAX_QUESTION_CHARACTERS, Room
from ui.chapter import run_button
from ui.progress import Progress, visitor
from ui.room.board import look_again, show_board, show_system
from ui.room.kept import keep_seen, leave
from ui.server import ready_engine, server
from ui.text import complain, say
from ui.wording import milliseconds, tokens

EVERY_S = 10.0
ANSWERED = "answered"
MEANINGS = (
    "all of it is computed",
    "more where the question begins like an earlier one",
    "as if the very same had been asked",
)
"""Of the predictions, in their order."""


def show_member(room: Room) -> None:
    """A member's page of an open room."""
    board = room.board
    keep_seen(board)
    st.caption(f"You are in room {room.code}.")
    show_system(room)
    question = ask_for_question()
    own = room.last_of(visitor())
    answered = own and (room.code, own.number)
    if answered and answered != st.session_state.get(ANSWERED):
        # the next request wants a prediction of its own
        st.session_state["prediction"], st.session_state[ANSWERED] = None, answered
    prediction = st.radio(
        "**Predict.** How much of your request will be found in the cache?",
        PREDICTIONS,
        index=None,
        horizontal=True,
        captions=MEANINGS,
        key="prediction",
    )
    engine = ready_engine()
    # not disabled until both are there: the click that ends the typing would be lost
    if run_button(engine, "Ask"):
        if question.strip() and prediction:
            _ask(room, question, prediction)
        else:
            complain("Type a question and predict; then you can ask.")
    if own is not None:
        revealed = room.board.revealed
        say(_own_result(own, revealed), "headline" if revealed else "sentence", key="own")
    # who has not predicted yet is not to follow the others
    show_board(board, has_tally=own is not None or board.revealed)
    st.button("Leave the room", on_click=leave)
    st.caption("You opened this room? Your own link as host makes you the host again.")
    look_again(room, board.version, EVERY_S)


def ask_for_question() -> str:
    """The editor of the question; what is typed stays in it when the room ends."""
    typed = st.text_area(
        "Your question",
        placeholder="Ask this assistant anything: how soon it could begin to answer is measured",
        max_chars=MAX_QUESTION_CHARACTERS,
        key="question",
    )
    st.caption(
        "It goes without your name, but the host can read and keep it, and may show it to the "
        "class: ask nothing private."
    )
    return typed


def _ask(room: Room, question: str, prediction: str) -> None:
    try:
        with closing(Progress(server().slot, "Asking", turns=1, check=room.check_open)) as progress:
            room.ask(visitor(), question, prediction, progress.watch())
    except PrefixEngineError as error:
        complain(str(error))
    else:
        st.rerun()


def _own_result(own: RoomRequest, revealed: bool) -> str:
    if not revealed:
        return (
            f"Your request is number {own.number}. No answer is written here: only how soon it "
            "could begin was measured. What it reused is covered: the host reveals it."
        )
    disturbed = " (disturbed by the machine)" if own.disturbed else ""
    right = "✓ right" if own.prediction == own.answer else f"✗ it was: {own.answer}"
    return (
        f"Your request, number {own.number}: {own.reused:,} of {tokens(own.tokens)} reused, "
        f"{milliseconds(own.ttft_s)} to the first token{disturbed}. "
        f"You predicted: {own.prediction} ({right})."
    )
