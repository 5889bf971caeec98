"""The side channel: what a shared cache tells a stranger, and the salt that closes it."""

from __future__ import annotations

import streamlit as st

from prefix_engine.errors import PrefixEngineError
from prefix_engine.lessons.heard import Eavesdropping, SideChannel
from ui.chapter import (
    ask_to_predict,
    keep,
    kept_or_recorded,
    measure,
    offer_json,
    open_page,
    run_button,
    say_it_waits,
    show_chart,
    show_guess,
    show_limits,
    show_provenance,
)
from ui.lessons.side_channel import ROUNDS, Shop, load_shop
from ui.lessons.side_channel_chart import eavesdropping_chart, slowest_s
from ui.lessons.side_channel_room import listen_to_room
from ui.text import complain, page_theme, say

NAME = "side_channel"
TELL, DO_NOT_TELL = "Yes, the times will tell", "No, the answers stay hidden"
LIMITS = (
    "The eavesdropper here sends the whole question, word for word. Finding it token by token is "
    "possible too, and slower.",
    "One process, no network: over the internet the differences drown more easily, and more "
    "requests are needed. They have been measured there all the same, see the sources.",
    "A salt closes this channel between users who don't share it. Within one namespace it stays "
    "open: that is what sharing means.",
    "The questions of the pharmacy were written for this page. Nobody asked them.",
    "In a room, a guess of which only the beginning was asked also answers a little sooner, and "
    "so does a shorter one. The run with a salt shows what is due to length alone.",
)
SOURCES = """\
- Song et al., "The Early Bird Catches the Leak: Unveiling Timing Side Channels in LLM Serving
  Systems", arXiv 2411.18191.
- CVE-2025-46570: prefix caching in vLLM before 0.9.0 let users learn of each other's prompts by
  time to first token; its `cache_salt` separates them.
"""


def main() -> None:
    engine = open_page(
        "The side channel",
        None,
        "In a cache that is shared, what one user has asked is there for all others. Does that "
        "tell a stranger **what somebody asked**? And if it does, does a **salt** help? It gives "
        "each user a **namespace** of their own: keys and values are found only by those who have "
        "the same salt.",
    )
    shop = load_shop()
    st.markdown(
        "A pharmacy's chat assistant puts one system prompt before every question. One customer "
        "has asked **one of these four questions**, drawn by lot. You are another customer. You "
        "never see hers, but you may send all four, and look at the clock."
    )
    _show_questions(shop)
    guess = ask_to_predict(
        NAME,
        "Will time to first token tell you which of the four she asked?",
        (TELL, DO_NOT_TELL),
    )
    if run_button(engine) and engine is not None:
        from prefix_engine.lessons.eavesdrop import open_and_close

        rounds = min(ROUNDS, engine.max_trials)
        keep(
            NAME,
            measure(
                lambda watch: open_and_close(engine, shop.system, shop.questions, rounds, watch),
                engine,
            ),
        )
        st.rerun()
    found = kept_or_recorded(NAME, SideChannel)
    if guess is None:
        say_it_waits(found)
        return
    if found.result.shared.can_tell:
        show_guess(guess, TELL if found.result.shared.betrayed else DO_NOT_TELL)
    say(found.result.sentence, "headline")
    show_provenance(found)
    _show_halves(found.result, "One namespace for everybody", "A salt for each user", NAME)
    offer_json(found, NAME)
    listen_to_room(engine, _show_room)
    with st.expander("Sources"):
        st.markdown(SOURCES)
    show_limits(LIMITS)


def _show_questions(shop: Shop) -> None:
    with st.expander("The system prompt and the four questions"):
        say(shop.system, key="system")
        for number, question in enumerate(shop.questions, 1):
            st.caption(f"question {number}")
            say(question, key=f"question-{number}")


def _show_room(heard: SideChannel) -> None:
    _show_halves(heard, "In the room's namespace", "With a salt of your own", "room")


def _show_halves(heard: SideChannel, shared: str, salted: str, key: str) -> None:
    upto_s = slowest_s(heard.shared, heard.salted)
    _show(heard.shared, shared, f"{key}-shared", upto_s)
    _show(heard.salted, salted, f"{key}-salted", upto_s)


def _show(heard: Eavesdropping, title: str, key: str, upto_s: float) -> None:
    st.header(title)
    say(heard.sentence, key=f"heard-{key}")
    show_chart(eavesdropping_chart(heard, upto_s, page_theme()), key)
    st.caption(
        "Each mark is one try. ★: this question had been asked. ×: the machine disturbed the try, "
        f"which is not counted. All begin with the system prompt, {heard.shared:,} tokens; where a "
        "question was asked, a few more can be shared that frame every question. The halves were "
        "timed one after the other: compare within a half."
    )


try:
    main()
except PrefixEngineError as error:
    complain(str(error))
