from __future__ import annotations

import pytest

from ui.wording import byte_count, milliseconds


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
