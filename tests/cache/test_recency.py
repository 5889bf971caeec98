from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from prefix_engine.cache import RadixCache, count_tokens
from prefix_engine.cache.tree import Node


class Watched(OrderedDict[Node, None]):
    """Counts the nodes that anybody looks at one after another."""

    looked_at = 0

    def __iter__(self) -> Iterator[Node]:
        for node in super().__iter__():
            self.looked_at += 1
            yield node


def store(cache: RadixCache, first: int, namespace: str = "") -> None:
    assert cache.insert([first, 0, 0], count_tokens, namespace).stored


def watch(cache: RadixCache) -> Watched:
    watched = Watched(cache._recency._order)
    cache._recency._order = watched
    return watched


def test_an_eviction_looks_at_what_it_evicts_and_no_further() -> None:
    cache = RadixCache(budget_tokens=3 * 500)
    for first in range(500):
        store(cache, first)
    order = watch(cache)
    store(cache, 500)
    assert cache.stats.evicted_tokens == 3
    assert order.looked_at <= 2


def test_a_namespace_at_its_limit_does_not_look_through_the_others() -> None:
    cache = RadixCache(namespace_tokens=3 * 5)
    for first in range(500):
        store(cache, first, f"other {first // 5}")
    for first in range(5):
        store(cache, first, "last")
    order = watch(cache)
    store(cache, 5, "last")
    assert cache.stats.evicted_tokens == 3
    assert order.looked_at <= 2


def test_what_was_touched_last_in_a_namespace_is_evicted_last() -> None:
    cache = RadixCache(namespace_tokens=9)
    for first in (1, 2, 3):
        store(cache, first, "his")
        store(cache, first, "hers")
    cache.pin([1, 0, 0], "his").release()
    store(cache, 4, "his")
    assert [node.ids[0] for node in cache.nodes() if node.namespace == "his"] == [4, 3, 1]
    assert {node.ids[0] for node in cache.nodes() if node.namespace == "hers"} == {1, 2, 3}
    cache.check_integrity()
