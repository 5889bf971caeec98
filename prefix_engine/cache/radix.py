"""The prefix cache as a radix tree: a node for every run of tokens that no stored prompt divides.

Each namespace has a root of its own. A node's key is a whole number of blocks, and a node is only
split between blocks.

A lookup or insertion makes its whole path from the root the youngest, and a lease pins its whole
path; so eviction needs no search and no heap, only the order of use (`recency.py`).

A split leaves both parts as views of one storage. When one of them goes, the rest is copied out and
that storage is let go (`holdings.py`), so that what is held is what the stored tokens need, and a
budget in bytes is a budget in tokens. While a copy is made, both exist.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from ..errors import CacheInUse, NoRoomNow
from .base import DEFAULT_NAMESPACE, CacheStats, Insert, Lease, PrefixCache, Segment, TakeKV
from .holdings import Holdings
from .recency import Recency
from .tree import Ids, Node, NodeView, Root, common_tokens


class RadixCache(PrefixCache):
    """A prefix cache with one least-recently-used budget for all its namespaces.

    `bytes_per_token` is what the storage of one token takes: the model's, or 0 for segments that
    only count (`count_tokens`). The budget is given in bytes or in tokens; without one, nothing is
    refused and nothing is evicted unasked. Whole leaves are evicted, so more may go than was asked.
    With `namespace_bytes` (or `namespace_tokens`) no namespace holds more than that: it evicts its
    own before it takes the room of others.
    """

    def __init__(
        self,
        block_size: int = 1,
        *,
        bytes_per_token: int = 0,
        budget_bytes: int | None = None,
        budget_tokens: int | None = None,
        namespace_bytes: int | None = None,
        namespace_tokens: int | None = None,
    ) -> None:
        if block_size < 1:
            raise ValueError(f"a block has at least 1 token, not {block_size}")
        if bytes_per_token < 0:
            raise ValueError("the bytes per token can't be negative")
        self.block_size = block_size
        self._budget_bytes = budget_bytes
        self._budget_tokens = _in_tokens(budget_bytes, budget_tokens, bytes_per_token)
        self.namespace_tokens = _in_tokens(namespace_bytes, namespace_tokens, bytes_per_token)
        self._lock = threading.RLock()
        self._roots: dict[str, Root] = {}
        self._recency = Recency()
        self._holdings = Holdings(bytes_per_token)
        self._next_id = 0
        self._query_tokens = 0
        self._hit_tokens = 0
        self._stored_tokens = 0
        self._pinned_tokens = 0
        self._evicted_tokens = 0
        self._lent_tokens = 0

    # ---- what a request does

    def peek(self, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> int:
        with self._lock:
            return self._walk(self._blocks(ids, len(ids) - 1), namespace)[1]

    def match(self, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> Lease:
        with self._lock:
            lease = self._lease(self._blocks(ids, len(ids) - 1), namespace)
            self._query_tokens += len(ids)
            self._hit_tokens += lease.tokens
            return lease

    def pin(self, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> Lease:
        with self._lock:
            return self._lease(self._blocks(ids, len(ids)), namespace)

    def insert(
        self, ids: Sequence[int], take: TakeKV, namespace: str = DEFAULT_NAMESPACE
    ) -> Insert:
        with self._lock:
            key = self._blocks(ids, len(ids))
            path, present = self._walk(key, namespace)
            missing = len(key) - present
            if not self._fits(path, present, missing, namespace):
                return Insert(stored=0, present=present, refused=True)
            self._end_at(path, present)
            self._recency.touch(path)
            if missing:
                with self._pinned(path):
                    self._make_room_in(namespace, missing)
                    self._make_room(missing)
                    segment = take(present, len(key))
                    self._holdings.check_new(segment, missing)
                path.append(self._add(path, namespace, key[present:], segment))
                self._recency.touch(path)
            return Insert(stored=missing, present=present, refused=False)

    # ---- what the keeper of the cache does

    def evict(self, tokens: int) -> int:
        with self._lock:
            return self._drop(self._recency.victims(tokens))

    def clear(self, namespace: str | None = None) -> int:
        with self._lock:
            roots = [root for name, root in self._roots.items() if namespace in (None, name)]
            nodes = [node for root in roots for node in root.below()]
            if any(node.pins for node in nodes):
                raise CacheInUse(
                    "The cache was not cleared, because requests are using what it stores. "
                    "Try again when they have ended."
                )
            for node in reversed(nodes):
                self._remove(node)
            return sum(len(node.key) for node in nodes)

    @contextmanager
    def lend(self, tokens: int) -> Iterator[None]:
        with self._lock:
            budget, lent = self._budget_tokens, self._lent_tokens + tokens
            if budget is not None and (2 * lent > budget or self._pinned_tokens + lent > budget):
                raise NoRoomNow(
                    f"The cache can't spare the room for {tokens:,} tokens beside what others use. "
                    "Nothing is lost: ask for fewer, or run it again in a minute."
                )
            self._lent_tokens = lent
            self._make_room(0)
        try:
            yield
        finally:
            with self._lock:
                self._lent_tokens -= tokens

    def counting_twin(self) -> RadixCache:
        return RadixCache(
            self.block_size,
            budget_tokens=self._budget_tokens,
            namespace_tokens=self.namespace_tokens,
        )

    @property
    def stats(self) -> CacheStats:
        with self._lock:
            return CacheStats(
                query_tokens=self._query_tokens,
                hit_tokens=self._hit_tokens,
                stored_tokens=self._stored_tokens,
                pinned_tokens=self._pinned_tokens,
                evictable_tokens=self._stored_tokens - self._pinned_tokens,
                evicted_tokens=self._evicted_tokens,
                held_bytes=self._holdings.nbytes,
                budget_bytes=self._budget_bytes,
                budget_tokens=self._budget_tokens,
                lent_tokens=self._lent_tokens,
                namespaces=len(self._roots),
            )

    def nodes(self, namespaces: Collection[str] | None = None) -> tuple[NodeView, ...]:
        """The tree as it is now, or the part of it in these namespaces, parents before their
        children. Changes nothing."""
        with self._lock:
            return tuple(
                NodeView(
                    node_id=node.id,
                    parent_id=node.parent.id if isinstance(node.parent, Node) else None,
                    namespace=root.namespace,
                    ids=node.key,
                    pinned=node.pins > 0,
                    last_used=node.last_used,
                )
                for root in self._roots.values()
                if namespaces is None or root.namespace in namespaces
                for node in root.below()
            )

    def check_integrity(self) -> None:
        with self._lock:
            nodes: list[Node] = []
            for name, root in self._roots.items():
                assert root.namespace == name and root.children, "a namespace without prompts"
                inside = list(root.below())
                nodes.extend(inside)
                held = sum(len(node.key) for node in inside)
                assert held == root.tokens, "the tokens of a namespace are miscounted"
                limit = self.namespace_tokens
                assert limit is None or held <= limit, "a namespace has more than its budget"
                in_use = sum(len(node.key) for node in inside if node.pins)
                assert in_use == root.pinned_tokens, "a namespace's pinned tokens are miscounted"
                self._check_children(root)
            for node in nodes:
                self._check_children(node)
                assert len(node.key) % self.block_size == 0 < len(node.key), "not whole blocks"
                assert len(node.key) == node.segment.tokens, "key and segment differ in length"
                pins_below = sum(child.pins for child in node.children.values())
                assert node.pins >= pins_below, "a node is pinned less than its children"
            self._check_counters(nodes)
            self._recency.check_integrity(nodes)
            self._holdings.check_integrity(nodes)

    # ---- the tree

    def _blocks(self, ids: Sequence[int], tokens: int) -> Ids:
        """The whole blocks among the first `tokens` ids."""
        return tuple(ids[: max(tokens, 0) // self.block_size * self.block_size])

    def _walk(self, key: Ids, namespace: str) -> tuple[list[Node], int]:
        """The nodes along a key, and how many of its tokens they hold. Changes nothing.

        The last node may hold only some blocks of the key and then go on differently.
        """
        path: list[Node] = []
        matched = 0
        place: Node | Root | None = self._roots.get(namespace)
        while place and matched < len(key):
            child = place.children.get(key[matched : matched + self.block_size])
            if child is None:
                break
            common = common_tokens(child.key, key[matched : matched + len(child.key)])
            path.append(child)
            matched += common // self.block_size * self.block_size
            place = child if common == len(child.key) else None
        return path, matched

    def _lease(self, key: Ids, namespace: str) -> Lease:
        path, matched = self._walk(key, namespace)
        self._end_at(path, matched)
        self._recency.touch(path)
        self._pin(path)
        return RadixLease(self, path[-1] if path else None, matched)

    def _end_at(self, path: list[Node], matched: int) -> None:
        """Split the last node if the match ends inside it. The path has to be touched next."""
        beyond = sum(len(node.key) for node in path) - matched
        if beyond:
            path[-1] = self._split(path[-1], len(path[-1].key) - beyond)

    def _split(self, node: Node, at: int) -> Node:
        """Move the first `at` tokens of a node into a new one above it, which is returned.

        The node that leases and children know stays the lower part: their path grows, no more.
        """
        upper, lower = node.segment.split(at)
        head = self._new_node(node.parent, node.key[:at], upper)
        head.pins = node.pins
        node.parent, node.key, node.segment = head, node.key[at:], lower
        head.children[node.key[: self.block_size]] = node
        self._holdings.share(head)
        return head

    def _add(self, path: list[Node], namespace: str, key: Ids, segment: Segment) -> Node:
        # the root is looked up only now: making room may have dropped an emptied namespace
        root = self._roots.setdefault(namespace, Root(namespace))
        node = self._new_node(path[-1] if path else root, key, segment)
        root.tokens += len(key)
        self._stored_tokens += len(key)
        self._holdings.hold(node)
        return node

    def _new_node(self, parent: Node | Root, key: Ids, segment: Segment) -> Node:
        node = Node(self._next_id, parent, key, segment)
        self._next_id += 1
        parent.children[key[: self.block_size]] = node
        return node

    def _remove(self, leaf: Node) -> None:
        root = leaf.root()
        root.tokens -= len(leaf.key)
        del leaf.parent.children[leaf.key[: self.block_size]]
        if not root.children:
            del self._roots[root.namespace]
        self._recency.remove(leaf)
        self._stored_tokens -= len(leaf.key)
        self._holdings.let_go(leaf)

    # ---- use and room

    def _pin(self, path: list[Node]) -> None:
        for node in path:
            if node.pins == 0:
                self._count_pinned(path, len(node.key))
            node.pins += 1

    def _unpin(self, path: list[Node]) -> None:
        for node in path:
            node.pins -= 1
            if node.pins == 0:
                self._count_pinned(path, -len(node.key))

    def _count_pinned(self, path: list[Node], tokens: int) -> None:
        self._pinned_tokens += tokens
        path[0].root().pinned_tokens += tokens

    @contextmanager
    def _pinned(self, path: list[Node]) -> Iterator[None]:
        self._pin(path)
        try:
            yield
        finally:
            self._unpin(path)

    def _fits(self, path: list[Node], present: int, missing: int, namespace: str) -> bool:
        """Whether all that is in use, the path and the missing tokens can be stored together."""
        # use goes up the path, so the nodes in use are its first; the last may be matched in part
        in_use = min(present, sum(len(node.key) for node in path if node.pins))
        more = present - in_use + missing
        room = self._room_tokens
        if room is not None and self._pinned_tokens + more > room:
            return False
        limit = self.namespace_tokens
        root = self._roots.get(namespace)
        return limit is None or (root.pinned_tokens if root else 0) + more <= limit

    def _excess(self, namespace: str, missing: int) -> int:
        """How many tokens too many a namespace would have; 0 or less if it has room."""
        root = self._roots.get(namespace)
        held = root.tokens if root else 0
        return 0 if self.namespace_tokens is None else held + missing - self.namespace_tokens

    @property
    def _room_tokens(self) -> int | None:
        """The budget without what is lent."""
        return None if self._budget_tokens is None else self._budget_tokens - self._lent_tokens

    def _make_room_in(self, namespace: str, tokens: int) -> None:
        excess = self._excess(namespace, tokens)
        if excess > 0:
            root = self._roots[namespace]
            self._drop(self._recency.victims(excess, root))

    def _make_room(self, tokens: int) -> None:
        if self._room_tokens is not None:
            self.evict(self._stored_tokens + tokens - self._room_tokens)

    def _drop(self, victims: list[Node]) -> int:
        for node in victims:
            self._remove(node)
        freed = sum(len(node.key) for node in victims)
        self._evicted_tokens += freed
        self._holdings.tighten()
        return freed

    # ---- invariants

    def _check_children(self, parent: Node | Root) -> None:
        for block, child in parent.children.items():
            assert child.parent is parent, "a child that has another parent"
            assert child.key[: self.block_size] == block, "a child under a wrong first block"

    def _check_counters(self, nodes: list[Node]) -> None:
        stored = sum(len(node.key) for node in nodes)
        assert stored == self._stored_tokens, "stored tokens are miscounted"
        pinned = sum(len(node.key) for node in nodes if node.pins)
        assert pinned == self._pinned_tokens, "pinned tokens are miscounted"
        if self._room_tokens is not None:
            assert stored <= self._room_tokens, "the budget is overrun"


class RadixLease(Lease):
    """Pins the path that ends at a node."""

    def __init__(self, cache: RadixCache, end: Node | None, tokens: int) -> None:
        self._cache = cache
        self._end = end
        self._tokens = tokens
        self._released = False

    @property
    def tokens(self) -> int:
        return self._tokens

    @property
    def segments(self) -> tuple[Segment, ...]:
        with self._cache._lock:
            if self._released:
                raise RuntimeError("The lease was released: its segments may have been evicted.")
            return tuple(node.segment for node in self._path())

    def release(self) -> None:
        with self._cache._lock:
            self._cache._unpin(self._path())
            self._end = None
            self._released = True

    def _path(self) -> list[Node]:
        return self._end.path() if self._end else []


def _in_tokens(nbytes: int | None, tokens: int | None, bytes_per_token: int) -> int | None:
    """A budget that is given in bytes or in tokens, or not at all."""
    if min(nbytes or 0, tokens or 0) < 0:
        raise ValueError("a budget can't be negative")
    if nbytes is None:
        return tokens
    if tokens is not None or bytes_per_token == 0:
        raise ValueError("give a budget in tokens, or one in bytes with the bytes per token")
    return nbytes // bytes_per_token
