"""The cache that is switched off answers like one, and counts what it was asked."""

from __future__ import annotations

from prefix_engine.cache import NullCache, Segment


def never(start: int, end: int) -> Segment:
    raise AssertionError("nothing may be taken")


def test_nothing_is_stored_and_nothing_found() -> None:
    cache = NullCache()
    result = cache.insert([1, 2, 3], never)
    assert (result.stored, result.present, result.refused) == (0, 0, True)
    assert cache.peek([1, 2, 3]) == 0
    with cache.match([1, 2, 3]) as lease, cache.pin([1, 2, 3]) as pin:
        assert (lease.tokens, lease.segments, pin.tokens) == (0, (), 0)
    assert (cache.evict(5), cache.clear(), cache.clear("a")) == (0, 0, 0)


def test_where_there_is_nothing_to_store_nothing_is_refused() -> None:
    assert not NullCache(block_size=4).insert([1, 2, 3], never).refused


def test_queries_are_counted_and_hits_are_none() -> None:
    cache = NullCache()
    cache.match([1, 2, 3]).release()
    cache.match([1, 2]).release()
    cache.peek([1, 2])
    stats = cache.stats
    assert (stats.query_tokens, stats.hit_tokens) == (5, 0)
    assert (stats.stored_tokens, stats.held_bytes, stats.budget_bytes) == (0, 0, 0)
    cache.check_integrity()


def test_it_lends_whatever_is_asked_for_and_its_twin_keeps_nothing_either() -> None:
    cache = NullCache(block_size=4)
    with cache.lend(10**9):
        assert cache.stats.lent_tokens == 0
    twin = cache.counting_twin()
    assert twin.block_size == 4
    assert twin.insert(range(8), never).refused
