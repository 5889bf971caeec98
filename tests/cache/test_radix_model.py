"""Whatever is done to a radix cache, it does what the rules over a plain list do."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import chain

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from prefix_engine.cache import Lease, RadixCache, Segment
from prefix_engine.errors import CacheInUse, NoRoomNow

from .fakes import BYTES_PER_TOKEN, contents, identities, taking
from .naive import NaiveCache

Ids = tuple[int, ...]

# few words, so that prompts begin and continue each other, and part inside and between blocks
WORDS: list[Ids] = [(0,), (0, 0, 0, 0), (1, 0, 1)]
prompts = st.lists(st.sampled_from(WORDS), max_size=4).map(lambda words: tuple(chain(*words)))
namespaces = st.sampled_from(["", "a"])
earlier: Bundle[Ids] = Bundle("earlier")
related = st.tuples(earlier, st.integers(0, 16), prompts).map(
    lambda drawn: drawn[0][: drawn[1]] + drawn[2]
)


class Stopped(Exception):
    pass


def stop(start: int, end: int) -> Segment:
    raise Stopped


class CacheMachine(RuleBasedStateMachine):
    @initialize(
        target=earlier,
        first=st.lists(prompts, min_size=1, max_size=4),
        block_size=st.integers(1, 5),
        budget=st.one_of(st.none(), st.integers(0, 24)),
        odd_bytes=st.integers(0, BYTES_PER_TOKEN - 1),
    )
    def make(
        self, first: list[Ids], block_size: int, budget: int | None, odd_bytes: int
    ) -> MultipleResults[Ids]:
        self.cache = RadixCache(
            block_size,
            bytes_per_token=BYTES_PER_TOKEN,
            budget_bytes=None if budget is None else budget * BYTES_PER_TOKEN + odd_bytes,
        )
        self.naive = NaiveCache(block_size, budget)
        self.leases: dict[int, tuple[Lease, Ids, str]] = {}
        self.lent: list[tuple[ExitStack, int]] = []
        self.query_tokens = self.hit_tokens = 0
        for ids in first:
            self.insert(ids, "")
        return multiple(*first)

    @rule(target=earlier, ids=related, namespace=namespaces)
    def store(self, ids: Ids, namespace: str) -> Ids:
        self.insert(ids, namespace)
        return ids

    def insert(self, ids: Ids, namespace: str) -> None:
        result = self.cache.insert(ids, taking(ids, namespace), namespace)
        expected = self.naive.insert(self.naive.blocks(ids, len(ids)), namespace)
        assert (result.stored, result.present, result.refused) == expected

    @rule(ids=related, namespace=namespaces)
    def insert_and_fail(self, ids: Ids, namespace: str) -> None:
        key = self.naive.blocks(ids, len(ids))
        stored, _, _ = self.naive.insert(key, namespace, fails=True)
        if stored:
            with pytest.raises(Stopped):
                self.cache.insert(ids, stop, namespace)
        else:
            self.cache.insert(ids, stop, namespace)

    @rule(ids=related, namespace=namespaces)
    def peek(self, ids: Ids, namespace: str) -> None:
        key = self.naive.blocks(ids, len(ids) - 1)
        assert self.cache.peek(ids, namespace) == self.naive.found(key, namespace)

    @rule(ids=related, namespace=namespaces)
    def match(self, ids: Ids, namespace: str) -> None:
        lease = self.cache.match(ids, namespace)
        key = self.naive.blocks(ids, len(ids) - 1)
        self.keep(lease, ids, namespace, key)
        self.query_tokens += len(ids)
        self.hit_tokens += lease.tokens

    @rule(ids=related, namespace=namespaces)
    def pin(self, ids: Ids, namespace: str) -> None:
        lease = self.cache.pin(ids, namespace)
        self.keep(lease, ids, namespace, self.naive.blocks(ids, len(ids)))

    def keep(self, lease: Lease, ids: Ids, namespace: str, key: Ids) -> None:
        user = self.naive.clock
        assert lease.tokens == self.naive.use(key, namespace, user)
        self.leases[user] = lease, ids, namespace

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        user = data.draw(st.sampled_from(sorted(self.leases)))
        self.leases.pop(user)[0].release()
        self.naive.release(user)

    @rule(tokens=st.integers(-1, 6))
    def evict(self, tokens: int) -> None:
        assert self.cache.evict(tokens) == self.naive.evict(tokens)

    @rule(tokens=st.integers(0, 8))
    def lend(self, tokens: int) -> None:
        held = ExitStack()
        if self.naive.lend(tokens):
            held.enter_context(self.cache.lend(tokens))
            self.lent.append((held, tokens))
        else:
            with pytest.raises(NoRoomNow):
                held.enter_context(self.cache.lend(tokens))

    @precondition(lambda self: self.lent)
    @rule()
    def give_back(self) -> None:
        held, tokens = self.lent.pop()
        held.close()
        self.naive.lent -= tokens if self.naive.budget_tokens is not None else 0

    @precondition(lambda self: self.naive.stored > 20)  # or little would ever be stored
    @rule(namespace=st.one_of(st.none(), namespaces))
    def clear(self, namespace: str | None) -> None:
        expected = self.naive.clear(namespace)
        if expected is None:
            with pytest.raises(CacheInUse):
                self.cache.clear(namespace)
        else:
            assert self.cache.clear(namespace) == expected

    @invariant()
    def the_structure_is_whole(self) -> None:
        self.cache.check_integrity()

    @invariant()
    def the_same_pieces_are_stored_with_the_same_ages_and_uses(self) -> None:
        before: dict[int | None, Ids] = {None: ()}
        nodes = set()
        views = self.cache.nodes()
        ages = sorted({view.last_used for view in views})
        for view in views:
            start = before[view.parent_id]
            before[view.node_id] = start + view.ids
            age = ages.index(view.last_used)
            nodes.add((view.namespace, start, view.ids, age, view.pinned))
        ages = sorted({piece.age for piece in self.naive.pieces})
        assert nodes == {
            (piece.namespace, piece.before, piece.own, ages.index(piece.age), bool(piece.users))
            for piece in self.naive.pieces
        }

    @invariant()
    def the_statistics_are_true(self) -> None:
        stats = self.cache.stats
        assert stats.stored_tokens == self.naive.stored
        assert stats.pinned_tokens == self.naive.pinned
        assert stats.evictable_tokens == self.naive.stored - self.naive.pinned
        assert stats.evicted_tokens == self.naive.evicted
        assert stats.query_tokens == self.query_tokens
        assert stats.hit_tokens == self.hit_tokens
        assert stats.held_bytes == self.naive.stored * BYTES_PER_TOKEN
        assert stats.lent_tokens == sum(tokens for _, tokens in self.lent)
        lent_bytes = stats.lent_tokens * BYTES_PER_TOKEN
        assert stats.budget_bytes is None or stats.held_bytes + lent_bytes <= stats.budget_bytes
        assert stats.namespaces == len({piece.namespace for piece in self.naive.pieces})

    @invariant()
    def every_lease_holds_its_own_tokens(self) -> None:
        for lease, ids, namespace in self.leases.values():
            assert contents(lease) == identities(ids, namespace, 0, lease.tokens)

    def teardown(self) -> None:
        if not hasattr(self, "cache"):
            return
        for lease, _, _ in self.leases.values():
            lease.release()
        for held, _ in self.lent:
            held.close()
        self.cache.clear()
        assert self.cache.stats.lent_tokens == 0
        assert self.cache.stats.held_bytes == 0
        assert self.cache.stats.namespaces == 0


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(max_examples=250, stateful_step_count=40, deadline=None)
