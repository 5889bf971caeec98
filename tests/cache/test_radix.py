"""The rules of the prefix cache, one by one, and the faults that such caches have had."""

from __future__ import annotations

import random
import threading

import hypothesis.strategies as st
import pytest
from hypothesis import given

from prefix_engine.cache import CountSegment, RadixCache, Segment, count_tokens
from prefix_engine.cache.tree import common_tokens
from prefix_engine.errors import CacheInUse

from .fakes import (
    BYTES_PER_TOKEN,
    ListSegment,
    contents,
    identities,
    store,
    stored,
    taking,
)

A = [1, 2, 3, 4, 5, 6, 7, 8]


def cache_for(tokens: int | None, block_size: int = 1) -> RadixCache:
    """A cache with a budget in bytes for so many tokens."""
    budget = None if tokens is None else tokens * BYTES_PER_TOKEN
    return RadixCache(block_size, bytes_per_token=BYTES_PER_TOKEN, budget_bytes=budget)


# ---- what is found


@pytest.mark.parametrize("block_size", range(1, 6))
@pytest.mark.parametrize("shared", range(9))
@pytest.mark.parametrize("more", [0, 1, 3])
def test_whole_leading_blocks_are_reused_but_never_the_last_token(
    block_size: int, shared: int, more: int
) -> None:
    cache = cache_for(None, block_size)
    store(cache, A)
    prompt = A[:shared] + [0] * more
    n = len(prompt)
    reused = block_size * min(shared // block_size, (n - 1) // block_size) if n else 0
    assert cache.peek(prompt) == reused
    with cache.match(prompt) as lease:
        assert lease.tokens == reused
        assert contents(lease) == identities(A, "", 0, reused)


def test_an_exact_repeat_leaves_one_token_to_compute() -> None:
    cache = cache_for(None)
    store(cache, A)
    with cache.match(A) as lease:
        assert lease.tokens == len(A) - 1


def test_a_block_aligned_exact_repeat_leaves_one_block_to_compute() -> None:
    cache = cache_for(None, block_size=4)
    store(cache, A)
    with cache.match(A) as lease:
        assert lease.tokens == 4
    with cache.match([*A, 9]) as lease:
        assert lease.tokens == 8


def test_a_pin_covers_the_last_token_too() -> None:
    cache = cache_for(None)
    store(cache, A)
    with cache.pin(A) as lease:
        assert lease.tokens == len(A)
        assert contents(lease) == identities(A, "", 0, len(A))


def test_another_namespace_misses_and_the_same_one_hits() -> None:
    cache = cache_for(None)
    store(cache, A, "one")
    assert cache.peek([*A, 0], "other") == 0
    assert cache.peek([*A, 0]) == 0
    assert cache.peek([*A, 0], "one") == len(A)


def test_the_same_tokens_in_two_namespaces_keep_their_own_content() -> None:
    cache = cache_for(None)
    store(cache, A, "one")
    store(cache, A, "two")
    for name in ("one", "two"):
        with cache.match([*A, 0], name) as lease:
            assert contents(lease) == identities(A, name, 0, len(A))


def test_a_part_of_a_block_is_neither_stored_nor_found() -> None:
    cache = cache_for(None, block_size=4)
    assert cache.insert(A[:3], taking(A)).stored == 0
    assert cache.insert(A[:7], taking(A)).stored == 4
    assert stored(cache, A) == 4
    assert cache.peek([1, 2, 3, 0, 0]) == 0


def test_empty_prompts_find_and_store_nothing() -> None:
    cache = cache_for(None)
    store(cache, A)
    assert cache.peek([]) == 0
    with cache.match([]) as lease, cache.pin([]) as pin:
        assert (lease.tokens, lease.segments, pin.tokens) == (0, (), 0)
    assert cache.insert([], taking([])).stored == 0


def test_only_missing_tokens_are_taken_and_taken_once() -> None:
    cache = cache_for(None)
    calls: list[tuple[int, int]] = []

    def take(start: int, end: int) -> Segment:
        calls.append((start, end))
        return taking([*A, 9, 9])(start, end)

    store(cache, A)
    assert cache.insert([*A, 9, 9], take).present == len(A)
    assert cache.insert([*A, 9, 9], take).stored == 0
    assert calls == [(8, 10)]


@given(st.lists(st.integers(0, 1), max_size=40), st.lists(st.integers(0, 1), max_size=40))
def test_common_tokens_are_counted_up_to_the_first_difference(a: list[int], b: list[int]) -> None:
    common = common_tokens(tuple(a), tuple(b))
    assert a[:common] == b[:common]
    assert common in (len(a), len(b)) or a[common] != b[common]


# ---- age and eviction


def test_the_least_recently_used_leaf_goes_first() -> None:
    cache = cache_for(None)
    for first in (1, 2, 3):
        store(cache, [first, 0])
    with cache.match([1, 0, 9]):
        pass
    assert cache.evict(1) == 2
    assert [stored(cache, [first, 0]) for first in (1, 2, 3)] == [2, 0, 2]
    cache.evict(1)
    assert [stored(cache, [first, 0]) for first in (1, 2, 3)] == [2, 0, 0]


def test_storing_what_is_stored_makes_it_young() -> None:
    cache = cache_for(None)
    store(cache, [1, 0])
    store(cache, [2, 0])
    store(cache, [1, 0])
    cache.evict(1)
    assert (stored(cache, [1, 0]), stored(cache, [2, 0])) == (2, 0)


def test_leaves_go_before_what_they_continue() -> None:
    cache = cache_for(None)
    store(cache, A[:4])
    store(cache, A)
    assert cache.evict(1) == 4
    assert stored(cache, A) == 4
    assert cache.evict(1) == 4


def test_peeking_changes_nothing() -> None:
    cache = cache_for(None)
    store(cache, [1, 0, 0, 0])
    store(cache, [2, 0])
    nodes, stats = cache.nodes(), cache.stats
    assert cache.peek([1, 0, 5]) == 2
    assert (cache.nodes(), cache.stats) == (nodes, stats)
    cache.evict(1)
    assert stored(cache, [1, 0, 0, 0]) == 0


def test_a_partial_match_makes_only_the_matched_part_young() -> None:
    cache = cache_for(None)
    store(cache, A)
    store(cache, [9, 9])
    with cache.match([*A[:4], 0]):
        pass
    assert cache.evict(1) == 4, "the part beyond the match is the oldest leaf"
    assert stored(cache, A) == 4
    assert cache.evict(1) == 2, "what was matched is younger than the other prompt"
    assert stored(cache, A) == 4


def test_a_partial_match_pins_only_the_matched_part() -> None:
    cache = cache_for(None)
    store(cache, A)
    with cache.match([*A[:3], 0]):
        assert (cache.stats.pinned_tokens, cache.stats.evictable_tokens) == (3, 5)
        assert cache.evict(100) == 5
        assert stored(cache, A) == 3


def test_evicting_n_frees_at_least_n_or_all_there_is() -> None:
    cache = cache_for(None)
    for first in range(5):
        store(cache, [first, 0, 0])
    assert cache.evict(4) == 6
    assert cache.evict(0) == 0
    assert cache.evict(100) == 9
    assert cache.evict(1) == 0
    assert cache.stats.evicted_tokens == 15


def test_an_emptied_namespace_is_dropped() -> None:
    cache = cache_for(None)
    store(cache, A, "one")
    assert cache.stats.namespaces == 1
    cache.evict(8)
    assert cache.stats.namespaces == 0
    cache.match(A, "never stored").release()
    assert cache.stats.namespaces == 0


def test_one_budget_serves_all_namespaces() -> None:
    cache = cache_for(10)
    store(cache, A, "one")
    store(cache, A, "two")
    assert stored(cache, A, "one") == 0
    assert stored(cache, A, "two") == 8
    assert cache.stats.held_bytes == 8 * BYTES_PER_TOKEN


def test_the_nodes_of_some_namespaces_can_be_told_alone() -> None:
    cache = cache_for(None)
    for namespace in ("one", "two", "three"):
        store(cache, A, namespace)
        store(cache, A[:4], namespace)
    both = cache.nodes({"one", "three"})
    assert {node.namespace for node in both} == {"one", "three"}
    assert both == tuple(node for node in cache.nodes() if node.namespace != "two")
    assert cache.nodes(()) == ()


# ---- use


def test_a_released_path_is_free_up_to_the_root() -> None:
    cache = cache_for(None)
    store(cache, A[:4])
    store(cache, A)
    lease = cache.match([*A, 9])
    assert cache.stats.pinned_tokens == 8
    lease.release()
    lease.release()
    assert cache.stats.pinned_tokens == 0
    assert not any(node.pinned for node in cache.nodes())
    assert cache.evict(100) == 8
    assert cache.stats.stored_tokens == 0


def test_what_two_leases_share_is_free_when_both_are_released() -> None:
    cache = cache_for(None)
    store(cache, A)
    first, second = cache.match([*A[:4], 0]), cache.match([*A[:6], 0])
    assert cache.stats.pinned_tokens == 6
    second.release()
    assert cache.stats.pinned_tokens == 4
    first.release()
    assert cache.evict(100) == 8


def test_a_split_under_a_lease_changes_neither_its_tokens_nor_its_pins() -> None:
    cache = cache_for(None)
    store(cache, A)
    with cache.pin(A) as lease:
        cache.match([*A[:3], 0]).release()
        assert len(lease.segments) == 2
        assert contents(lease) == identities(A, "", 0, 8)
        assert cache.stats.pinned_tokens == 8
        assert cache.evict(100) == 0
    assert cache.stats.pinned_tokens == 0


def test_clearing_is_refused_while_anything_of_it_is_used() -> None:
    cache = cache_for(None)
    store(cache, A, "used")
    store(cache, A[:5], "idle")
    with cache.match([*A[:2], 0], "used"):
        before = cache.nodes()
        with pytest.raises(CacheInUse):
            cache.clear()
        with pytest.raises(CacheInUse):
            cache.clear("used")
        assert cache.nodes() == before
        assert cache.clear("idle") == 5
    assert cache.clear("unknown") == 0
    assert cache.clear() == 8
    assert (cache.stats.stored_tokens, cache.stats.held_bytes) == (0, 0)
    assert cache.stats.evicted_tokens == 0


def test_a_released_lease_gives_no_segments() -> None:
    cache = cache_for(None)
    store(cache, A)
    lease = cache.match(A)
    lease.release()
    assert lease.tokens == 7
    with pytest.raises(RuntimeError):
        _ = lease.segments


# ---- room and refusal


def test_a_refused_insertion_changes_nothing() -> None:
    cache = cache_for(10)
    store(cache, [1, 0, 0])
    store(cache, [2, 0, 0])
    with cache.match([2, 0, 0, 9]):
        nodes, stats = cache.nodes(), cache.stats
        for ids in ([1, 0, *[7] * 6], [2, 0, 0, *[7] * 8], [7] * 8):
            result = cache.insert(ids, taking(ids))
            assert (result.stored, result.refused) == (0, True)
            assert (cache.nodes(), cache.stats) == (nodes, stats)
    result = cache.insert([1, 0, *[7] * 9], taking([1, 0, *[7] * 9]))
    assert result.refused and result.present == 2


def test_room_is_made_up_to_the_last_token_that_is_free() -> None:
    cache = cache_for(10)
    store(cache, [1, 0, 0])
    store(cache, [2, 0, 0])
    with cache.match([2, 0, 0, 9]):
        store(cache, [7] * 7)
    assert cache.stats.stored_tokens == 10
    assert stored(cache, [2, 0, 0]) == 3


def test_what_is_in_use_and_extended_needs_its_room_once() -> None:
    cache = cache_for(8)
    store(cache, A[:4])
    with cache.pin(A[:4]):
        store(cache, A)
        assert cache.insert([9], taking([9])).stored == 1, "the extension is free to go"
    assert stored(cache, A) == 4


def test_what_is_extended_is_not_evicted_for_its_extension() -> None:
    cache = cache_for(8)
    store(cache, A[:4])
    store(cache, [9] * 4)
    store(cache, A)
    assert stored(cache, A) == 8
    assert stored(cache, [9] * 4) == 0


def test_what_lies_beyond_the_fork_may_be_evicted_for_the_other_branch() -> None:
    cache = cache_for(8)
    store(cache, A)
    other = [*A[:4], 9, 9, 9, 9]
    store(cache, other)
    assert stored(cache, other) == 8
    assert stored(cache, A) == 4


def test_an_insertion_may_evict_the_last_of_its_own_namespace() -> None:
    cache = cache_for(8)
    store(cache, A, "one")
    store(cache, [9] * 8, "one")
    assert stored(cache, [9] * 8, "one") == 8
    assert stored(cache, A, "one") == 0
    cache.check_integrity()


def test_a_failing_take_stores_nothing_and_leaves_the_cache_whole() -> None:
    cache = cache_for(8)
    store(cache, A)

    def take(start: int, end: int) -> Segment:
        raise MemoryError

    with pytest.raises(MemoryError):
        cache.insert([*A[:4], 9, 9], take)
    cache.check_integrity()
    assert stored(cache, [*A[:4], 9, 9]) == 4
    assert cache.stats.pinned_tokens == 0
    assert cache.stats.held_bytes == cache.stats.stored_tokens * BYTES_PER_TOKEN
    store(cache, [*A[:4], 9, 9])


@pytest.mark.parametrize("wrong", ["too few", "a view", "stored already"])
def test_what_is_taken_must_be_a_copy_of_its_own(wrong: str) -> None:
    cache = cache_for(None)
    store(cache, [0, 0])
    with cache.pin([0, 0]) as lease:
        kept = lease.segments[0]

    def take(start: int, end: int) -> Segment:
        if wrong == "too few":
            return taking(A)(start, end - 1)
        if wrong == "a view":
            return taking(A)(start, end + 1).split(end - start)[0]
        return kept

    with pytest.raises(ValueError):
        cache.insert(A[:2], take)
    cache.check_integrity()
    assert stored(cache, A) == 0


# ---- what is held


def test_no_token_is_counted_or_held_twice() -> None:
    cache = cache_for(None)
    for prompt in (A, A, A[:4], [*A[:4], 9, 9], A):
        store(cache, prompt)
    assert cache.stats.stored_tokens == 10
    assert cache.stats.held_bytes == 10 * BYTES_PER_TOKEN


def test_evicting_a_part_of_a_split_storage_frees_its_bytes() -> None:
    cache = cache_for(None)
    store(cache, A)
    cache.match([*A[:3], 0]).release()
    assert cache.stats.held_bytes == 8 * BYTES_PER_TOKEN, "a split copies nothing"
    assert cache.evict(1) == 5
    assert cache.stats.held_bytes == 3 * BYTES_PER_TOKEN
    with cache.match(A) as lease:
        (segment,) = lease.segments
        assert segment.storage.nbytes == 3 * BYTES_PER_TOKEN
        assert contents(lease) == identities(A, "", 0, 3)


def test_segments_of_a_lease_are_unaltered_by_eviction_and_release() -> None:
    cache = cache_for(None)
    store(cache, A)
    lease = cache.match([*A[:5], 0])
    (early,) = lease.segments
    assert cache.evict(1) == 3
    (late,) = lease.segments
    assert late.storage is not early.storage, "the rest was copied out"
    lease.release()
    cache.clear()
    for segment in (early, late):
        assert isinstance(segment, ListSegment)
        assert segment.items == identities(A, "", 0, 5)


class Stubborn(ListSegment):
    """A segment that can't be copied until there is memory again."""

    memory = False

    @staticmethod
    def of(items: list[tuple[str, tuple[int, ...]]]) -> Stubborn:
        whole = ListSegment.of(items)
        return Stubborn(whole.storage, 0, whole.tokens)

    def split(self, at: int) -> tuple[Stubborn, Stubborn]:
        middle = self._start + at
        return (
            Stubborn(self._storage, self._start, middle),
            Stubborn(self._storage, middle, self._end),
        )

    def compact(self) -> ListSegment:
        if not Stubborn.memory:
            raise MemoryError
        return ListSegment.of(self.items)


def test_a_copy_that_failed_for_want_of_memory_is_made_up_for_later() -> None:
    cache = cache_for(8)
    cache.insert(A, lambda start, end: Stubborn.of(identities(A, "", start, end)))
    cache.match([*A[:3], 0]).release()
    Stubborn.memory = False
    with pytest.raises(MemoryError):
        cache.evict(1)
    cache.check_integrity()
    assert stored(cache, A) == 3
    assert cache.stats.held_bytes == 8 * BYTES_PER_TOKEN, "what is held is told as it is"
    Stubborn.memory = True
    store(cache, [9])
    assert cache.stats.held_bytes == 4 * BYTES_PER_TOKEN
    cache.check_integrity()


# ---- statistics, pictures, settings


def test_only_matches_are_counted_as_queries() -> None:
    cache = cache_for(None)
    store(cache, A)
    cache.peek(A)
    cache.pin(A).release()
    cache.match([*A[:6], 0]).release()
    cache.match([0, 0]).release()
    assert (cache.stats.query_tokens, cache.stats.hit_tokens) == (9, 6)


def test_nodes_show_the_tree_with_parents_first() -> None:
    cache = cache_for(None)
    store(cache, A, "one")
    store(cache, [*A[:4], 9], "one")
    store(cache, A[:2], "two")
    with cache.match([*A[:4], 9, 9], "one"):
        nodes = cache.nodes()
    by_id = {node.node_id: node for node in nodes}
    assert len(by_id) == len(nodes) == 4
    seen: set[int | None] = {None}
    for node in nodes:
        assert node.parent_id in seen
        seen.add(node.node_id)
    drawn = {
        (node.namespace, by_id[node.parent_id].ids if node.parent_id is not None else (), node.ids)
        for node in nodes
    }
    fork = tuple(A[:4])
    assert drawn == {
        ("one", (), fork),
        ("one", fork, tuple(A[4:])),
        ("one", fork, (9,)),
        ("two", (), tuple(A[:2])),
    }
    assert {node.ids for node in nodes if node.pinned} == {fork, (9,)}
    youngest = max(node.last_used for node in nodes)
    assert {node.ids for node in nodes if node.last_used == youngest} == {fork, (9,)}


def test_without_a_model_the_budget_counts_tokens() -> None:
    cache = RadixCache(block_size=2, budget_tokens=10)
    assert cache.insert(A, count_tokens).stored == 8
    assert cache.insert([9] * 4, count_tokens).stored == 4
    assert cache.insert([7] * 12, count_tokens).refused
    with cache.match([9] * 5) as lease:
        (segment,) = lease.segments
        assert isinstance(segment, CountSegment) and segment.tokens == 4
    cache.match([9, 9, 0]).release()
    assert cache.evict(1) == 2
    stats = cache.stats
    assert (stats.stored_tokens, stats.budget_tokens) == (2, 10)
    assert (stats.held_bytes, stats.budget_bytes) == (0, None)
    cache.check_integrity()


def test_a_budget_in_bytes_is_told_in_tokens_too() -> None:
    cache = RadixCache(bytes_per_token=10, budget_bytes=79)
    assert (cache.stats.budget_bytes, cache.stats.budget_tokens) == (79, 7)
    assert cache.insert(A, taking(A)).refused


@pytest.mark.parametrize(
    "settings",
    [
        {"block_size": 0},
        {"budget_bytes": 100},
        {"budget_bytes": 100, "budget_tokens": 10, "bytes_per_token": 10},
        {"budget_tokens": -1},
        {"budget_bytes": -1, "bytes_per_token": 10},
        {"bytes_per_token": -1},
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        RadixCache(**settings)


# ---- several threads


def test_threads_that_share_a_cache_get_their_own_tokens_and_leave_it_whole(
    rapid_switching: None,
) -> None:
    cache = cache_for(60, block_size=2)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(150):
                ids = [chance.randrange(2) for _ in range(chance.randrange(1, 24))]
                namespace = chance.choice(["", "a"])
                with cache.match(ids, namespace) as lease:
                    cache.insert(ids, taking(ids, namespace), namespace)
                    assert contents(lease) == identities(ids, namespace, 0, lease.tokens)
                if chance.random() < 0.2:
                    cache.evict(chance.randrange(20))
                cache.nodes()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    cache.check_integrity()
    assert cache.stats.pinned_tokens == 0
    cache.clear()
    assert cache.stats.held_bytes == 0


# ---- its twin


def test_the_twin_keeps_what_this_one_would_keep_alone() -> None:
    cache = RadixCache(2, bytes_per_token=BYTES_PER_TOKEN, budget_bytes=85, namespace_bytes=65)
    store(cache, A[:6])
    twin = cache.counting_twin()
    assert twin.stats.stored_tokens == 0
    assert (twin.block_size, twin.stats.budget_tokens) == (2, 8)
    assert [twin.insert(range(n), count_tokens).refused for n in (6, 8)] == [False, True]
    twin.insert(range(10, 16), count_tokens, "other")
    assert (twin.peek(range(7)), twin.peek(range(10, 17), "other")) == (0, 6)
    assert stored(cache, A) == 6
