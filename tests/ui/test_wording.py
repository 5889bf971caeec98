from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from prefix_engine.machine import describe_machine
from prefix_engine.model.info import Promise
from tests.tiny_engine import INFO
from ui.wording import PROMISES, SHORT_PROMISES, byte_count, milliseconds, who


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.00002, "20 µs"),
        (0.0123, "12.3 ms"),
        (0.09994, "99.9 ms"),
        (0.09996, "100 ms"),
        (1.2345, "1,234 ms"),
    ],
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


@pytest.mark.parametrize("promise", get_args(Promise))
def test_beside_every_figure_stands_what_is_promised_of_a_hit(promise: Promise) -> None:
    told = who(replace(INFO, exact=promise), describe_machine())
    assert SHORT_PROMISES[promise] in told
    others = set(SHORT_PROMISES) - {promise}
    assert not any(f"· {SHORT_PROMISES[other]} ·" in told for other in others)


def test_the_fast_mode_says_that_it_is_not_bit_identical() -> None:
    assert SHORT_PROMISES["fast"] == "fast, not bit-identical"
    assert PROMISES["fast"].startswith("Fast, not bit-identical")
