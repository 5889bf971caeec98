"""The nodes of the prefix tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .base import Segment

Ids = tuple[int, ...]


class Root:
    """Where the stored prompts of one namespace begin; children are found by their first block.

    Counts the tokens below it, and those of them that leases pin.
    """

    __slots__ = ("children", "namespace", "pinned_tokens", "tokens")

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.children: dict[Ids, Node] = {}
        self.tokens = 0
        self.pinned_tokens = 0

    def below(self) -> Iterator[Node]:
        """Every node of the namespace, parents before their children."""
        waiting = list(self.children.values())
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(node.children.values())


class Node:
    """A run of tokens that follows its parent's, what is stored for it, and how many leases pin it.

    `last_used` is a tick: larger means younger.
    """

    __slots__ = ("children", "id", "key", "last_used", "parent", "pins", "segment")

    def __init__(self, node_id: int, parent: Node | Root, key: Ids, segment: Segment) -> None:
        self.id = node_id
        self.parent = parent
        self.key = key
        self.segment = segment
        self.children: dict[Ids, Node] = {}
        self.pins = 0
        self.last_used = 0

    def path(self) -> list[Node]:
        """The nodes from the root down to this one."""
        nodes = []
        node: Node | Root = self
        while isinstance(node, Node):
            nodes.append(node)
            node = node.parent
        return nodes[::-1]

    def root(self) -> Root:
        """Where the namespace of this node begins."""
        node: Node | Root = self
        while isinstance(node, Node):
            node = node.parent
        return node


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as it was when it was looked at, for pictures.

    `parent_id` is None where a namespace begins; `ids` are the node's own tokens; `last_used` is a
    tick, larger means younger. A split gives the upper part a new id.
    """

    node_id: int
    parent_id: int | None
    namespace: str
    ids: Ids
    pinned: bool
    last_used: int


def common_tokens(a: Ids, b: Ids) -> int:
    """How many leading tokens two runs have in common.

    Found by halving, each step one comparison of slices: no token is visited in Python.
    """
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
