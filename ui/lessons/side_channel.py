"""The question and answers of the side channel's lesson."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

QUESTIONS = Path(__file__).parents[2] / "assets" / "side_channel.json"
ROUNDS = 7


@dataclass(frozen=True)
class Shop:
    """A system prompt that all customers share, and what one of them asks."""

    system: str
    questions: tuple[str, ...]


def load_shop() -> Shop:
    """What stands in assets/side_channel.json."""
    data = json.loads(QUESTIONS.read_text(encoding="utf-8"))
    return Shop(data["system"], tuple(data["questions"]))
