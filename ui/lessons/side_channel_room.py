"""Listening to the room that this session is in: which of one's own guesses was asked there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from prefix_engine.lessons.heard import SideChannel
from prefix_engine.room import COVERED, MAX_QUESTION_CHARACTERS, SALTED, NoRoom, Room
from ui.chapter import Found, keep, kept, measure, run_button, show_provenance
from ui.lessons.side_channel import ROUNDS
from ui.room.kept import room_pass
from ui.server import server
from ui.text import complain, say

if TYPE_CHECKING:
    from prefix_engine.engine import Engine

GUESSES = 3
FEWEST_GUESSES = 2

ShowHalves = Callable[[SideChannel], None]


def listen_to_room(engine: Engine | None, show_halves: ShowHalves) -> None:
    """Guess, listen, read what the times betray; without a room, say how to get into one."""
    st.header("Listen to your room")
    room = _room()
    if room is None:
        st.markdown(
            "Open or join a room on the page Room and come back: "
            "here you can then listen to what was asked in it."
        )
        return
    st.markdown(
        f"You are in room {room.code}. What might somebody have asked there? Type your guesses, "
        "word for word and about equally long, at least one of which nobody asked. They are sent "
        "behind the room's system prompt and leave nothing in its cache."
    )
    guesses = _guesses()
    board = room.board
    if board.salted:
        st.caption(SALTED)
    if not board.revealed:
        st.caption(COVERED)
    ready = engine if board.revealed and not board.salted else None
    name = f"side_channel-{room.code}"
    # not disabled until enough is typed: the click that ends the typing would be lost
    asked = run_button(ready, "Listen", key="listen")
    if len(guesses) < FEWEST_GUESSES:
        too_few = f"Type at least {FEWEST_GUESSES} different guesses; then you can listen."
        (complain if asked else st.caption)(too_few)
    elif asked and ready is not None:
        from prefix_engine.lessons.eavesdrop import listen_and_salt

        rounds = min(ROUNDS, ready.max_trials)
        keep(
            name,
            measure(
                lambda watch: listen_and_salt(
                    ready, room.listen, room.system, guesses, rounds, watch
                ),
                ready,
                check=room.listen,
            ),
        )
        st.rerun()
    own = kept(name)
    if own is None:
        return
    if board.salted:
        st.caption("This was heard before the host salted the room:")
    heard: SideChannel = own.result
    say(heard.sentence, "headline", key="room")
    show_provenance(Found(own, recorded=False))
    for number, question in enumerate(heard.shared.questions, 1):
        say(f"question {number}: {question}", key=f"guess-{number}")
    show_halves(heard)
    st.caption(
        f"“Asked” means here: the cache held your whole guess, {_but_for(ready)}. Who asked it, "
        "and what else was asked, you are not told."
    )


def _but_for(engine: Engine | None) -> str:
    block = 1 if engine is None else engine.cache.block_size
    if block == 1:
        return "but for the last token"
    return f"but for its end, which fills no block of {block} tokens and may be another's"


def _guesses() -> tuple[str, ...]:
    """What was typed, without blanks and repetitions."""
    typed = [
        st.text_area(
            f"Guess {number}",
            height=68,
            max_chars=MAX_QUESTION_CHARACTERS,
            key=f"listen-{number}",
        )
        for number in range(1, GUESSES + 1)
    ]
    return tuple(dict.fromkeys(guess for guess in typed if guess.strip()))


def _room() -> Room | None:
    """The room of this session, if it has not ended."""
    own = room_pass()
    if own is None:
        return None
    try:
        return server().rooms.find(own.code)
    except NoRoom:
        return None
