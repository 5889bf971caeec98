"""One user, many users: what the chapter's footnote on sharing means, measured."""

from __future__ import annotations

import streamlit as st

from prefix_engine.errors import PrefixEngineError
from prefix_engine.lessons.crowd import Crowd, Who, measure_crowd, sharing
from ui.chapter import (
    Found,
    Guess,
    ask_to_predict,
    find_kept,
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
    show_outcome,
    show_provenance,
)
from ui.lessons.crowd import MOST_USERS, ROUNDS, SCALE, USERS, load_material
from ui.lessons.crowd_chart import arms_chart, ttft_chart, users_chart
from ui.lessons.crowd_words import (
    ANSWERS,
    LIMITS,
    MEANINGS,
    QUOTATION,
    headline,
    many_in_words,
    outcome,
    right_answer,
    sharing_in_words,
    speed_in_words,
    two_caches,
    unmeasured,
)
from ui.text import complain, page_theme, say

NAME = "one_user_many_users"


def main() -> None:
    engine = open_page(
        "One user, many users",
        QUOTATION,
        "**Batch size** is how many requests are computed at the same time; here it is always 1. "
        "The engine **keeps the KV** (keys and values) of a prompt after it has answered, so a "
        "later request can reuse what it begins with. Does it matter who sends it?",
    )
    users, rounds = ask_for_crowd()
    guess = ask_to_predict(
        NAME,
        "One user sends four questions, one after the other, each behind the same system prompt. "
        "What do the later ones reuse?",
        ANSWERS,
    )
    if run_button(engine) and engine is not None:
        try:
            made = measure(
                lambda watch: measure_crowd(engine, load_material(), users, rounds, watch), engine
            )
        except PrefixEngineError as error:
            complain(str(error))
            return
        keep(NAME, made)
        st.rerun()
    fitting = find_kept(NAME, Crowd, lambda crowd: crowd.users == users)
    found = fitting or kept_or_recorded(NAME, Crowd)
    if fitting is None:
        st.info(unmeasured(users, found.result))
    if guess is not None or not found.recorded:
        show_result(found, guess)
    else:
        say_it_waits(found)


def ask_for_crowd() -> tuple[int, int]:
    """How many users to measure, and in how many rounds."""
    left, right = st.columns(2)
    users = left.slider("Users to measure", 2, MOST_USERS, USERS, key="crowd-users")
    rounds = right.slider("Rounds", 1, 3, ROUNDS, key="crowd-rounds")
    with st.expander("Read what they send"):
        material = load_material()
        st.markdown("**The system prompt, with tools and documents**")
        say(material.system, "reply", "crowd-system")
        st.markdown("**The questions**")
        say("\n".join(material.questions), "reply", "crowd-questions")
        st.markdown("**The unrelated prompts**")
        say("\n\n".join(material.unrelated), "reply", "crowd-unrelated")
    return users, rounds


def show_result(found: Found[Crowd], guess: Guess | None) -> None:
    """Sentence, arms, times, more and more users, the two caches, outcome."""
    crowd = found.result
    say(headline(crowd), "headline")
    show_provenance(found)
    if guess is not None:
        show_guess(guess, right_answer(crowd))
    say(many_in_words(crowd))
    show_chart(arms_chart(crowd, page_theme()), key="arms")
    with st.expander("What each arm sends"):
        st.markdown("\n".join(f"- **{who}**: {meaning}" for who, meaning in MEANINGS.items()))
    st.header("Time to first token (TTFT)")
    say(speed_in_words(crowd))
    show_chart(ttft_chart(crowd, page_theme()), key="ttft")
    show_users(crowd)
    st.header("Not the same: response caching")
    st.markdown("A **response cache** keeps answers. A **prefix cache** keeps work on prompts.")
    st.table(two_caches(crowd), alt="Response caching beside prefix caching.")
    held, sentence = outcome(crowd)
    show_outcome(held, sentence)
    show_limits(LIMITS)
    offer_json(found, NAME)


def show_users(crowd: Crowd) -> None:
    """From one user to thousands, each with one request behind the same system prompt."""
    st.header("From one user to thousands")
    users = st.select_slider(
        "Users behind one system prompt",
        SCALE,
        value=crowd.users,
        format_func="{:,}".format,
        key="crowd-chosen",
    )
    say(sharing_in_words(sharing(crowd.of(Who.CROWD), users)), key="sharing")
    show_chart(users_chart(crowd, users, page_theme()), key="users")


main()
