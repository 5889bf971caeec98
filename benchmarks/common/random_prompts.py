"""Prompts of random token ids that share beginnings as real ones do."""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence

VOCABULARY = 49_152
SYSTEM_PROMPTS, SYSTEM_TOKENS, OWN_TOKENS = 100, 500, 500

Ids = tuple[int, ...]


class Prompts:
    """Random prompts that share beginnings. Cut out of one long random text, whose integers they
    share, so that many fit into memory."""

    def __init__(self, seed: int = 0) -> None:
        dice = random.Random(seed)
        self._text = dice.choices(range(VOCABULARY), k=1_000_003)
        self._offset = 0
        self._systems = [self._cut(SYSTEM_TOKENS) for _ in range(SYSTEM_PROMPTS)]

    def next(self) -> Ids:
        """A prompt that was not given before."""
        own = self._cut(OWN_TOKENS)
        return self._systems[self._offset % SYSTEM_PROMPTS] + own

    def _cut(self, tokens: int) -> Ids:
        # a step that divides nothing: the places are all different for a million cuts
        self._offset = (self._offset + 7_919) % (len(self._text) - tokens)
        return tuple(self._text[self._offset : self._offset + tokens])


def fresh(ids: Sequence[int]) -> list[int]:
    """The same ids as integers of their own."""
    return array("q", ids).tolist()


def altered(ids: Sequence[int], at: int) -> list[int]:
    """The same ids with another one, that no prompt has, at that place."""
    other = fresh(ids)
    other[at] = VOCABULARY
    return other
