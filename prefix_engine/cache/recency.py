"""The order in which nodes would be evicted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from .tree import Node, Root

Order = OrderedDict[Node, None]


class Recency:
    """All nodes, least recently used first, and children before their parents.

    A whole path is touched at once, so a parent is never older than its children; a lease pins a
    whole path, so a node that nobody uses has no child in use. Hence the first node here that
    nobody uses is the least recently used leaf, and the next one is when that one has gone. The
    same holds within each namespace, whose nodes are kept in an order of their own as well: what
    it has to evict for itself is found without passing over the others'.
    """

    def __init__(self) -> None:
        self._order: Order = OrderedDict()
        self._within: dict[Root, Order] = {}
        self._tick = 0

    def touch(self, path: list[Node]) -> None:
        """Make the nodes from a root down to one of its descendants the youngest."""
        self._tick += 1
        if not path:
            return
        orders = (self._order, self._within.setdefault(path[0].root(), OrderedDict()))
        for node in reversed(path):
            node.last_used = self._tick
            for order in orders:
                order[node] = None
                order.move_to_end(node)

    def victims(self, tokens: int, root: Root | None = None) -> list[Node]:
        """What to evict, in this order, for at least `tokens` tokens; all there is, if less. With a
        root, only what is below it."""
        found: list[Node] = []
        for node in self._order if root is None else self._within[root]:
            if tokens <= 0:
                break
            if node.pins == 0:
                found.append(node)
                tokens -= len(node.key)
        return found

    def remove(self, node: Node) -> None:
        """Forget a leaf that is about to leave the tree."""
        root = node.root()
        del self._order[node], self._within[root][node]
        if not self._within[root]:
            del self._within[root]

    def check_integrity(self, nodes: Collection[Node]) -> None:
        """Assert that these nodes are the ones known, in the order that is promised above."""
        assert set(self._order) == set(nodes), "the order of eviction has not the tree's nodes"
        ages = [node.last_used for node in self._order]
        assert ages == sorted(ages), "the order of eviction is not by age"
        place = {node: index for index, node in enumerate(self._order)}
        for root, order in self._within.items():
            inside = [node for node in self._order if node.root() is root]
            assert order and list(order) == inside, "a namespace has another order of eviction"
        assert sum(map(len, self._within.values())) == len(nodes), "a namespace without its order"
        for node in nodes:
            assert all(place[child] < place[node] for child in node.children.values()), (
                "a parent would be evicted before its child"
            )
