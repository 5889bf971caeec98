"""The pieces of a prefix tree between two looks at it: its nodes, and the ghosts of those gone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from prefix_engine.cache import NodeView
from prefix_engine.compare import common_prefix

Ids = tuple[int, ...]


class PieceState(StrEnum):
    """What the latest request did with a piece of the tree."""

    REUSED = "reused"
    RECOMPUTED = "recomputed"
    NEW = "new"
    KEPT = "kept"
    EVICTED = "evicted"


@dataclass(frozen=True)
class Piece:
    """A node of the tree after a request, or the ghost of one that the request drove out.

    It holds the tokens at positions [start, stop) of the prompts of `requests`: the numbers, from
    1, of all requests so far that begin with it. `parent` is None where prompts begin. `split`: a
    longer node was cut at `start` just now. `next_to_go`: evicted first, if room is needed now.
    """

    id: int
    parent: int | None
    start: int
    stop: int
    requests: tuple[int, ...]
    state: PieceState
    split: bool = False
    pinned: bool = False
    next_to_go: bool = False

    @property
    def tokens(self) -> int:
        return self.stop - self.start


def pieces_of(
    before: Sequence[NodeView], after: Sequence[NodeView], prompts: Sequence[Ids], reused: int
) -> tuple[Piece, ...]:
    """The tree as it is now, parents first, and then the ghosts of what is gone, as it went.

    `prompts` are all so far; the last of them was served between the two looks, and reused so much.
    """
    old, now = paths_of(before), paths_of(after)
    old_start = {node.node_id: len(old[node.node_id]) - len(node.ids) for node in before}
    goes_next = _next_to_go(after)
    pieces = []
    for node in after:
        path = now[node.node_id]
        start = len(path) - len(node.ids)
        is_old = node.node_id in old or longest_common(path, old.values()) == len(path)
        pieces.append(
            Piece(
                id=node.node_id,
                parent=node.parent_id,
                start=start,
                stop=len(path),
                requests=_beginning_with(path, prompts),
                state=_state(path, is_old, prompts[-1], reused),
                split=start > old_start.get(node.node_id, start),
                pinned=node.pinned,
                next_to_go=node.node_id == goes_next,
            )
        )
    ends = {path: node_id for node_id, path in now.items()}
    # the order of `Recency`: least recently used first, of one path the children before the parents
    for node in sorted(before, key=lambda node: (node.last_used, -len(old[node.node_id]))):
        path, first = old[node.node_id], old_start[node.node_id]
        stays = max(first, longest_common(path, now.values()))
        if stays == len(path):
            continue
        # a node may have been split and lost only its lower part: its ghost hangs on the upper one
        parent = ends[path[:stays]] if stays > first else node.parent_id
        owners = _beginning_with(path, prompts)
        pieces.append(
            Piece(node.node_id, parent, stays, len(path), owners, PieceState.EVICTED, stays > first)
        )
    return tuple(pieces)


def _state(path: Ids, is_old: bool, prompt: Ids, reused: int) -> PieceState:
    if prompt[: len(path)] != path:
        return PieceState.KEPT
    if len(path) <= reused:
        return PieceState.REUSED
    return PieceState.RECOMPUTED if is_old else PieceState.NEW


def _next_to_go(nodes: Sequence[NodeView]) -> int | None:
    parents = {node.parent_id for node in nodes}
    leaves = [node for node in nodes if node.node_id not in parents and not node.pinned]
    return min(leaves, key=lambda node: node.last_used).node_id if leaves else None


def paths_of(nodes: Sequence[NodeView]) -> dict[int, Ids]:
    """All tokens from the beginning of a prompt to the end of each node."""
    paths: dict[int, Ids] = {}
    for node in nodes:
        above = () if node.parent_id is None else paths[node.parent_id]
        paths[node.node_id] = above + node.ids
    return paths


def longest_common(ids: Ids, others: Iterable[Ids]) -> int:
    """The most leading tokens that any of the others has in common."""
    return max((common_prefix(ids, other) for other in others), default=0)


def _beginning_with(path: Ids, prompts: Sequence[Ids]) -> tuple[int, ...]:
    return tuple(n for n, one in enumerate(prompts, 1) if one[: len(path)] == path)
