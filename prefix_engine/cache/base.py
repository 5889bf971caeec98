"""The contract of a prefix cache: from leading tokens to the KV that was computed for them.

The identity of a cached piece is its namespace, every token before it, and its own tokens; so a
cache is asked with a whole prompt and answers with how much of its beginning is stored. Nothing in
this file or in `radix.py` needs torch: the index handles `Segment`s, whatever is inside them.

The shape of this contract (an abstract base with the rules in its docstrings, a null cache beside
the real one, `check_integrity`) follows mini-sglang's `kvcache/base.py`; the last-token rule is
that of vLLM's `KVCacheManager.get_computed_blocks`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType

DEFAULT_NAMESPACE = ""


class Segment(ABC):
    """What is stored for a run of consecutive tokens of one prompt. Never altered once stored."""

    @property
    @abstractmethod
    def tokens(self) -> int:
        """How many tokens this segment covers; at least 1."""

    @abstractmethod
    def split(self, at: int) -> tuple[Segment, Segment]:
        """The first `at` tokens and the rest, 0 < at < tokens, as views of the same storage."""

    @abstractmethod
    def compact(self) -> Segment:
        """The same content in storage of its own, exactly as large as its tokens need."""

    @property
    @abstractmethod
    def storage(self) -> Storage:
        """The storage this segment is a view of."""


class Storage(ABC):
    """A piece of memory that one or more segments are views of. Compared by identity."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes held as long as any view of it is stored."""


TakeKV = Callable[[int, int], Segment]
"""Copies the KV of the prompt's tokens [start, end) out of wherever it was computed.

The segment must be the only view of its storage and fill it. It must not call the cache.
"""


@dataclass(frozen=True)
class Insert:
    """What became of an insertion, in tokens. `stored + present` is what is findable now."""

    stored: int
    present: int
    refused: bool

    def __post_init__(self) -> None:
        assert self.stored >= 0 and self.present >= 0
        assert not (self.refused and self.stored)


@dataclass(frozen=True)
class CacheStats:
    """Counters since the cache was made, and what it holds now.

    `query_tokens` and `hit_tokens` count `match` calls only (vLLM's `prefix_cache_queries` and
    `prefix_cache_hits`); `evicted_tokens` does not count what was cleared;
    `stored_tokens = pinned_tokens + evictable_tokens`. A budget is None where there is no limit;
    `budget_tokens` is what a budget in bytes has room for, or a budget given in tokens, and
    `lent_tokens` of it are not there to be used now.
    """

    query_tokens: int
    hit_tokens: int
    stored_tokens: int
    pinned_tokens: int
    evictable_tokens: int
    evicted_tokens: int
    held_bytes: int
    budget_bytes: int | None
    budget_tokens: int | None
    lent_tokens: int
    namespaces: int


class Lease(ABC):
    """Stored leading tokens that can't be evicted until the lease is released.

    Use it as a context manager, or call `release`; releasing twice does nothing. Segments that were
    asked for before stay readable and unaltered after it, whatever becomes of the cache; whoever
    keeps them keeps their memory.
    """

    @property
    @abstractmethod
    def tokens(self) -> int:
        """How many leading tokens of the prompt the lease covers; a multiple of the block size."""

    @property
    @abstractmethod
    def segments(self) -> tuple[Segment, ...]:
        """The stored segments in prompt order; their token counts add up to `tokens`.

        Raises RuntimeError after the release.
        """

    @abstractmethod
    def release(self) -> None:
        """Let the tokens be evicted again, if no other lease covers them. Changes no age."""

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class PrefixCache(ABC):
    """Leading tokens → stored segments. All methods are safe to call from several threads.

    Only whole leading blocks of `block_size` tokens are stored and found.
    """

    block_size: int

    @abstractmethod
    def peek(self, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> int:
        """How many tokens `match` would find now. Changes nothing: no age, no statistics."""

    @abstractmethod
    def match(self, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> Lease:
        """Lease the longest stored prefix that a request of these tokens may reuse.

        At most `len(ids) - 1` tokens: the last one is always computed, its logits are what the
        request is for. With b = block_size, s = common leading tokens and n = len(ids), that is
        `b * min(s // b, (n - 1) // b)`. What is leased becomes the most recently used; what lies
        beyond it keeps its age. Counted in the statistics.
        """

    @abstractmethod
    def pin(self, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> Lease:
        """Lease all that is stored of these leading tokens, the last one too.

        Makes it the most recently used, as `match` does; not counted in the statistics.
        """

    @abstractmethod
    def insert(
        self, ids: Sequence[int], take: TakeKV, namespace: str = DEFAULT_NAMESPACE
    ) -> Insert:
        """Store the whole blocks of `ids` that are not stored yet, as the most recently used.

        `take(start, end)` is called once at most, for the missing tokens, after room was made.
        Where room for them can't be made without touching what is in use (or what is being
        inserted after), the insertion is refused and nothing has changed: no eviction, no age.
        If `take` raises, nothing is stored and the cache is whole; the room that was made for it
        stays made, and what it would have extended stays the most recently used. ValueError, with
        the same effect, if `take` gives anything but its own copy of the tokens asked for.
        """

    @abstractmethod
    def evict(self, tokens: int) -> int:
        """Free at least `tokens` tokens if that many are evictable, else all that are.

        Least recently used leaf first, never one that is leased. Returns the tokens freed.
        """

    @abstractmethod
    def clear(self, namespace: str | None = None) -> int:
        """Drop everything, or one namespace. Returns the tokens dropped.

        Raises `CacheInUse`, having dropped nothing, if any of it is leased.
        """

    @abstractmethod
    def lend(self, tokens: int) -> AbstractContextManager[None]:
        """Leave room for so many tokens to KV that is kept elsewhere, until the block ends.

        Evicts for it as an insertion does. At most half of the budget is lent at a time. Raises
        `NoRoomNow`, having evicted nothing, where that or what is in use does not allow it.
        """

    @abstractmethod
    def counting_twin(self) -> PrefixCache:
        """An empty cache of the same rules and limits, for segments that only count: what is in it
        tells what this one would keep of some requests if there were no others."""

    @property
    @abstractmethod
    def stats(self) -> CacheStats: ...

    @abstractmethod
    def check_integrity(self) -> None:
        """Raise AssertionError unless every invariant of the structure holds. Walks all of it."""
