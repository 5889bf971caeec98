"""The storages a cache holds, and which of its nodes view each of them."""

from __future__ import annotations

from collections.abc import Collection

from .base import Segment, Storage
from .tree import Node


class Holdings:
    """Counts the bytes really held, and brings them down to what the stored tokens need.

    A storage is held as long as one node views it. One that has lost a view is loose: it is larger
    than what is left of it, until `tighten` copies that out.
    """

    def __init__(self, bytes_per_token: int) -> None:
        self.bytes_per_token = bytes_per_token
        self.nbytes = 0
        self._views: dict[Storage, set[Node]] = {}
        self._loose: set[Storage] = set()

    def check_new(self, segment: Segment, tokens: int) -> None:
        """Raise ValueError unless a segment is a copy of its own for exactly these tokens."""
        if segment.tokens != tokens:
            raise ValueError(f"take gave {segment.tokens} tokens where {tokens} were asked for")
        needed = tokens * self.bytes_per_token
        if segment.storage in self._views or segment.storage.nbytes != needed:
            raise ValueError(
                f"take must copy: {tokens} tokens need {needed} bytes of storage that nothing "
                f"else views, not a view of {segment.storage.nbytes}"
            )

    def hold(self, node: Node) -> None:
        """A node has got a segment that is the only view of its storage."""
        storage = node.segment.storage
        self._views[storage] = {node}
        self.nbytes += storage.nbytes

    def share(self, node: Node) -> None:
        """A node has got a further view of a storage that is held."""
        self._views[node.segment.storage].add(node)

    def let_go(self, node: Node) -> None:
        """A node gives up its view; the last one takes the storage with it."""
        storage = node.segment.storage
        views = self._views[storage]
        views.remove(node)
        if views:
            self._loose.add(storage)
        else:
            del self._views[storage]
            self._loose.discard(storage)
            self.nbytes -= storage.nbytes

    def tighten(self) -> None:
        """Copy what is left out of every loose storage.

        Should a copy fail, its storage stays loose and counted; the next call tries again.
        """
        for storage in tuple(self._loose):
            for node in tuple(self._views[storage]):
                own = node.segment.compact()
                self.let_go(node)
                node.segment = own
                self.hold(node)

    def check_integrity(self, nodes: Collection[Node]) -> None:
        """Assert that these nodes' views are the ones known, and that no byte is held besides."""
        views: dict[Storage, set[Node]] = {}
        for node in nodes:
            views.setdefault(node.segment.storage, set()).add(node)
        assert views == self._views, "the views of a storage are not the nodes that view it"
        assert self.nbytes == sum(storage.nbytes for storage in views), "bytes are miscounted"
        for storage, viewers in views.items():
            needed = sum(node.segment.tokens for node in viewers) * self.bytes_per_token
            slack = storage.nbytes - needed
            assert slack >= 0 and (slack == 0 or storage in self._loose), "bytes held for nothing"
        assert views.keys() >= self._loose, "a storage that is gone is still called loose"
