"""Segments that hold nothing but their length: to drive a cache without a model."""

from __future__ import annotations

from .base import Segment, Storage


class NoStorage(Storage):
    """Storage of no bytes."""

    @property
    def nbytes(self) -> int:
        return 0


class CountSegment(Segment):
    """A run of `tokens` tokens for which no KV is kept. Give its cache a budget in tokens."""

    def __init__(self, tokens: int, storage: NoStorage | None = None) -> None:
        self._tokens = tokens
        self._storage = storage or NoStorage()

    @property
    def tokens(self) -> int:
        return self._tokens

    @property
    def storage(self) -> NoStorage:
        return self._storage

    def split(self, at: int) -> tuple[CountSegment, CountSegment]:
        return CountSegment(at, self._storage), CountSegment(self._tokens - at, self._storage)

    def compact(self) -> CountSegment:
        return CountSegment(self._tokens)


def count_tokens(start: int, end: int) -> CountSegment:
    """The `take` of an insertion for which only the tokens count, not their KV."""
    return CountSegment(end - start)
