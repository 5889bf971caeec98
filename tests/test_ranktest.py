from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from prefix_engine.ranktest import chance_in_words, mann_whitney

few_values = st.lists(st.integers(0, 4), min_size=1, max_size=5)


@st.composite
def distinct_samples(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    values = draw(st.lists(st.integers(-50, 50), min_size=2, max_size=14, unique=True))
    at = draw(st.integers(1, len(values) - 1))
    return [float(v) for v in values[:at]], [float(v) for v in values[at:]]


@given(distinct_samples())
def test_without_ties_it_is_scipys_exact_one_sided_test(
    samples: tuple[list[float], list[float]],
) -> None:
    first, second = samples
    theirs = mannwhitneyu(first, second, alternative="less", method="exact")
    ours = mann_whitney(first, second)
    assert ours.p == pytest.approx(theirs.pvalue)
    assert ours.pairs - ours.less == theirs.statistic  # theirs counts where the first is greater


def halves_won(first: list[int], second: list[int]) -> int:
    return sum(2 if a < b else 1 if a == b else 0 for a in first for b in second)


@given(few_values, few_values)
def test_with_ties_it_counts_every_way_to_deal_the_values(
    first: list[int], second: list[int]
) -> None:
    pooled = first + second
    deals = []
    for chosen in combinations(range(len(pooled)), len(first)):
        rest = [value for at, value in enumerate(pooled) if at not in chosen]
        deals.append(halves_won([pooled[at] for at in chosen], rest))
    seen = halves_won(first, second)
    test = mann_whitney(first, second)
    assert test.less == seen / 2
    assert test.pairs == len(first) * len(second)
    assert test.p == pytest.approx(sum(deal >= seen for deal in deals) / len(deals))


def test_five_against_five_all_less_is_one_deal_of_252() -> None:
    test = mann_whitney([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])
    assert (test.less, test.pairs) == (25, 25)
    assert test.p == pytest.approx(1 / 252)


def test_it_is_one_sided() -> None:
    assert mann_whitney([6, 7, 8, 9, 10], [1, 2, 3, 4, 5]).p == 1


@pytest.mark.parametrize(("first", "second"), [([], [1.0]), ([1.0], []), ([], [])])
def test_an_empty_sample_is_an_error(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one value"):
        mann_whitney(first, second)


@pytest.mark.parametrize(
    ("p", "words"),
    [(0.5, "p = 0.5"), (0.0312, "p = 0.031"), (1e-4, "p = 0.0001"), (1.1e-10, "p < 0.0001")],
)
def test_a_tiny_chance_is_told_without_an_exponent(p: float, words: str) -> None:
    assert chance_in_words(p) == words
