from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from prefix_engine.lessons.sample_trace import REQUESTS, sample_trace
from prefix_engine.lessons.trace import Trace, TraceRequest, read_trace
from prefix_engine.lessons.trace_curve import (
    NEARLY_ALL,
    budgets,
    ceiling_sentence,
    draw_curve,
    large_enough,
)
from prefix_engine.watch import Watch


def trace_of(*requests: tuple[int, ...]) -> Trace:
    return Trace(tuple(TraceRequest(0, 512 * len(ids), 1, ids) for ids in requests))


SAMPLE = read_trace(sample_trace())


def test_sizes_double_up_to_one_with_room_for_every_block() -> None:
    assert budgets(trace_of(tuple(range(8)))) == (1, 2, 4, 8)
    assert budgets(SAMPLE)[-1] == SAMPLE.distinct_blocks
    assert len(budgets(SAMPLE)) == 11


def test_the_largest_cache_reaches_the_ceiling_and_none_exceeds_it() -> None:
    curve = draw_curve("sample", SAMPLE)
    assert curve.points[-1].hit_tokens == curve.ceiling.hit_tokens > 0
    assert all(point.hit_tokens <= curve.ceiling.hit_tokens for point in curve.points)
    assert [point.budget_blocks for point in curve.points] == list(budgets(SAMPLE))


def test_large_enough_is_the_smallest_that_finds_nearly_all() -> None:
    curve = draw_curve("sample", SAMPLE)
    enough = large_enough(curve)
    at = curve.points.index(enough)
    assert enough.hit_tokens >= NEARLY_ALL * curve.ceiling.hit_tokens
    assert curve.points[at - 1].hit_tokens < NEARLY_ALL * curve.ceiling.hit_tokens
    assert f"({enough.budget_blocks:,} blocks)" in ceiling_sentence(curve)


def test_a_trace_that_shares_nothing_is_told_so() -> None:
    curve = draw_curve("apart", trace_of((0, 1), (2, 3)))
    assert ceiling_sentence(curve).startswith("No cache helps here: no two of the 2 requests")


def test_each_size_has_a_turn_of_its_own_and_tells_how_far_it_is() -> None:
    turns, parts = 0, []

    @contextmanager
    def turn() -> Iterator[None]:
        nonlocal turns
        turns += 1
        yield

    curve = draw_curve("sample", SAMPLE, Watch(turn, tell=lambda part, what: parts.append(part)))
    assert turns == 1 + len(curve.points)
    assert parts == sorted(parts) and parts[0] >= 0 and parts[-1] < 1


def test_it_can_be_stopped_in_the_middle_of_a_size() -> None:
    class Stopped(Exception):
        pass

    def tell(part: float, what: str) -> None:
        if "request 512" in what:
            raise Stopped

    with pytest.raises(Stopped):
        draw_curve("sample", SAMPLE, Watch(tell=tell))


def test_the_sample_is_the_same_each_time_and_in_the_order_of_time() -> None:
    assert sample_trace() == sample_trace() != sample_trace(seed=1)
    assert len(SAMPLE.requests) == REQUESTS
    times = [request.timestamp for request in SAMPLE.requests]
    assert times == sorted(times)
