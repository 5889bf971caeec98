"""What the learner sets on the ordering page: the order, what changes, and how it is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import streamlit as st

from prefix_engine.lessons.ordering import Orders
from prefix_engine.lessons.parts import Arrangement, Part, in_order, moved_to, prompts_of
from ui.lessons.parts import MOST_REQUESTS, MOVED, REQUESTS, ROUNDS, load_parts, opening
from ui.text import say

Way = Literal["forward", "back"]

ORDER = "parts-order"
_FOCUS = st.components.v2.component(
    "focus", js=(Path(__file__).parents[2] / "assets" / "focus.js").read_text(encoding="utf-8")
)


@dataclass(frozen=True)
class OrderingInputs:
    """An arrangement, which of its changing parts to move from front to back, and the rounds."""

    arrangement: Arrangement
    moved: str
    rounds: int

    def fits(self, orders: Orders) -> bool:
        """Whether a result is one of these inputs, in however many rounds."""
        return (orders.arrangement, orders.moved) == (self.arrangement, self.moved)


def ask_for_order() -> OrderingInputs | None:
    """Show the editors and return what they say; None, and why, where no part changes."""
    parts = load_parts()
    order = st.session_state.setdefault(ORDER, opening().order)
    left, right = st.columns([3, 2])
    with left:
        st.markdown("**The prompt, from front to back.** Tick what changes between requests.")
        changing = [part.id for at, part in enumerate(in_order(parts, order)) if _row(part, at)]
        _FOCUS(data=st.session_state.get("parts-moved", {"turn": 0}), key="focus")
    with right:
        arrangement = _ask_for_stream(order, frozenset(changing))
        rounds = st.slider("Rounds", 1, 3, ROUNDS, help="Each order is served this many times.")
        if not changing:
            st.info("Tick at least one part that changes. If none does, all repeat the first.")
            return None
        moved = _ask_for_moved([part for part in parts if part.id in changing])
    _show_prompt(parts, arrangement)
    return OrderingInputs(arrangement, moved, rounds)


def _row(part: Part, at: int) -> bool:
    """One part with its buttons; whether it changes."""
    with st.container(horizontal=True, vertical_alignment="center", key=f"part-{part.id}"):
        changes = st.checkbox(
            f"**{at + 1}. {part.title}**: {part.change}",
            value=part.id in opening().changing,
            key=f"changes-{part.id}",
            width="stretch",
        )
        with st.container(horizontal=True, width="content"):
            _move_button(part, "forward", at - 1)
            _move_button(part, "back", at + 1)
    return changes


def _move_button(part: Part, way: Way, place: int) -> None:
    st.button(
        f"Move {part.title} {way}",
        key=f"{way}-{part.id}",
        on_click=_move,
        args=[part.id, way, place],
        disabled=not 0 <= place < len(load_parts()),
    )


def _move(part: str, way: Way, place: int) -> None:
    st.session_state[ORDER] = moved_to(st.session_state[ORDER], part, place)
    turn = st.session_state.get("parts-moved", {"turn": 0})["turn"] + 1
    other = "back" if way == "forward" else "forward"
    # at either end the button that was pressed is disabled: then the other one
    keys = [f"{way}-{part}", f"{other}-{part}"]
    st.session_state["parts-moved"] = {"turn": turn, "keys": keys}


def _ask_for_stream(order: tuple[str, ...], changing: frozenset[str]) -> Arrangement:
    requests = st.slider("Requests", 2, MOST_REQUESTS, REQUESTS, key="ordering-requests")
    mode = st.segmented_control(
        "Send as",
        ["raw", "chat"],
        default="raw",
        required=True,
        key="ordering-mode",
        help="In chat mode all parts are one user message, inside the model's chat template.",
    )
    return Arrangement(order, changing, requests, chat=mode == "chat")


def _ask_for_moved(changing: list[Part]) -> str:
    titles = {part.id: part.title for part in changing}
    return st.selectbox(
        "Also move this part from front to back",
        list(titles),
        index=list(titles).index(MOVED) if MOVED in titles else 0,
        format_func=titles.__getitem__,
        help="One more pair of requests is measured for each place it can have.",
    )


def _show_prompt(parts: tuple[Part, ...], arrangement: Arrangement) -> None:
    with st.expander("Read the requests"):
        number = st.radio(
            "Request", range(1, arrangement.requests + 1), horizontal=True, key="ordering-read"
        )
        prompt = prompts_of(parts, arrangement)[number - 1]
        say(prompt if isinstance(prompt, str) else prompt[0].content, "reply", "ordering-prompt")
