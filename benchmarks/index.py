"""What the prefix index costs by itself, without a model: `python -m benchmarks.index`.

Lookups against 10² to 10⁵ stored prompts of 1,000 tokens, lookups of prompts of 100 to 100,000
tokens, and evictions against the size of the tree. With `--trace FILE` (a Mooncake trace) also how
many requests a second the index takes and what it finds at several budgets; with
`--partial-last-block` by the counting that takes a trace's ids as they are.

The stored prompts are built like real ones: each begins with one of 100 system prompts of 500
tokens and goes on with 500 tokens of its own. Token ids are random; for KV only lengths are kept,
so 10⁵ prompts take about 0.6 GB. What is looked up has integer objects of its own, as it has when
it comes from a tokenizer: comparing is done by value.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.common.index_costs import (
    EvictionCost,
    IndexCosts,
    LimitCost,
    LookupCost,
    TraceCost,
    show,
)
from benchmarks.common.random_prompts import (
    OWN_TOKENS,
    SYSTEM_TOKENS,
    VOCABULARY,
    Ids,
    Prompts,
    altered,
    fresh,
)
from benchmarks.common.results import Spread, add_json_option, header, report, write
from prefix_engine.cache import RadixCache, count_tokens
from prefix_engine.errors import PrefixEngineError
from prefix_engine.lessons.trace import Eviction, Trace, read_trace, replay

NEW_TOKENS = 20
SIZES = (100, 1_000, 10_000, 100_000)
LENGTHS = (100, 1_000, 10_000, 100_000)
LOOKUPS = 400
EVICTIONS = 400
IN_USE = (0, 50)
BUDGETS = (1_000, 10_000, 30_000, 50_000, None)


def fill(cache: RadixCache, prompts: Prompts, count: int) -> list[Ids]:
    """Store so many prompts; returns up to 1,000 of them, from the first to the last."""
    sample = []
    for number in range(count):
        ids = prompts.next()
        cache.insert(ids, count_tokens)
        if number % max(count // 1_000, 1) == 0:
            sample.append(ids)
    return sample


def time_lookup(cache: RadixCache, ids: Sequence[int]) -> tuple[float, int]:
    """Seconds to lease and release, and the tokens found."""
    began = time.perf_counter()
    with cache.match(ids) as lease:
        found = lease.tokens
    return time.perf_counter() - began, found


def lookups_by_stored(sizes: Sequence[int]) -> list[LookupCost]:
    """Three kinds of lookups in a tree of each size, all taking turns: all of the prompt but its
    end is stored, a half is, nothing is."""
    new = [VOCABULARY + 1] * NEW_TOKENS
    kinds: dict[str, Callable[[Ids], list[int]]] = {
        "goes on after a stored prompt": lambda ids: fresh([*ids, *new]),
        "differs after its system prompt": lambda ids: altered([*ids, *new], SYSTEM_TOKENS),
        "differs at its first token": lambda ids: altered([*ids, *new], 0),
    }
    trees = {size: RadixCache() for size in sizes}
    stored = {size: fill(tree, Prompts(), size) for size, tree in trees.items()}
    times: dict[tuple[int, str], list[float]] = {
        (size, what): [] for size in sizes for what in kinds
    }
    found: dict[tuple[int, str], int] = {}
    dice = random.Random(2)
    for _ in range(LOOKUPS):
        for size, what in times:
            ids = kinds[what](dice.choice(stored[size]))
            seconds, found[size, what] = time_lookup(trees[size], ids)
            times[size, what].append(seconds)
    tokens = SYSTEM_TOKENS + OWN_TOKENS + NEW_TOKENS
    return [
        LookupCost(size, what, tokens, found[size, what], Spread.of(seconds))
        for (size, what), seconds in times.items()
    ]


def lookups_by_length() -> list[LookupCost]:
    """Prompts of several lengths, stored but for their last 20 tokens, beside 1,000 others."""
    cache, prompts, dice = RadixCache(), Prompts(), random.Random(1)
    fill(cache, prompts, 1_000)
    costs = []
    for length in LENGTHS:
        ids = dice.choices(range(VOCABULARY), k=length)
        cache.insert(ids[: length - NEW_TOKENS], count_tokens)
        trials = [time_lookup(cache, fresh(ids)) for _ in range(LOOKUPS // 4)]
        seconds = Spread.of([trial[0] for trial in trials])
        costs.append(LookupCost(1_001, "all but the end is stored", length, trials[0][1], seconds))
    return costs


def evictions(size: int, in_use: int) -> EvictionCost:
    """Evict and store in turn, so that the tree keeps its size; only the eviction is timed."""
    cache, prompts = RadixCache(), Prompts()
    leases = [cache.pin(ids) for ids in fill(cache, prompts, in_use)]
    fill(cache, prompts, size - in_use)
    times = []
    for _ in range(EVICTIONS):
        began = time.perf_counter()
        freed = cache.evict(OWN_TOKENS)
        times.append(time.perf_counter() - began)
        assert freed >= OWN_TOKENS
        while freed > 0:
            freed -= cache.insert(prompts.next(), count_tokens).stored
    for lease in leases:
        lease.release()
    return EvictionCost(size, in_use, Spread.of(times))


def stores_at_limit(size: int) -> LimitCost:
    """Every 100 prompts have a namespace, which may hold no more than them."""
    each, prompts = 100, Prompts()
    cache = RadixCache(namespace_tokens=each * (SYSTEM_TOKENS + OWN_TOKENS))
    for number in range(size):
        cache.insert(prompts.next(), count_tokens, str(number // each))
    for _ in range(2 * each):
        cache.insert(prompts.next(), count_tokens, "last")
    times = []
    for _ in range(EVICTIONS):
        ids = prompts.next()
        began = time.perf_counter()
        cache.insert(ids, count_tokens, "last")
        times.append(time.perf_counter() - began)
    assert cache.stats.evicted_tokens >= EVICTIONS * OWN_TOKENS
    return LimitCost(size, Spread.of(times))


def replay_trace(trace: Trace, partial_last_block: bool) -> list[TraceCost]:
    """Every budget with the project's tree and, for comparison, a flat list of blocks."""
    costs = []
    kinds: tuple[Eviction, ...] = ("leaf", "flat")
    for budget in BUDGETS:
        for eviction in kinds:
            began = time.perf_counter()
            made = replay(trace, budget, eviction=eviction, partial_last_block=partial_last_block)
            costs.append(TraceCost(made, len(trace.requests) / (time.perf_counter() - began)))
    return costs


def measure(sizes: Sequence[int], trace: Trace | None, partial: bool) -> IndexCosts:
    settings = [False, True] if partial else [False]
    return IndexCosts(
        by_stored=lookups_by_stored(sizes),
        by_length=lookups_by_length(),
        evictions=[evictions(size, in_use) for size in sizes for in_use in IN_USE],
        at_limit=[stores_at_limit(size) for size in sizes],
        trace=[cost for way in settings for cost in replay_trace(trace, way)] if trace else [],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.index", description=__doc__)
    parser.add_argument("--trace", type=Path, metavar="FILE", help="a Mooncake trace to replay")
    parser.add_argument(
        "--partial-last-block",
        action="store_true",
        help="replay also with the last block counted although it may not be full",
    )
    parser.add_argument(
        "--most-prompts", type=int, default=SIZES[-1], help="leave larger trees out"
    )
    add_json_option(parser)
    options = parser.parse_args(arguments)
    trace = None
    if options.trace:
        try:
            with options.trace.open("rb") as file:
                trace = read_trace(file)
        except (OSError, PrefixEngineError) as error:
            print(error, file=sys.stderr)
            return 1
    sizes = [size for size in SIZES if size <= max(options.most_prompts, SIZES[0])]
    made = report("index", measure(sizes, trace, options.partial_last_block))
    print(header(made))
    show(made.result)
    write(made, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
