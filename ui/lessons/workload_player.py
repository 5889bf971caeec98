"""A workload on the page: what it sends, and its run revealed request after request."""

from __future__ import annotations

import streamlit as st

from prefix_engine.lessons.served import Stream, reuse_sentence, speed_sentence
from prefix_engine.lessons.workload_verdict import after, first_requests, option, options, outcome
from prefix_engine.lessons.workloads import Workload, WorkloadRun
from ui.chapter import (
    Found,
    Guess,
    offer_json,
    show_chart,
    show_guess,
    show_limits,
    show_outcome,
    show_provenance,
)
from ui.lessons.workload_chart import saved_chart, seconds, times_chart, tokens_chart
from ui.text import page_theme, say

SLIDER_WIDTH = 420
LIMITS = (
    "One small model on one processor, one request at a time. A larger model saves more seconds by "
    "the same hit, since its prefill costs more.",
    "The replies in these conversations are written down beforehand, not generated. A server also "
    "keeps the KV of what it generates, so that its next turn would compute less still.",
    "The cache was empty before the first request and had room for all. A busy server has to drop "
    "prefixes, see the trace below.",
    "Four workloads, chosen because they share. Requests with nothing in common gain nothing.",
    "Storing new KV comes after the first token and is not in these times.",
)


def reveal_all(name: str, workload: Workload) -> None:
    """Begin with all requests shown: the learner has just seen them run."""
    st.session_state[f"shown-{name}"] = len(workload.turns)


def show_requests(workload: Workload) -> None:
    """What the requests hold, to be read as plain text."""
    with st.expander(f"Read the {len(workload.turns)} requests"):
        names = [turn.name for turn in workload.turns]
        chosen = names.index(st.selectbox("Request", names, key="read"))
        for number, message in enumerate(workload.prompts[chosen]):
            st.caption(message.role)
            say(message.content, "reply", key=f"message-{number}")


def show_run(name: str, workload: Workload, found: Found[WorkloadRun], guess: Guess | None) -> None:
    """The run so far as it was revealed, what follows from all of it once it is, and its limits."""
    stream = found.result.stream
    busy = stream.was_busy(found.measured.machine.threads)
    shown = play(name, workload, stream, guess)
    show_figures(first_requests(stream, shown), busy)
    for column, chart, key in zip(
        st.columns(2),
        (tokens_chart(stream, shown, page_theme()), times_chart(stream, shown, page_theme())),
        ("tokens", "times"),
        strict=True,
    ):
        with column:
            show_chart(chart, key)
    st.caption(
        "Left: what each prompt is made of. Right: every dot is one run, every bar a median; "
        "× is a run that the machine disturbed, left out of the median unless all were."
    )
    show_provenance(found)
    if busy:
        st.warning("The machine was busy with other work throughout: these times say little.")
    if shown == len(stream.requests):
        show_whole(workload, stream, busy)
    else:
        st.caption("Once all requests are shown, the run is held against the sentence above.")
    show_limits(LIMITS)
    offer_json(found, f"where_it_pays_{name}")


def play(name: str, workload: Workload, stream: Stream, guess: Guess | None) -> int:
    """What happened up to the request shown last, and the way to the next; returns its number."""
    key, last = f"shown-{name}", len(stream.requests)
    shown: int = st.session_state.setdefault(key, 2)
    say(after(stream, shown), "headline")
    if shown == 2 and guess is not None:
        show_guess(guess, option(stream.requests[1].reused, stream.requests[1]))
    show_last_guess(name, stream, shown)
    if shown < last:
        ask_for_next(name, workload, stream, shown)
    st.slider("Requests shown", 1, last, key=key, width=SLIDER_WIDTH)
    return shown


def ask_for_next(name: str, workload: Workload, stream: Stream, shown: int) -> None:
    """Guess the reuse of the request after the one shown last, or just go on."""
    following = stream.requests[shown]
    key = f"next-{name}-{shown}"

    def go(to: int) -> None:
        st.session_state[f"shown-{name}"] = to
        st.session_state[f"guessed-{name}"] = shown, st.session_state.get(key)

    with st.container(border=True):
        say(f"Next is request {following.name}. It adds: {quoted(workload, shown)}", key="next")
        st.radio(
            f"It sends {following.tokens:,} tokens, the one before sent "
            f"{stream.requests[shown - 1].tokens:,}. How many come from the cache?",
            options(following),
            index=None,
            key=key,
        )
        with st.container(horizontal=True):
            st.button("Next request", on_click=go, args=[shown + 1])
            st.button("Show all", on_click=go, args=[len(stream.requests)])


def quoted(workload: Workload, at: int) -> str:
    text = " ".join(workload.turns[at].user.split())
    return text if len(text) <= 160 else f"{text[:159]}…"


def show_last_guess(name: str, stream: Stream, shown: int) -> None:
    """The guess at the request shown last, if one was made on the way here."""
    at, answer = st.session_state.get(f"guessed-{name}", (None, None))
    if answer is not None and at == shown - 1:
        show_guess(Guess(answer), option(stream.requests[at].reused, stream.requests[at]))


def show_figures(so_far: Stream, busy: bool) -> None:
    disturbed = busy or not all(one.has_sound_medians for one in so_far.requests)
    with st.container(horizontal=True):
        st.metric("Hit rate so far", f"{so_far.hit_rate:.0%}", border=True)
        st.metric(
            "Tokens computed so far", f"{so_far.prefilled:,} of {so_far.tokens:,}", border=True
        )
        st.metric(
            f"Time saved so far{' (disturbed)' if disturbed else ''}",
            seconds(so_far.saved_s[-1]),
            border=True,
        )


def show_whole(workload: Workload, stream: Stream, busy: bool) -> None:
    """The whole stream: in a sentence, the savings adding up, and what that says."""
    st.header("All requests together")
    say(reuse_sentence(stream), key="reuse")
    say(speed_sentence(stream, busy), key="speed")
    show_chart(saved_chart(stream, page_theme()), "saved")
    show_outcome(*outcome(workload, stream, busy))
