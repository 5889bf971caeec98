"""What is said of measured orders: warnings for every swap, advice, runs, and the outcome."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from prefix_engine.lessons.ordering import Ordered, Orders, measure_orders
from prefix_engine.lessons.parts import Part
from prefix_engine.lessons.served import Stream
from tests.tiny_engine import tiny_engine
from ui.lessons.ordering_chart import places_chart, ttft_chart
from ui.lessons.ordering_words import (
    MEANING,
    UNKNOWN_MEANING,
    meaning_changes,
    outcome,
    places_in_words,
    reasons,
    speed_in_words,
)
from ui.lessons.parts import load_parts, opening

PARTS = (
    Part("id", "Request id", "new", ("#1 one", "#2 two")),
    Part("system", "System prompt", "a word", ("Be kind.", "Be kinder.")),
    Part("question", "Question", "new", ("When?", "Who?")),
)
TITLES = {part.id: part.title for part in PARTS}


def turned(*given: str) -> Orders:
    """An order of which the suggestion is the reverse; nothing is measured."""
    arrangement = replace(opening(), order=given)
    first, second = (Ordered(order, Stream(()), ()) for order in (given, given[::-1]))
    return Orders(arrangement, given[0], first, second, ())


@pytest.fixture(scope="module")
def orders() -> Orders:
    order = tuple(TITLES)
    arrangement = replace(opening(), order=order, changing=frozenset({"id"}), requests=2)
    return measure_orders(tiny_engine(), PARTS, arrangement, "id", 3)


@pytest.mark.parametrize("pair", list(combinations([part.id for part in load_parts()], 2)))
def test_every_pair_of_parts_that_can_swap_has_a_warning_of_its_own(pair: tuple[str, str]) -> None:
    titles = {part.id: part.title for part in load_parts()}
    (warning,) = meaning_changes(turned(*pair), titles)
    assert UNKNOWN_MEANING not in warning
    assert titles["id" if "id" in pair else pair[1]] in warning
    assert (frozenset(pair) in MEANING) is ("id" not in pair)


def test_a_part_that_nobody_wrote_about_is_warned_of_all_the_same() -> None:
    titles = {"weather": "Weather", "question": "Question"}
    (warning,) = meaning_changes(turned("weather", "question"), titles)
    assert warning == f"**Question** now stands before **Weather**. {UNKNOWN_MEANING}"


def test_shuffled_tools_are_advised_a_fixed_order_and_stable_ones_are_not() -> None:
    def tools(changing: frozenset[str]) -> str:
        lines = reasons(load_parts(), replace(opening(), changing=changing))
        return next(line for line in lines if line.startswith("**Tools**"))

    assert "one fixed order" in tools(frozenset({"tools"}))
    assert "fixed order" not in tools(frozenset({"id"}))


def test_the_runs_are_counted_where_their_times_are_told(orders: Orders) -> None:
    assert "3 runs at each place" in places_in_words(orders)
    assert "3 runs of each request" in speed_in_words(orders)


def test_every_run_is_a_dot_and_a_row(orders: Orders) -> None:
    places = places_chart(orders, TITLES)
    assert places.table.iloc[:4]["run"].tolist() == ["1", "2", "3", "median"]
    dots = sum(
        len(trace.x)
        for trace in places.figure.data
        if trace.type == "scatter" and not trace.name.endswith("median")
    )
    assert dots == 2 * 3 * len(orders.places)
    times = ttft_chart(orders).table
    assert len(times) == 2 * orders.arrangement.requests * 4


def with_reuse(ordered: Ordered, *reused: int) -> Ordered:
    """The same requests, of which so many tokens came from the cache."""
    served = ordered.stream.requests
    requests = [replace(one, reused=n, shared=n) for one, n in zip(served, reused, strict=False)]
    return replace(ordered, stream=replace(ordered.stream, requests=tuple(requests)))


@pytest.mark.parametrize(
    ("at_back", "suggested", "held", "why"),
    [
        (1, 20, True, "reuse 20 tokens in place of 1"),
        (1, 1, None, "Choose that one to be moved"),
        (0, 20, False, ""),
        (9, 20, True, "at the back 9"),
    ],
)
def test_where_another_part_cuts_first_the_suggested_order_tells(
    orders: Orders, at_back: int, suggested: int, held: bool | None, why: str
) -> None:
    found = replace(
        orders,
        given=with_reuse(orders.given, 0, 1),
        suggested=with_reuse(orders.suggested, 0, suggested),
        places=(with_reuse(orders.places[0], 0, 1), with_reuse(orders.places[-1], 0, at_back)),
    )
    verdict, told = outcome(found, TITLES)
    assert verdict is held
    assert why in told


def test_the_outcome_tells_whose_the_reused_tokens_are(orders: Orders) -> None:
    held, told = outcome(orders, TITLES)
    assert held
    assert told.startswith("With the request id in front, request 2 reused 1 of 23 tokens, none of")
    assert "the system prompt whole among them" in told
