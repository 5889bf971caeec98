"""A result keeps its date, model and machine, as JSON and back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import pytest

from prefix_engine.measured import BadRecord, from_json, stamp, to_json
from tests.tiny_engine import tiny_engine


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Fact:
    name: str
    times_s: tuple[float, ...]
    colour: Colour
    maybe: int | None = None


FACT = Fact("a\u200bb <b>", (0.1, 1e-9), Colour.RED)


def test_a_record_comes_back_from_json_as_it_was() -> None:
    engine = tiny_engine()
    measured = stamp(engine, FACT)
    assert measured.model == engine.model.info
    back = from_json(to_json(measured), Fact)
    assert back == measured
    assert isinstance(back.result.colour, Colour)
    assert isinstance(back.result.times_s, tuple)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"date": "x"}', "null"])
def test_a_file_that_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(BadRecord, match="no record of a Fact"):
        from_json(text, Fact)


def test_the_refusal_says_where_the_file_goes_wrong() -> None:
    spoilt = to_json(replace(stamp(tiny_engine(), FACT))).replace('"red"', '"blue"')
    with pytest.raises(BadRecord, match=r"result\.colour"):
        from_json(spoilt, Fact)
