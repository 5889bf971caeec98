"""What `benchmarks/index.py` finds, and how it prints that."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.common.results import Spread
from prefix_engine.lessons.trace import BLOCK_TOKENS, Replay


@dataclass(frozen=True)
class LookupCost:
    """Leasing what is stored of a prompt of `tokens` tokens, of which `found` are."""

    stored_prompts: int
    what: str
    tokens: int
    found: int
    seconds: Spread


@dataclass(frozen=True)
class EvictionCost:
    """Evicting at least a prompt's own tokens; `prompts_in_use` of those stored are pinned, and
    older than all others."""

    stored_prompts: int
    prompts_in_use: int
    seconds: Spread


@dataclass(frozen=True)
class LimitCost:
    """Storing a prompt in a namespace that is at its limit, and so evicts one of its own; the
    prompts of other namespaces are older."""

    stored_prompts: int
    seconds: Spread


@dataclass(frozen=True)
class TraceCost:
    """One replay and how fast it was, lookup and insertion together."""

    replay: Replay
    requests_per_s: float


@dataclass(frozen=True)
class IndexCosts:
    by_stored: list[LookupCost]
    by_length: list[LookupCost]
    evictions: list[EvictionCost]
    at_limit: list[LimitCost]
    trace: list[TraceCost]


def show(costs: IndexCosts) -> None:
    print("\nA lookup, µs (quartiles), by what is stored:")
    for cost in costs.by_stored:
        _row(f"{cost.stored_prompts:>9,} prompts", f"{cost.what}, {cost.found:,}", cost.seconds)
    print("\nA lookup, µs (quartiles), by the prompt's length:")
    for cost in costs.by_length:
        _row(f"{cost.tokens:>9,} tokens", f"{cost.what}, {cost.found:,}", cost.seconds)
    print("\nAn eviction of at least 500 tokens, µs (quartiles):")
    for made in costs.evictions:
        _row(
            f"{made.stored_prompts:>9,} prompts",
            f"{made.prompts_in_use:,} of them in use",
            made.seconds,
        )
    print("\nStoring a prompt in a namespace at its limit, µs (quartiles):")
    for at_limit in costs.at_limit:
        _row(f"{at_limit.stored_prompts:>9,} prompts", "in other namespaces", at_limit.seconds)
    if costs.trace:
        print(f"\nReplay, one id for a block of {BLOCK_TOKENS} tokens:")
    for run in costs.trace:
        counted = "partial last block" if run.replay.partial_last_block else "whole blocks"
        budget = run.replay.budget_blocks
        limit = "no limit" if budget is None else f"{budget:,} blocks"
        print(
            f"{limit:>17}  {run.replay.eviction:5} {counted:19} {run.replay.hit_rate:7.2%} of "
            f"tokens  {run.requests_per_s:9,.0f} requests/s"
        )


def _row(place: str, what: str, seconds: Spread) -> None:
    low, median, high = (s * 1e6 for s in (seconds.low_s, seconds.median_s, seconds.high_s))
    print(f"{place}  {what:40} {median:9.1f}  ({low:.1f} to {high:.1f})")
