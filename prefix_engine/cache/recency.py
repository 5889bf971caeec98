"""The order in which nodes would be evicted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection

from .tree import Node


class Recency:
    """All nodes, least recently used first, and children before their parents.

    A whole path is touched at once, so a parent is never older than its children; a lease pins a
    whole path, so a node that nobody uses has no child in use. Hence the first node here that
    nobody uses is the least recently used leaf, and the next one is when that one has gone.
    """

    def __init__(self) -> None:
        self._order: OrderedDict[Node, None] = OrderedDict()
        self._tick = 0

    def touch(self, path: list[Node]) -> None:
        """Make the nodes from a root down to one of its descendants the youngest."""
        self._tick += 1
        for node in reversed(path):
            node.last_used = self._tick
            self._order[node] = None
            self._order.move_to_end(node)

    def victims(
        self, tokens: int, belongs: Callable[[Node], bool] = lambda node: True
    ) -> list[Node]:
        """What to evict, in this order, for at least `tokens` tokens; all there is, if less. Only
        what `belongs` says yes to: whole namespaces, since a parent goes after its children."""
        found: list[Node] = []
        for node in self._order:
            if tokens <= 0:
                break
            if node.pins == 0 and belongs(node):
                found.append(node)
                tokens -= len(node.key)
        return found

    def remove(self, node: Node) -> None:
        del self._order[node]

    def check_integrity(self, nodes: Collection[Node]) -> None:
        """Assert that these nodes are the ones known, in the order that is promised above."""
        assert set(self._order) == set(nodes), "the order of eviction has not the tree's nodes"
        ages = [node.last_used for node in self._order]
        assert ages == sorted(ages), "the order of eviction is not by age"
        place = {node: index for index, node in enumerate(self._order)}
        for node in nodes:
            assert all(place[child] < place[node] for child in node.children.values()), (
                "a parent would be evicted before its child"
            )
