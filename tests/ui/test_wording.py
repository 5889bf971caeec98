from __future__ import annotations

from dataclasses import replace

import pytest

from prefix_engine.record import Exactness
from ui.wording import byte_count, exactness, milliseconds, small

EXACT = Exactness(5, True, 0.0, True, 0.0, True)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0123, "12.3 ms"), (0.09994, "99.9 ms"), (0.09996, "100 ms"), (1.2345, "1,234 ms")],
)
def test_milliseconds_have_three_figures_below_a_tenth_of_a_second(
    seconds: float, words: str
) -> None:
    assert milliseconds(seconds) == words


def test_no_time_is_a_dash() -> None:
    assert milliseconds(None) == "–"


def test_bytes_are_exact_and_megabytes_stand_beside_them() -> None:
    assert byte_count(46_080) == "46,080 B"
    assert byte_count(25_067_520) == "25,067,520 B (25.1 MB)"


def test_a_small_difference_needs_no_exponent() -> None:
    assert small(3.29e-05) == "0.00003"


def test_exact_is_said_only_of_equal_bits_in_kv_and_logits() -> None:
    assert exactness(EXACT).startswith("Exact: ")
    for other in (replace(EXACT, kv_equal=False), replace(EXACT, logits_equal=False)):
        assert exactness(other).startswith("Not the same bits")


def test_another_first_token_is_told() -> None:
    other = replace(EXACT, logits_equal=False, max_abs_logit_diff=0.1, same_first_token=False)
    assert "the first token is another one" in exactness(other)
