"""The parts that the ordering page offers, and how it begins."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from prefix_engine.lessons.parts import Arrangement, Part

PARTS = Path(__file__).parents[2] / "assets" / "parts.json"

MOVED = "id"
REQUESTS = 4
ROUNDS = 3
MOST_REQUESTS = 6


@cache
def load_parts() -> tuple[Part, ...]:
    """All parts in the order in which the page opens with them; the request id is in front."""
    read: dict[str, tuple[Part, ...]] = TypeAdapter(dict[str, tuple[Part, ...]]).validate_json(
        PARTS.read_bytes()
    )
    return read["parts"]


def opening() -> Arrangement:
    """What the page opens with, and what is recorded."""
    order = tuple(part.id for part in load_parts())
    return Arrangement(order, changing=frozenset({MOVED, "question"}), requests=REQUESTS)
