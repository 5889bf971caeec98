"""What is asked of every runtime: hold a prefix, then answer a prompt that goes on after it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


class PeerMissing(Exception):
    """This runtime can't be measured here; the message says why."""


@dataclass(frozen=True)
class Answer:
    """Seconds from the token ids in hand to the first token id out, and that id."""

    seconds: float
    first_id: int


class Peer(ABC):
    """A runtime with one or more settings, each at its best.

    Making one may raise `PeerMissing`.
    """

    settings: tuple[str, ...]
    """Names, as they stand in the results."""

    def exact(self) -> str | None:
        """What is promised of a hit (`ModelInfo.exact`); None where nothing is."""
        return None

    @abstractmethod
    def hold(self, setting: str, ids: Sequence[int]) -> None:
        """Have the KV of exactly these tokens ready for reuse; not timed. None for no tokens."""

    @abstractmethod
    def answer(self, setting: str, ids: Sequence[int]) -> Answer:
        """Answer a prompt that begins with what is held and goes on by at least a token.

        What is held is the same afterwards; putting that right is not timed.
        """
