"""Where it pays: four workloads served with the prefix cache and without; a trace replayed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from prefix_engine.errors import PrefixEngineError
from prefix_engine.lessons.workload_verdict import options
from prefix_engine.lessons.workloads import Workload, WorkloadRun, load_workloads, run_workload
from ui.chapter import (
    ask_to_predict,
    measure,
    open_page,
    run_button,
    say_it_waits,
)
from ui.lessons.trace_replay import show_trace
from ui.lessons.workload_player import SLIDER_WIDTH, reveal_all, show_requests, show_run
from ui.lessons.workload_runs import find_run, keep_run
from ui.text import complain, say

if TYPE_CHECKING:
    from prefix_engine.engine import Engine
    from prefix_engine.watch import Watch

QUOTATION = (
    "Big wins when a long prefix is shared across requests: long system prompts (agents, chatbots, "
    "tool calls), RAG / retrieved documents, and shared code context. Multi-turn chat reuses the "
    "whole conversation so far on every turn."
)
INTRO = (
    "A **workload** is a stream of requests, one after the other. Here are four of the kind that "
    "the sentence names. Each request is served twice: with the **prefix cache**, which keeps the "
    "keys and values of earlier requests, and without it. What counts is the **time to first "
    "token** (TTFT): how long one waits until the answer begins."
)


def main() -> None:
    engine = open_page("Where it pays", QUOTATION, INTRO)
    try:
        serve_workload(engine)
        show_trace()
    except PrefixEngineError as error:
        complain(str(error))


def serve_workload(engine: Engine | None) -> None:
    """Choose a workload, guess at its second request, then see request after request."""
    workloads = load_workloads()
    name = st.radio(
        "Workload",
        list(workloads),
        format_func=lambda one: workloads[one].title,
        horizontal=True,
        key="workload",
    )
    workload = workloads[name]
    say(workload.sends, key="sends")
    show_requests(workload)
    rounds = st.slider("Rounds, when you run it", 1, 5, 2, key="rounds", width=SLIDER_WIDTH)
    found = find_run(name, workload)
    guess = None
    if found is not None:
        first, second = found.result.stream.requests[:2]
        guess = ask_to_predict(
            f"workload-{name}",
            f"The first request sends {first.tokens:,} tokens and is computed whole. "
            f"The second one sends {second.tokens:,}. How many of them come from the cache?",
            options(second),
        )
    if run_button(engine) and engine is not None:
        keep_run(measure(partial(run_here, engine, name, workload, rounds), engine))
        reveal_all(name, workload)
        st.rerun()
    if found is None:
        st.info("This workload was not run yet: run it here.")
    elif guess is not None or not found.recorded:
        show_run(name, workload, found, guess)
    else:
        say_it_waits(found)


def run_here(
    engine: Engine, name: str, workload: Workload, rounds: int, watch: Watch
) -> WorkloadRun:
    return run_workload(engine, name, workload, rounds, watch)


main()
