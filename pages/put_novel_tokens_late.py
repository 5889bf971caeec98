"""Put novel tokens late: reorder a prompt's parts and measure what each order reuses."""

from __future__ import annotations

import streamlit as st

from prefix_engine.errors import PrefixEngineError
from prefix_engine.lessons.ordering import Orders, measure_orders
from ui.chapter import (
    Found,
    Guess,
    ask_to_predict,
    find_kept,
    keep,
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
from ui.lessons.ordering_chart import parts_chart, places_chart, ttft_chart
from ui.lessons.ordering_editor import ask_for_order
from ui.lessons.ordering_words import (
    LIMITS,
    QUOTATION,
    SHARES,
    at_the_front,
    headline,
    meaning_changes,
    outcome,
    places_in_words,
    reasons,
    share_in_words,
    speed_in_words,
)
from ui.lessons.parts import load_parts
from ui.text import complain, page_theme, say

NAME = "put_novel_tokens_late"


def main() -> None:
    engine = open_page(
        "Put novel tokens late",
        QUOTATION,
        "A prompt is put together from **parts**. Some stay the same from request to request, some "
        "are **novel**: new each time. Reuse ends at the first token that differs, so the order of "
        "the parts decides how much of the prompt's **KV cache** (its keys and values, computed "
        "before) the next request can reuse.",
    )
    inputs = ask_for_order()
    if inputs is None:
        return
    guess = ask_to_predict(
        f"ordering-{inputs.arrangement}",
        "In this order, how much of request 2 and those after it is reused?",
        [words for _, words in SHARES],
    )
    if run_button(engine) and engine is not None:
        try:
            made = measure(
                lambda watch: measure_orders(
                    engine, load_parts(), inputs.arrangement, inputs.moved, inputs.rounds, watch
                ),
                engine,
            )
        except PrefixEngineError as error:
            complain(str(error))
            return
        keep(NAME, made)
        st.rerun()
    show(guess, find_kept(NAME, Orders, inputs.fits))


def show(guess: Guess | None, found: Found[Orders] | None) -> None:
    """The newest result of these inputs, if there is one, and uncovered."""
    if found is None:
        st.info("This order has not been measured yet: run it here.")
    elif guess is not None or not found.recorded:
        show_result(found, guess)
    else:
        say_it_waits(found)


def show_result(found: Found[Orders], guess: Guess | None) -> None:
    """Sentence, pictures, advice with its warnings, outcome."""
    orders = found.result
    titles = {part.id: part.title for part in load_parts()}
    say(headline(orders), "headline")
    show_provenance(found)
    if guess is not None:
        show_guess(guess, share_in_words(orders.given.later_share))
    say(at_the_front(orders, titles))
    show_chart(parts_chart(orders, page_theme()), key="parts")
    st.header("Time to first token (TTFT)")
    say(speed_in_words(orders))
    show_chart(ttft_chart(orders, page_theme()), key="ttft")
    st.header(f"{titles[orders.moved]}, from front to back")
    say(places_in_words(orders))
    show_chart(places_chart(orders, titles, page_theme()), key="places")
    st.header("The suggested order, and why")
    st.markdown(numbered(reasons(load_parts(), orders.arrangement)))
    show_warnings(meaning_changes(orders, titles))
    held, sentence = outcome(orders, titles)
    show_outcome(held, sentence)
    show_limits(LIMITS)
    offer_json(found, NAME)


def show_warnings(warnings: list[str]) -> None:
    """What the model may read otherwise in the suggested order."""
    if warnings:
        st.markdown("**The model reads another prompt then.** Before you take this order, know:")
        st.markdown("\n".join(f"- {warning}" for warning in warnings))


def numbered(lines: list[str]) -> str:
    """A Markdown list that counts."""
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


main()
