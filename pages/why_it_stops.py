"""Why it stops: the KV after the first difference, and what a wrong reuse would say."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import streamlit as st

from prefix_engine.errors import PrefixEngineError
from prefix_engine.lessons.divergence_verdict import Answer, judge
from prefix_engine.lessons.why_it_stops import WhyItStops, WhyItStopsRuns, find_out
from prefix_engine.watch import Watch
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
    show_guess,
    show_limits,
    show_outcome,
    show_provenance,
)
from ui.lessons.divergence_view import show_divergence
from ui.lessons.pair import Pair, ask_for_pair
from ui.lessons.splice_view import show_search, show_splice
from ui.text import complain, say

if TYPE_CHECKING:
    from prefix_engine.engine import Engine

NAME = "why_it_stops"
QUOTATION = (
    "The model is autoregressive, so one different token changes the hidden state — and therefore "
    "the KV — for everything after it, even text that looks identical further down."
)
QUESTION = (
    "After the first difference, such as SF / NYC, the two prompts read the same again. Is the KV "
    "of those words the same, too?"
)
INTRO = (
    "For every token, each **layer** of the model makes a **key** and a **value** (its **KV**): "
    "what later tokens look at. A cache keeps them. Below, both prompts are computed from nothing, "
    "and B's KV is compared with A's: layer by layer, token by token."
)
LIMITS = (
    "One small model. Another one has other differences; where they begin is the same in every "
    "autoregressive model.",
    "A large difference in a key is not a large change of what the model says: what counts is how "
    "later tokens use it. The texts below the map show that.",
    "The wrong cache takes A's KV after one changed word. Text that was computed far from where it "
    "is put, or behind another document, fares worse.",
    "Some systems do reuse KV that is not a prefix, and compute a part of it anew to repair it. "
    "What they gain in time they pay for in exactness.",
)


def main() -> None:
    engine = open_page("Why it stops", QUOTATION, INTRO)
    try:
        predict_then_reveal(engine, ask_for_pair())
    except PrefixEngineError as error:
        complain(str(error))


def predict_then_reveal(engine: Engine | None, pair: Pair) -> None:
    """Measure these prompts if the learner asks for it; show what is known once they predicted."""
    guess = ask_to_predict(f"{NAME}-{pair.key}", QUESTION, [str(answer) for answer in Answer])
    if run_button(engine) and engine is not None:
        keep(NAME, measure(partial(run_here, engine, pair), engine))
        st.rerun()
    found = find_run(pair)
    if found is None:
        st.info("These prompts were not computed yet: press Run it here.")
    elif guess is not None:
        show(found, guess)
    else:
        say_it_waits(found)


def run_here(engine: Engine, pair: Pair, watch: Watch) -> WhyItStopsRuns:
    return WhyItStopsRuns((find_out(engine, pair.a, pair.b, watch),))


def find_run(pair: Pair) -> Found[WhyItStops] | None:
    """The newest own run of these prompts, else the recorded one."""
    found = find_kept(NAME, WhyItStopsRuns, lambda runs: runs.of(pair.a, pair.b) is not None)
    run = found and found.result.of(pair.a, pair.b)
    if found is None or run is None:
        return None
    return Found(replace(cast(Any, found.measured), result=run), found.recorded)


def show(found: Found[WhyItStops], guess: Guess) -> None:
    """Everything that was found, in the order in which it is understood."""
    divergence = found.result.divergence
    verdict = judge(divergence)
    say(verdict.headline, "headline")
    show_provenance(found)
    if verdict.answer is not None:
        show_guess(guess, verdict.answer)
    for sentence in (verdict.before, *verdict.layer_0):
        say(sentence)
    show_divergence(divergence, key=f"{Pair(*found.result.pair).key}-{found.measured.date}")
    show_splice(found.result.splice)
    show_search()
    show_outcome(verdict.held, verdict.outcome)
    show_limits(LIMITS)
    offer_json(found, NAME)


main()
