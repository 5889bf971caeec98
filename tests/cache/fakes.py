"""A cache to test: what is stored for a token is the identity that token should have."""

from __future__ import annotations

from collections.abc import Sequence

from prefix_engine.cache import DEFAULT_NAMESPACE, Lease, PrefixCache, Segment, Storage, TakeKV

BYTES_PER_TOKEN = 10

Identity = tuple[str, tuple[int, ...]]


class ListStorage(Storage):
    def __init__(self, items: list[Identity]) -> None:
        self.items = items

    @property
    def nbytes(self) -> int:
        return BYTES_PER_TOKEN * len(self.items)


class ListSegment(Segment):
    def __init__(self, storage: ListStorage, start: int, end: int) -> None:
        self._storage, self._start, self._end = storage, start, end

    @staticmethod
    def of(items: list[Identity]) -> ListSegment:
        return ListSegment(ListStorage(items), 0, len(items))

    @property
    def tokens(self) -> int:
        return self._end - self._start

    @property
    def storage(self) -> ListStorage:
        return self._storage

    @property
    def items(self) -> list[Identity]:
        return self._storage.items[self._start : self._end]

    def split(self, at: int) -> tuple[ListSegment, ListSegment]:
        middle = self._start + at
        return (
            ListSegment(self._storage, self._start, middle),
            ListSegment(self._storage, middle, self._end),
        )

    def compact(self) -> ListSegment:
        return ListSegment.of(self.items)


def identities(ids: Sequence[int], namespace: str, start: int, end: int) -> list[Identity]:
    """Namespace, every token before, and the token itself: what a stored token is known by."""
    return [(namespace, tuple(ids[: place + 1])) for place in range(start, end)]


def taking(ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> TakeKV:
    return lambda start, end: ListSegment.of(identities(ids, namespace, start, end))


def store(cache: PrefixCache, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> None:
    result = cache.insert(ids, taking(ids, namespace), namespace)
    assert not result.refused


def stored(cache: PrefixCache, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> int:
    """How many leading tokens are stored, the last one too; looks only, changes no age."""
    return cache.peek([*ids, -1] + [-1] * cache.block_size, namespace)


def contents(lease: Lease) -> list[Identity]:
    items: list[Identity] = []
    for segment in lease.segments:
        assert isinstance(segment, ListSegment)
        items += segment.items
    return items
