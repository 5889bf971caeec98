"""What the learner enters on the page of the tree: requests, a budget, a prompt to pin."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import streamlit as st

from prefix_engine.errors import PrefixEngineError
from prefix_engine.glyphs import quoted
from prefix_engine.lessons.growth import Growth
from prefix_engine.lessons.growth_verdict import NOTHING_GOES, request_name
from ui.text import say

MAX_REQUESTS = 10
LARGEST_BUDGET = 1024  # tokens: about 47 MB of the built-in model's KV in f32

_GUIDE = (
    "You are the travel guide of a harbour town. Answer in one short sentence, in plain words, and "
    "name one place only. Prices are in euros and include tax. Never promise a table, a bed or the "
    "weather: say where to ask. If the question is about something else, say so and stop. The "
    "visitor came by ferry this morning, travels without a car, and walks slowly. Today is a "
    "market day, so the old town is full until three o'clock. Question: "
)

DEFAULT_REQUESTS = (
    "Weather in SF today? What should I wear",
    "Weather in NYC today? What should I wear",
    "Weather in SF tomorrow?",
    "Weather in SF today? What should I wear",
    f"{_GUIDE}Where can I eat near the harbour?",
    f"{_GUIDE}Where can I sleep?",
    f"{_GUIDE}Where can I sleep? Close to the station, please.",
    "Weather in NYC today? What should I wear",
)
DEFAULT_BUDGET = 130


class TooManyRequests(PrefixEngineError):
    """More lines than the page can show as a tree."""


@dataclass(frozen=True)
class Plan:
    """The requests in order, the cache's budget in tokens, and the request to pin, from 1."""

    requests: tuple[str, ...]
    budget_tokens: int
    pinned: int | None

    @property
    def key(self) -> str:
        """Names the plan: another one gets a prediction and a playback of its own."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]

    @property
    def guesses(self) -> list[str]:
        """Whose KV may go first."""
        names = [request_name(number) for number in range(1, len(self.requests) + 1)]
        return [*names, NOTHING_GOES]


def plan_of(growth: Growth) -> Plan:
    """The plan that a result is of."""
    texts = tuple(request.text for request in growth.requests)
    return Plan(texts, growth.budget_tokens, growth.pinned)


def requests_in(text: str) -> tuple[str, ...]:
    """One request a line, empty lines left out. Raises `TooManyRequests`."""
    lines = tuple(line for line in text.splitlines() if line.strip())
    if len(lines) > MAX_REQUESTS:
        raise TooManyRequests(
            f"These are {len(lines)} requests; the page can show {MAX_REQUESTS}. Delete some lines."
        )
    return lines


def ask_for_plan(shown: Plan) -> Plan:
    """Show the editors, beginning with what is shown; returns what stands in them."""
    for key, value in (("requests", "\n".join(shown.requests)), ("budget", shown.budget_tokens)):
        st.session_state.setdefault(f"inside-{key}", value)
    st.session_state.setdefault("inside-pinned", shown.pinned or 0)
    numbered = st.container()
    with st.expander("Change the requests"):
        text = st.text_area("One request a line, in the order they come", key="inside-requests")
    requests = requests_in(text or "")
    with numbered:
        say("\n".join(f"{n}  {quoted(one, 88)}" for n, one in enumerate(requests, 1)), key="asked")
    left, right = st.columns(2)
    budget = left.number_input(
        "Budget: tokens that the cache may hold",
        min_value=8,
        max_value=LARGEST_BUDGET,
        step=10,
        key="inside-budget",
        help="A real server has room for many thousands; a small one shows what happens when full.",
    )
    choices = range(len(requests) + 1)
    if st.session_state["inside-pinned"] not in choices:
        st.session_state["inside-pinned"] = 0
    pinned = right.selectbox(
        "Pin: keep this request's KV, whatever else goes",
        choices,
        format_func=lambda number: request_name(number) if number else "none",
        key="inside-pinned",
    )
    return Plan(requests, int(budget), pinned or None)
