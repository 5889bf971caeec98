"""Inside the cache: the tree that grows, splits and forgets; blocks; bytes; other systems."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from prefix_engine.errors import PrefixEngineError
from prefix_engine.glyphs import quoted
from prefix_engine.lessons.engines import Pair, count_all
from prefix_engine.lessons.growth import Growth, closest_pair, grow
from prefix_engine.lessons.growth_verdict import (
    first_eviction,
    first_to_go,
    memory,
    outcome,
    overall,
    request_name,
    what_happened,
)
from prefix_engine.lessons.lens import look_through
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
from ui.lessons.lens_chart import engines_chart, lens_chart, rules_in_words, steps_table
from ui.lessons.sequence import Plan, ask_for_plan, plan_of
from ui.lessons.tree import tree_payload, tree_picture
from ui.text import complain, page_theme, say
from ui.wording import tokens

if TYPE_CHECKING:
    from prefix_engine.engine import Engine
    from prefix_engine.watch import Watch

NAME = "inside_the_cache"
QUOTATION = (
    "Two requests that share a leading prefix share the keys and values for those tokens, so the "
    "prefix is computed once and every later request skips prefill over it …"
)
INTRO = (
    "A prefix cache keeps what it stores as a **tree**: prompts that begin alike share one branch, "
    "and where they part the tree is **split**. Its memory is limited, a **budget**. When that is "
    "full, something has to go: this is called **eviction**. What is **pinned** stays."
)
QUESTION = (
    "The requests come one after another. When the budget is full, the cache evicts the end of a "
    "prompt that was not used for the longest time. Whose goes first?"
)
LIMITS = (
    "One request at a time, and no replies are stored. A server also pins what its running "
    "requests use, and stores what they generate.",
    "Least recently used is one rule of eviction; systems have others, and services also let KV "
    "expire after minutes or hours.",
    "The counts of other systems are calculated from their rules, not measured. Rules change; "
    "services count tokens by tokenizers of their own, here this model's is used for all.",
    "Blocks have a use that the lens can't show: memory in pieces of one size is simple to share "
    "out and to move.",
    "Nothing on this page is about time. What reuse saves is measured on the other pages.",
)


def main() -> None:
    engine = open_page("Inside the cache", QUOTATION, INTRO)
    try:
        predict_then_reveal(engine)
    except PrefixEngineError as error:
        complain(str(error))


def predict_then_reveal(engine: Engine | None) -> None:
    plan = ask_for_plan(plan_of(kept_or_recorded(NAME, Growth).result))
    if not plan.requests:
        st.info("There is no request yet: type one in a line of its own.")
        return
    guess = ask_to_predict(f"inside-{plan.key}", QUESTION, plan.guesses)
    if run_button(engine) and engine is not None:
        keep(NAME, measure(partial(grow_plan, engine, plan), engine))
        st.rerun()
    found = find_kept(NAME, Growth, lambda growth: plan_of(growth) == plan)
    if found is None:
        st.info("These requests were not run yet with this budget and pin: run them here.")
    elif guess is not None:
        show_result(found, guess)
    else:
        say_it_waits(found)


def grow_plan(engine: Engine, plan: Plan, watch: Watch) -> Growth:
    return grow(engine, plan.requests, plan.budget_tokens, plan.pinned, watch)


def show_result(found: Found[Growth], guess: Guess) -> None:
    growth = found.result
    say(overall(growth), "headline")
    say(first_eviction(growth), key="eviction")
    show_guess(guess, first_to_go(growth))
    show_provenance(found)
    st.header("The tree, request by request")
    play(growth)
    show_elsewhere(growth)
    show_outcome(*outcome(growth))
    show_limits(LIMITS)
    offer_json(found, NAME)


@st.fragment
def play(growth: Growth) -> None:
    """The tree after one request, what it takes, and controls to go from one to the next."""
    key, last = f"inside-step-{plan_of(growth).key}", len(growth.steps)
    number = st.session_state.setdefault(key, growth.first_eviction or last)

    def go(to: int) -> None:
        st.session_state[key] = to

    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button("Back", on_click=go, args=[number - 1], disabled=number == 1)
        st.button("Next", on_click=go, args=[number + 1], disabled=number == last)
        if last > 1:
            number = st.slider("After request", 1, last, key=key)
    step = growth.steps[number - 1]
    say(what_happened(growth, number), key="step")
    say(f"{request_name(number)}: {quoted(growth.requests[number - 1].text, 90)}", key="now")
    tree_picture(tree_payload(growth, number), key="tree")
    st.caption(
        f"{step.stored_tokens:,} of {growth.budget_tokens:,} tokens of the budget are used. "
        "Thin lines divide tokens; · is a space."
    )
    with st.expander("Every request in numbers"):
        st.table(steps_table(growth), alt="What each request reused, computed and drove out.")
    show_memory(growth, number)


def show_memory(growth: Growth, number: int) -> None:
    """What a token takes, and what the tree takes after this request."""
    one = growth.numbers
    st.header("What a token's keys and values take")
    st.markdown(
        f"**Calculated:** 2 (K and V) × {one.layers} layers × {one.kv_heads} KV heads × "
        f"{one.head_dim} numbers × {one.bytes_per_number} bytes = "
        f"**{one.bytes_per_token:,} bytes a token**"
    )
    say(memory(growth, number), key="memory")


def show_elsewhere(growth: Growth) -> None:
    """Two of the requests through blocks of several sizes, and by the rules of other systems."""
    st.header("Two of these requests in blocks")
    if len(growth.requests) < 2:
        st.info("This needs two requests.")
        return
    a, b = choose_two(growth)
    lens = look_through(growth.requests[a - 1].ids, growth.requests[b - 1].ids)
    say(lens.sentence, key="lens")
    st.markdown(
        "Many servers store KV in **blocks** of some tokens and reuse whole ones only. What stands "
        "in a block that is not shared to its end is computed again. Looked up in an index of each "
        "block size, here and now."
    )
    show_chart(lens_chart(lens, page_theme()), "lens")
    st.header("How other systems would count them")
    pair = Pair(lens.a_tokens, lens.b_tokens, lens.shared)
    times = st.select_slider(
        "Suppose that the shared part were so many times as long", (1, 2, 4, 8, 16, 32, 64)
    )
    pair = pair.with_longer_prefix(times)
    st.markdown(
        f"**Calculated by rule, not measured:** A is stored, B comes next; "
        f"{tokens(pair.shared)} shared, B has {pair.b_tokens:,}. "
        "✔ by the system's own code or page, ◐ by a third party, ? unverified."
    )
    counts = count_all(pair)
    show_chart(engines_chart(counts, page_theme()), "engines")
    with st.expander("The rules, and where they come from"):
        st.markdown(rules_in_words(counts))


def choose_two(growth: Growth) -> tuple[int, int]:
    """The numbers of the requests to compare; at first those that share most."""
    numbers = range(1, len(growth.requests) + 1)
    first, second = closest_pair(growth)
    left, right = st.columns(2)
    a = left.selectbox(
        "A: in the cache", numbers, index=first - 1, format_func=request_name, key="lens-a"
    )
    b = right.selectbox(
        "B: arrives next", numbers, index=second - 1, format_func=request_name, key="lens-b"
    )
    return a, b


main()
