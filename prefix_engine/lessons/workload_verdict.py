"""A workload's run → what may be said of it, and what to guess about its next request."""

from __future__ import annotations

import statistics
from dataclasses import replace

from prefix_engine.lessons.served import Served, Stream, speed_kind
from prefix_engine.lessons.workloads import Workload
from prefix_engine.speed import SpeedKind

BIG_WIN = 2.0
"""How many times sooner the first token must come for a win to be called big."""


def first_requests(stream: Stream, count: int) -> Stream:
    """The stream as it was after so many requests."""
    return replace(stream, requests=stream.requests[:count])


def after(stream: Stream, shown: int) -> str:
    """What the cache has given up to the request that is shown last."""
    so_far, last = first_requests(stream, shown), stream.requests[shown - 1]
    place = f"Request {shown} of {len(stream.requests)} sends {last.tokens:,} tokens"
    if not last.reused:
        return f"{place}; none of them was in the cache, all were computed."
    return (
        f"{place}; {last.reused:,} of them came from the cache, {last.computed:,} were computed. "
        f"Hit rate so far: {so_far.hit_rate:.0%}."
    )


def times_sooner(stream: Stream) -> float | None:
    """How many times sooner the first token came with the cache: the median over the requests that
    reused anything and have a pair of undisturbed runs; None where there are none."""
    ratios = [
        one.cold_median_s / one.ttft_median_s
        for one in stream.requests
        if one.reused and one.has_sound_pair
    ]
    return statistics.median(ratios) if ratios else None


def outcome(workload: Workload, stream: Stream, busy: bool) -> tuple[bool | None, str]:
    """Whether the run bears out that these are big wins, and the figures that say so; None where
    the machine was `busy` throughout, or most runs were disturbed."""
    if busy:
        return None, (
            "The machine was busy with other work throughout, so no time here counts. Run it again "
            "when the machine is quiet."
        )
    kind, times = speed_kind(stream), times_sooner(stream)
    if kind is SpeedKind.TOO_FEW or times is None:
        return None, "There were too few undisturbed runs of requests that reuse. Run more rounds."
    told = (
        f"Shared: {workload.shared}. From the second request on the first token came "
        f"{times:.1f} times as soon as without the cache (median); from {BIG_WIN:g} times on a win "
        "is called big here."
    )
    if workload.grows:
        whole, later = _whole_previous(stream), len(stream.requests) - 1
        told += (
            f" In {whole} of {later} cases a request found the whole request before it in the "
            "cache, and computed only what came after."
        )
        return kind is SpeedKind.FASTER and times >= BIG_WIN and whole == later, told
    return kind is SpeedKind.FASTER and times >= BIG_WIN, told


def _whole_previous(stream: Stream) -> int:
    pairs = zip(stream.requests, stream.requests[1:], strict=False)
    return sum(later.reused == earlier.tokens for earlier, later in pairs)


def options(one: Served) -> tuple[str, ...]:
    """What the reuse of a request may be guessed to be: the truth among others, smallest first."""
    counts = {0, one.tokens // 2, one.reused, one.tokens - 1}
    return tuple(option(count, one) for count in sorted(counts))


def option(reused: int, one: Served) -> str:
    """One of `options`: the count in words."""
    named = {0: "none of them", one.tokens - 1: f"all but the last: {reused:,}"}
    return named.get(reused, f"{reused:,} of {one.tokens:,}")
