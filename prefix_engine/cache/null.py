"""The cache that is switched off: same contract, nothing stored, nothing found."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from .base import (
    DEFAULT_NAMESPACE,
    CacheStats,
    Insert,
    Lease,
    PrefixCache,
    Segment,
    TakeKV,
)


class EmptyLease(Lease):
    """A lease of nothing."""

    @property
    def tokens(self) -> int:
        return 0

    @property
    def segments(self) -> tuple[Segment, ...]:
        return ()

    def release(self) -> None:
        """Nothing is held."""


class NullCache(PrefixCache):
    """Refuses every insertion and misses every lookup; the queries are counted all the same."""

    def __init__(self, block_size: int = 1) -> None:
        self.block_size = block_size
        self._query_tokens = 0
        self._lock = threading.Lock()

    def peek(self, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> int:
        return 0

    def match(self, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> Lease:
        with self._lock:
            self._query_tokens += len(ids)
        return EmptyLease()

    def pin(self, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> Lease:
        return EmptyLease()

    def insert(
        self, ids: Sequence[int], take: TakeKV, namespace: str = DEFAULT_NAMESPACE
    ) -> Insert:
        return Insert(stored=0, present=0, refused=len(ids) >= self.block_size)

    def evict(self, tokens: int) -> int:
        return 0

    def clear(self, namespace: str | None = None) -> int:
        return 0

    def lend(self, tokens: int) -> AbstractContextManager[None]:
        return nullcontext()

    def counting_twin(self) -> NullCache:
        return NullCache(self.block_size)

    @property
    def stats(self) -> CacheStats:
        return CacheStats(
            query_tokens=self._query_tokens,
            hit_tokens=0,
            stored_tokens=0,
            pinned_tokens=0,
            evictable_tokens=0,
            evicted_tokens=0,
            held_bytes=0,
            budget_bytes=0,
            budget_tokens=0,
            lent_tokens=0,
            namespaces=0,
        )

    def check_integrity(self) -> None:
        """Nothing is stored, so nothing can be wrong."""
