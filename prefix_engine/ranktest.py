"""The one-sided Mann-Whitney test, exact, ties included.

SciPy has this test, for 77 MB of resident memory; the small machines that this runs on have more
use for those. The tests hold it against SciPy's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb


@dataclass(frozen=True)
class RankTest:
    """Of `pairs` pairings of one sample with the other, `less` had the first one smaller (a tie
    counts a half); `p` is the chance of at least that many if both were of one distribution."""

    less: float
    pairs: int
    p: float


def chance_in_words(p: float) -> str:
    """`p = 0.034`; below one in ten thousand only that, for its digits say nothing more."""
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> RankTest:
    """Test whether `first` tends to be less than `second` (Mann and Whitney, 1947).

    Exact over all ways to deal the pooled values into samples of these sizes. Raises ValueError if
    a sample is empty.
    """
    if not first or not second:
        raise ValueError("both samples need at least one value")
    halves = sum(2 * (a < b) + (a == b) for a in first for b in second)
    dealt = _deal(sorted([*first, *second]), len(first))
    as_extreme = sum(ways for score, ways in dealt.items() if score >= halves)
    return RankTest(
        less=halves / 2,
        pairs=len(first) * len(second),
        p=as_extreme / comb(len(first) + len(second), len(first)),
    )


def _deal(pooled: Sequence[float], size: int) -> Counter[int]:
    """How many deals of `size` of the pooled values into `first` give each score.

    The score counts, in halves, the pairs in which the first value is less. Values come in runs of
    equals, in rising order: k of a run's n dealt to `first` win against all of `second` that come
    later and tie with the n - k beside them.
    """
    others = len(pooled) - size
    deals: dict[int, Counter[int]] = {0: Counter({0: 1})}
    seen = 0
    for run in Counter(pooled).values():
        following: dict[int, Counter[int]] = {}
        for taken, scores in deals.items():
            for k in range(min(run, size - taken) + 1):
                left = others - (seen - taken) - (run - k)
                if left < 0:
                    continue
                gain = k * (2 * left + (run - k))
                ways = comb(run, k)
                into = following.setdefault(taken + k, Counter())
                for score, count in scores.items():
                    into[score + gain] += count * ways
        deals = following
        seen += run
    return deals[size]
