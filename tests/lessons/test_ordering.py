"""Parts, their orders, the suggestion, and orders measured on the tiny engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from prefix_engine.compare import State, common_prefix, reusable
from prefix_engine.lessons.ordering import Ordered, Orders, measure_orders, suggest, swapped
from prefix_engine.lessons.parts import (
    TEMPLATE,
    Arrangement,
    Part,
    moved_to,
    prompts_of,
    stretches_of,
    texts_of,
)
from prefix_engine.lessons.served import Served, ServedTrial, Stream
from prefix_engine.measured import from_json
from prefix_engine.speed import SpeedKind
from tests.tiny_engine import tiny_engine
from ui.lessons.parts import MOVED, load_parts, opening

if TYPE_CHECKING:
    from prefix_engine.tokenizer import Tokenizer

RECORDED = Path(__file__).parents[2] / "assets/recorded/put_novel_tokens_late.json"
PARTS = (
    Part("id", "Id", "new", ("#1 one", "#2 two", "#3 six", "#4 ten")),
    Part("rules", "Rules", "a word", ("Be kind.", "Be kinder.", "Be brief.", "Be calm.")),
    Part("leaflet", "Leaflet", "seldom", ("Lifts: all.", "Lifts: all.", "Dogs: no.", "Dogs: no.")),
    Part("question", "Question", "new", ("When?", "Who?", "How?", "Why?")),
)
ORDER = ("id", "rules", "leaflet", "question")


def arranged(*changing: str, requests: int = 4, chat: bool = False) -> Arrangement:
    return Arrangement(ORDER, frozenset(changing), requests, chat)


def reused(stream: Stream) -> list[int]:
    return [one.reused for one in stream.requests]


def test_a_part_that_does_not_change_says_the_same_in_all_requests() -> None:
    assert texts_of(PARTS[3], arranged()) == ("When?",) * 4
    assert texts_of(PARTS[3], arranged("question")) == ("When?", "Who?", "How?", "Why?")


def test_stable_parts_are_suggested_first() -> None:
    assert suggest(PARTS, arranged("id", "question")) == ("rules", "leaflet", "id", "question")


def test_of_changing_parts_the_seldomer_goes_first() -> None:
    assert suggest(PARTS, arranged("id", "leaflet", "question"))[1:3] == ("leaflet", "id")


def test_of_parts_that_change_as_often_the_longer_kept_beginning_goes_first() -> None:
    assert suggest(PARTS, arranged("id", "rules"))[1:3] == ("rules", "id")


def test_the_question_is_suggested_last_even_where_only_other_parts_change() -> None:
    assert suggest(PARTS, arranged("rules"))[-1] == "question"


def test_pairs_that_change_places_are_told_and_no_others() -> None:
    assert swapped(("a", "b", "c"), ("b", "c", "a")) == (("a", "b"), ("a", "c"))
    assert swapped(("a", "b"), ("a", "b")) == ()


def test_a_part_moves_and_the_others_keep_their_order() -> None:
    assert moved_to(("a", "b", "c"), "a", 2) == ("b", "c", "a")
    assert moved_to(("a", "b", "c"), "c", 0) == ("c", "a", "b")


@pytest.mark.parametrize("chat", [False, True])
def test_every_token_is_of_one_part_and_the_reused_ones_come_first(chat: bool) -> None:
    arrangement = arranged("rules", chat=chat)
    prompt = prompts_of(PARTS, arrangement)[1]
    tokenized = tiny_engine().tokenizer.tokenize(prompt)
    template = sum(token.part == "template" for token in tokenized.tokens)
    before = len("#1 one\n\nBe kind") + (len("<user\n") if chat else 0)
    stretches = stretches_of(PARTS, arrangement, 1, tokenized, reused=before)
    assert sum(one.tokens for one in stretches) == len(tokenized.tokens)
    assert sum(one.tokens for one in stretches if one.state is State.REUSED) == before
    assert sum(one.tokens for one in stretches if one.part == TEMPLATE) == template
    typed = [one for one in stretches if one.part != TEMPLATE]
    assert [(one.part, one.state) for one in typed] == [
        ("Id", State.REUSED),
        ("Rules", State.REUSED),
        ("Rules", State.DIFFERENT),
        ("Leaflet", State.SAME_RECOMPUTED),
        ("Question", State.SAME_RECOMPUTED),
    ]
    assert [one.tokens for one in typed[1:4]] == [
        len("\n\nBe kind"),
        len("er."),
        len("\n\nLifts: all."),
    ]


def test_all_of_the_first_request_is_new() -> None:
    arrangement = arranged("id")
    tokenized = tiny_engine().tokenizer.tokenize(prompts_of(PARTS, arrangement)[0])
    stretches = stretches_of(PARTS, arrangement, 0, tokenized, reused=0)
    assert {one.state for one in stretches} == {State.NEW}
    assert [one.part for one in stretches] == ["Id", "Rules", "Leaflet", "Question"]


def test_the_novel_part_is_measured_at_every_place_and_late_reuses_more() -> None:
    found = measure_orders(tiny_engine(), PARTS, arranged("id", "question"), "id", 1)
    # "#" is the one token before the first that differs
    assert reused(found.given.stream) == [0, 1, 1, 1]
    stable = len("Be kind.\n\nLifts: all.\n\n#")
    assert reused(found.suggested.stream) == [0, stable, stable, stable]
    second = [reused(place.stream)[1] for place in found.places]
    assert second == [1, len("Be kind.\n\n#"), stable, len("Be kind.\n\nLifts: all.\n\nWh")]


def test_every_place_is_measured_in_every_round() -> None:
    found = measure_orders(tiny_engine(), PARTS, arranged("id", requests=2), "id", 2)
    assert {len(place.stream.requests[1].trials) for place in found.places} == {2}


def test_no_order_finds_what_another_has_stored() -> None:
    engine = tiny_engine()
    found = measure_orders(engine, PARTS, arranged(), "id", 1)
    for ordered in (found.given, found.suggested, *found.places):
        assert reused(ordered.stream)[0] == 0
    assert engine.cache.stats.stored_tokens == 0


def test_too_few_times_allow_no_word_on_speed() -> None:
    found = measure_orders(tiny_engine(), PARTS, arranged("id", requests=2), "id", 1)
    assert found.speed.kind is SpeedKind.TOO_FEW


def test_each_run_in_the_suggested_order_is_held_against_the_same_one_in_the_given_order() -> None:
    def ordered(*requests: tuple[float, ...]) -> Ordered:
        """Requests with these times in the rounds; below zero: disturbed."""
        served = tuple(
            Served(
                "",
                "",
                9,
                1,
                1,
                tuple(
                    ServedTrial(n, 1, abs(t), 1.0, 1.0, 1.0, 0.0, ttft_disturbed=t < 0)
                    for n, t in enumerate(times, 1)
                ),
            )
            for times in ((9.0,) * len(requests[0]), *requests)
        )
        return Ordered((), Stream(served), ())

    # a short request and a long one: in a heap, the long one's times would hide what each gained
    given = ordered((1.0, 1.0, 1.0), (5.0, 5.0, 5.0))
    suggested = ordered((0.9, 0.9, -0.1), (4.9, 5.1, 4.9))
    orders = Orders(arranged("id"), "id", given, suggested, ())
    assert (orders.speed.wins, orders.speed.count) == (4, 5)
    assert orders.speed.p == pytest.approx(6 / 32)


def test_progress_rises_to_the_end() -> None:
    from prefix_engine.watch import Watch

    told: list[float] = []
    watch = Watch(tell=lambda part, what: told.append(part))
    measure_orders(tiny_engine(), PARTS, arranged("id", requests=2), "id", 1, watch)
    assert told == sorted(told)
    assert 0 <= told[0] < 0.1 and 0.9 < told[-1] <= 1


def test_the_parts_of_the_page_are_whole() -> None:
    parts = load_parts()
    assert {MOVED, "question"} <= {part.id for part in parts}
    assert len({part.title for part in parts}) == len(parts)
    for part in parts:
        assert len(part.texts) >= 6
        assert part.texts[0] != part.texts[1], f"{part.id} does not change at request 2"


def test_the_recording_is_of_todays_parts_and_tokens(tokenizer: Tokenizer) -> None:
    found = from_json(RECORDED.read_bytes(), Orders).result
    assert (found.arrangement, found.moved) == (opening(), MOVED)
    assert found.suggested.order == suggest(load_parts(), opening())
    for ordered in (found.given, found.suggested, *found.places):
        of_one = replace(opening(), order=ordered.order, requests=len(ordered.stream.requests))
        earlier: list[list[int]] = []
        prompts = prompts_of(load_parts(), of_one)
        for served, prompt in zip(ordered.stream.requests, prompts, strict=True):
            ids = tokenizer.encode(prompt)
            shared = max((common_prefix(ids, one) for one in earlier), default=0)
            assert (served.tokens, served.reused) == (len(ids), reusable(shared, len(ids)))
            earlier.append(ids)
