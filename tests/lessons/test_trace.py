from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain, count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefix_engine.errors import PrefixEngineError
from prefix_engine.lessons.trace import (
    BLOCK_TOKENS,
    BadTrace,
    Eviction,
    Limits,
    Trace,
    TraceRequest,
    ceiling,
    hit_curve,
    read_trace,
    replay,
)

B = BLOCK_TOKENS


def line(**changes: Any) -> str:
    fields = {"timestamp": 0, "input_length": 600, "output_length": 9, "hash_ids": [0, 1]}
    return json.dumps(fields | changes)


def trace_of(*requests: tuple[int, Sequence[int]]) -> Trace:
    """Requests as (input tokens, ids)."""
    return Trace(tuple(TraceRequest(0, length, 1, tuple(ids)) for length, ids in requests))


def test_a_trace_is_read_line_by_line() -> None:
    trace = read_trace([line(), b"\n", line(timestamp=2.5, input_length=B, hash_ids=[0]).encode()])
    assert trace.requests == (
        TraceRequest(0, 600, 9, (0, 1)),
        TraceRequest(2.5, B, 9, (0,)),
    )
    assert (trace.input_tokens, trace.block_references, trace.distinct_blocks) == (600 + B, 3, 2)


def test_fields_besides_the_four_are_left_alone() -> None:
    assert read_trace([line(extra={"of": "another"})]).requests[0].input_length == 600


@pytest.mark.parametrize(
    "wrong",
    [
        "{",
        "[]",
        "7",
        '{"timestamp": 0}',
        line(timestamp="0"),
        line(timestamp=-1),
        line(timestamp=None),
        line().replace('"timestamp": 0', '"timestamp": NaN'),
        line().replace('"timestamp": 0', '"timestamp": 1e999'),
        line(input_length=0, hash_ids=[]),
        line(input_length=600.5),
        line(input_length=True, hash_ids=[0]),
        line(input_length=10**9),
        line(output_length=-1),
        line(hash_ids=[0, 1.5]),
        line(hash_ids=[0, "1"]),
        line(hash_ids=[0, True]),
        line(hash_ids=[0, -1]),
        line(hash_ids=[0, 2**63]),
        line(hash_ids=[0]),
        line(hash_ids=[0, 1, 2]),
        line(hash_ids={"0": 1}),
        '{"a":' * 5000,
        "\ud800",
        b"\xff\xfe",
    ],
)
def test_a_line_that_is_no_request_is_named(wrong: str | bytes) -> None:
    with pytest.raises(BadTrace, match=r"^Line 3\b") as raised:
        read_trace([line(), line(), wrong])
    assert isinstance(raised.value, PrefixEngineError) and "\n" not in str(raised.value)


def test_a_trace_without_requests_is_refused() -> None:
    with pytest.raises(BadTrace, match="no requests"):
        read_trace(["", "  \n"])


def test_more_lines_than_allowed_are_refused_without_reading_on() -> None:
    endless: Iterator[str] = (line() for _ in count())
    with pytest.raises(BadTrace, match="more than 3 lines"):
        read_trace(endless, Limits(lines=3))
    with pytest.raises(BadTrace, match="more than 3 lines"):
        read_trace([line()] * 4, Limits(lines=3))
    assert len(read_trace([line()] * 3, Limits(lines=3)).requests) == 3


def test_a_line_longer_than_allowed_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(BadTrace, match="Line 2 is longer than 200 characters"):
        read_trace([line(), "[" * 201], Limits(line_characters=200))


def test_more_blocks_than_allowed_are_refused_without_reading_on() -> None:
    endless: Iterator[str] = (line() for _ in count())
    with pytest.raises(BadTrace, match="Up to line 3 the trace has more than 5 blocks"):
        read_trace(endless, Limits(blocks=5))


@pytest.mark.parametrize("eviction", ["leaf", "flat"])
def test_only_whole_shared_blocks_count_and_never_the_last_token(eviction: Eviction) -> None:
    trace = trace_of(
        (2 * B + 1, (0, 1, 2)),
        (2 * B + 1, (0, 1, 2)),  # the same again: the last block is not full
        (2 * B, (0, 1)),  # ends with a block: its last token is computed, so the block is
        (3 * B, (0, 8, 9)),
        (B, (7,)),
    )
    found = replay(trace, None, eviction=eviction)
    assert found.hit_tokens == 0 + 2 * B + B + B + 0
    assert (found.requests, found.requests_hit) == (5, 3)
    assert found.hit_rate == found.hit_tokens / (10 * B + 2)


@pytest.mark.parametrize("eviction", ["leaf", "flat"])
def test_a_block_that_is_not_full_takes_no_room(eviction: Eviction) -> None:
    trace = trace_of((B + 1, (0, 1)), (B + 1, (0, 2)))
    found = replay(trace, 1, eviction=eviction)
    assert (found.hit_tokens, found.requests_refused) == (B, 0)


@pytest.mark.parametrize("eviction", ["leaf", "flat"])
def test_with_the_partial_last_block_all_but_the_last_token_count(eviction: Eviction) -> None:
    trace = trace_of((2 * B + 9, (0, 1, 2)), (2 * B + 9, (0, 1, 2)), (2 * B, (0, 1)))
    found = replay(trace, None, eviction=eviction, partial_last_block=True)
    assert found.hit_tokens == (2 * B + 8) + (2 * B - 1)


@pytest.mark.parametrize("eviction", ["leaf", "flat"])
def test_a_block_after_another_beginning_is_not_shared(eviction: Eviction) -> None:
    trace = trace_of((3 * B, (0, 1, 2)), (3 * B, (5, 1, 2)))
    assert replay(trace, None, eviction=eviction, partial_last_block=True).hit_tokens == 0


@pytest.mark.parametrize("eviction", ["leaf", "flat"])
def test_the_least_recently_used_goes_first(eviction: Eviction) -> None:
    once = [(B, (i,)) for i in (1, 2, 1, 3)]
    kept = replay(trace_of(*once, (B, (1,))), 2, eviction=eviction, partial_last_block=True)
    lost = replay(trace_of(*once, (B, (2,))), 2, eviction=eviction, partial_last_block=True)
    assert (kept.requests_hit, lost.requests_hit) == (2, 1)


def test_a_flat_list_loses_a_run_from_its_end() -> None:
    trace = trace_of((3 * B, (0, 1, 2)), (2 * B, (8, 9)), (3 * B, (0, 1, 2)))
    found = replay(trace, 4, eviction="flat", partial_last_block=True)
    assert found.hit_tokens == 2 * B
    # the tree evicts whole leaves
    assert replay(trace, 4, partial_last_block=True).hit_tokens == 0


def test_what_is_larger_than_the_budget_is_refused_by_the_tree() -> None:
    trace = trace_of((B, (7,)), (3 * B, (0, 1, 2)), (B, (7,)))
    found = replay(trace, 2, partial_last_block=True)
    assert found.requests_refused == 1 and found.hit_tokens == B - 1


def traces() -> st.SearchStrategy[Trace]:
    """Streams of prompts that share beginnings: a block's id is all it comes after and itself."""

    def trace(prompts: list[tuple[list[int], int]]) -> Trace:
        requests = []
        for letters, missing in prompts:
            ids = [int("1" + "".join(map(str, letters[: i + 1]))) for i in range(len(letters))]
            requests.append((len(ids) * B - missing, ids))
        return trace_of(*requests)

    letters = st.lists(st.integers(0, 2), min_size=1, max_size=5)
    prompts = st.lists(st.tuples(letters, st.integers(0, B - 1)), min_size=1, max_size=30)
    return prompts.map(trace)


@given(traces(), st.booleans())
def test_without_a_limit_tree_and_list_reach_the_ceiling(trace: Trace, partial: bool) -> None:
    most = ceiling(trace, partial_last_block=partial)
    listed = replay(trace, None, eviction="flat", partial_last_block=partial)
    assert most.hit_tokens == listed.hit_tokens
    roomy = replay(trace, trace.distinct_blocks, partial_last_block=partial)
    assert roomy.hit_tokens == most.hit_tokens


@given(traces(), st.integers(0, 12), st.booleans())
def test_no_budget_beats_the_ceiling(trace: Trace, budget: int, partial: bool) -> None:
    most = ceiling(trace, partial_last_block=partial)
    for eviction in ("leaf", "flat"):
        found = replay(trace, budget, eviction=eviction, partial_last_block=partial)
        assert found.hit_tokens <= most.hit_tokens


def test_a_curve_replays_a_budget_only_when_it_is_asked_for() -> None:
    asked: list[int | None] = []

    def budgets() -> Iterator[int | None]:
        for budget in chain([0, 1], count(2), [None]):
            asked.append(budget)
            yield budget

    trace = trace_of((B, (0,)), (B, (0,)))
    curve = hit_curve(trace, budgets(), partial_last_block=True)
    assert [next(curve).hit_tokens, next(curve).hit_tokens] == [0, B - 1]
    assert asked == [0, 1]


def test_a_replay_tells_how_far_it_is_and_can_be_stopped() -> None:
    trace = trace_of(*[(B, (i,)) for i in range(600)])
    heard: list[tuple[int, int]] = []

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        heard.append((done, total))
        if done:
            raise Stop

    with pytest.raises(Stop):
        replay(trace, None, on_step=stop)
    assert heard[0] == (0, 600) and 0 < heard[1][0] < 600 and len(heard) == 2
