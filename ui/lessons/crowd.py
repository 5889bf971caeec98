"""What the users of the page "One user, many users" send."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import BaseModel

from prefix_engine.lessons.crowd import Material
from prefix_engine.lessons.parts import BETWEEN_PARTS, in_order
from ui.lessons.parts import load_parts

CROWD = Path(__file__).parents[2] / "assets" / "crowd.json"
SYSTEM_PARTS = ("system", "tools", "documents")

USERS = 4
MOST_USERS = 8
ROUNDS = 3
SCALE = (*range(1, 11), 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
"""The numbers of users that can be looked at; beyond the measured ones it is calculated."""


class _Texts(BaseModel):
    unrelated: tuple[str, ...]
    questions: tuple[str, ...]
    replies: tuple[str, ...]


@cache
def load_material() -> Material:
    """The railway's system prompt (with its tools and documents), questions, and other prompts."""
    texts = _Texts.model_validate_json(CROWD.read_bytes())
    system = BETWEEN_PARTS.join(part.texts[0] for part in in_order(load_parts(), SYSTEM_PARTS))
    return Material(system, texts.questions, texts.replies, texts.unrelated)
