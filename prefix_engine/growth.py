"""The tree of a prefix cache after each request of a sequence: what it shares, splits and evicts.

The requests are served by the real model through a cache of their own, with a budget in tokens, so
that what is stored for others is neither used nor evicted. The tree is looked at before and after
each request; what is gone from one look to the next was evicted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import TYPE_CHECKING

from prefix_engine.cache import NodeView, RadixCache
from prefix_engine.compare import common_prefix
from prefix_engine.errors import EmptyPrompt
from prefix_engine.glyphs import visible
from prefix_engine.watch import Watch

if TYPE_CHECKING:
    from prefix_engine.engine import Engine, Prefill
    from prefix_engine.tokenizer import Tokenizer

Ids = tuple[int, ...]


class PieceState(StrEnum):
    """What the latest request did with a piece of the tree."""

    REUSED = "reused"
    RECOMPUTED = "recomputed"
    NEW = "new"
    KEPT = "kept"
    EVICTED = "evicted"


@dataclass(frozen=True)
class Request:
    """A raw prompt, its token ids, and each token as a person can see it."""

    text: str
    ids: Ids
    words: tuple[str, ...]


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


@dataclass(frozen=True)
class Step:
    """One request, as it was served, and the tree after it. All counts are tokens.

    `present` leading tokens were in the tree when it came; `seen` leading tokens it has in common
    with some earlier request, stored still or not. `refused`: no room, nothing was stored.
    """

    tokens: int
    present: int
    seen: int
    reused: int
    stored: int
    refused: bool
    pieces: tuple[Piece, ...]
    stored_tokens: int
    held_bytes: int

    @property
    def computed(self) -> int:
        return self.tokens - self.reused

    @property
    def computed_again(self) -> int:
        """Tokens it would have reused, had nothing been evicted."""
        return min(self.seen, self.tokens - 1) - self.reused

    @property
    def evicted(self) -> tuple[Piece, ...]:
        """What went, in the order in which it went."""
        return tuple(piece for piece in self.pieces if piece.state is PieceState.EVICTED)

    @property
    def evicted_tokens(self) -> int:
        return sum(piece.tokens for piece in self.evicted)


@dataclass(frozen=True)
class Numbers:
    """The numbers that the KV of one token consists of, and how large each is."""

    layers: int
    kv_heads: int
    head_dim: int
    bytes_per_number: int

    @property
    def bytes_per_token(self) -> int:
        """2 (K and V) x layers x KV heads x head dimension x bytes per number."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.bytes_per_number


@dataclass(frozen=True)
class Growth:
    """A sequence of requests through one cache. `pinned` is a request's number, from 1, or None."""

    requests: tuple[Request, ...]
    budget_tokens: int
    pinned: int | None
    numbers: Numbers
    steps: tuple[Step, ...]

    @property
    def tokens(self) -> int:
        return sum(step.tokens for step in self.steps)

    @property
    def computed(self) -> int:
        return sum(step.computed for step in self.steps)

    @property
    def computed_again(self) -> int:
        return sum(step.computed_again for step in self.steps)

    @property
    def first_eviction(self) -> int | None:
        """The number of the first request that drove anything out."""
        return next((n for n, step in enumerate(self.steps, 1) if step.evicted), None)

    def words(self, piece: Piece) -> tuple[str, ...]:
        """The tokens of a piece, as a person can see them."""
        return self.requests[piece.requests[0] - 1].words[piece.start : piece.stop]

    def whole_prompts(self, number: int) -> tuple[int, ...]:
        """The numbers of the different prompts that the tree holds whole after a request."""
        kept = [p for p in self.steps[number - 1].pieces if p.state is not PieceState.EVICTED]
        whole: dict[Ids, int] = {}
        for at, request in enumerate(self.requests[:number], 1):
            if any(at in piece.requests and piece.stop == len(request.ids) for piece in kept):
                whole.setdefault(request.ids, at)
        return tuple(whole.values())


def grow(
    engine: Engine,
    texts: Sequence[str],
    budget_tokens: int,
    pinned: int | None = None,
    watch: Watch | None = None,
) -> Growth:
    """Serve the prompts in order, each once, through a cache of `budget_tokens` tokens.

    With `pinned` that request (from 1) is held in the cache from when it was stored to the end.
    Raises `EmptyPrompt`, `PromptTooLong` and `TextError` before anything is computed, then what the
    watch raises.
    """
    from prefix_engine.engine import Engine  # brings torch, which a page can't wait for

    watch = watch or Watch()
    requests = tuple(_request(engine, text, n) for n, text in enumerate(texts, 1))
    shape = engine.model.kv_shape
    cache = RadixCache(bytes_per_token=shape.bytes_per_token, budget_tokens=budget_tokens)
    own = Engine(engine.model, engine.tokenizer, cache, max_prompt_tokens=engine.max_prompt_tokens)
    steps: list[Step] = []
    with ExitStack() as pins:
        for number, request in enumerate(requests, 1):
            watch.tell((number - 1) / len(requests), f"Request {number} of {len(requests)}")
            before = cache.nodes()
            with watch.turn():
                prefill = own.prefill(request.text, on_step=watch.on_step)
            if number == pinned:
                pins.enter_context(cache.pin(request.ids))
            steps.append(_step(cache, before, prefill, requests[:number]))
    numbers = Numbers(shape.layers, shape.kv_heads, shape.head_dim, shape.dtype.itemsize)
    return Growth(requests, budget_tokens, pinned, numbers, tuple(steps))


def closest_pair(growth: Growth) -> tuple[int, int]:
    """The numbers of the two requests that share most before both go on, the earlier first.

    Requests of which one begins the other come after all those. At least two are needed.
    """
    ids = [request.ids for request in growth.requests]

    def closeness(pair: tuple[int, int]) -> tuple[bool, int]:
        a, b = ids[pair[0]], ids[pair[1]]
        shared = common_prefix(a, b)
        return shared < min(len(a), len(b)), shared

    a, b = max(combinations(range(len(ids)), 2), key=closeness)
    return a + 1, b + 1


def token_words(tokenizer: Tokenizer, text: str) -> tuple[str, ...]:
    """Each token with glyphs for what can't be seen; one that is part of a character as bytes."""
    return tuple(
        f"⟨{token.data.hex(' ')}⟩" if token.text is None else visible(token.text)
        for token in tokenizer.tokenize(text).tokens
    )


def _request(engine: Engine, text: str, number: int) -> Request:
    ids = tuple(engine.tokenizer.encode(text))
    if not ids:
        raise EmptyPrompt(f"Request {number} is empty: give it at least one character.")
    engine.check_length(len(ids), f"Request {number}")
    return Request(text, ids, token_words(engine.tokenizer, text))


def _step(
    cache: RadixCache, before: Sequence[NodeView], prefill: Prefill, requests: Sequence[Request]
) -> Step:
    earlier = [request.ids for request in requests[:-1]]
    present = _longest(prefill.ids, _paths(before).values())
    stats = cache.stats
    return Step(
        tokens=len(prefill.ids),
        present=present,
        seen=_longest(prefill.ids, earlier),
        reused=prefill.reused,
        stored=prefill.insert.stored,
        refused=prefill.insert.refused,
        pieces=_pieces(before, cache.nodes(), prefill, requests),
        stored_tokens=stats.stored_tokens,
        held_bytes=stats.held_bytes,
    )


def _pieces(
    before: Sequence[NodeView],
    after: Sequence[NodeView],
    prefill: Prefill,
    requests: Sequence[Request],
) -> tuple[Piece, ...]:
    """The tree as it is now, parents first, and then the ghosts of what is gone, as it went."""
    old, now = _paths(before), _paths(after)
    old_start = {node.node_id: len(old[node.node_id]) - len(node.ids) for node in before}
    goes_next = _next_to_go(after)
    pieces = []
    for node in after:
        path = now[node.node_id]
        start = len(path) - len(node.ids)
        is_old = node.node_id in old or _longest(path, old.values()) == len(path)
        pieces.append(
            Piece(
                id=node.node_id,
                parent=node.parent_id,
                start=start,
                stop=len(path),
                requests=_beginning_with(path, requests),
                state=_state(path, is_old, prefill),
                split=start > old_start.get(node.node_id, start),
                pinned=node.pinned,
                next_to_go=node.node_id == goes_next,
            )
        )
    ends = {path: node_id for node_id, path in now.items()}
    # the order of `Recency`: least recently used first, of one path the children before the parents
    for node in sorted(before, key=lambda node: (node.last_used, -len(old[node.node_id]))):
        path, first = old[node.node_id], old_start[node.node_id]
        stays = max(first, _longest(path, now.values()))
        if stays == len(path):
            continue
        # a node may have been split and lost only its lower part: its ghost hangs on the upper one
        parent = ends[path[:stays]] if stays > first else node.parent_id
        owners = _beginning_with(path, requests)
        pieces.append(
            Piece(node.node_id, parent, stays, len(path), owners, PieceState.EVICTED, stays > first)
        )
    return tuple(pieces)


def _state(path: Ids, is_old: bool, prefill: Prefill) -> PieceState:
    if prefill.ids[: len(path)] != path:
        return PieceState.KEPT
    if len(path) <= prefill.reused:
        return PieceState.REUSED
    return PieceState.RECOMPUTED if is_old else PieceState.NEW


def _next_to_go(nodes: Sequence[NodeView]) -> int | None:
    parents = {node.parent_id for node in nodes}
    leaves = [node for node in nodes if node.node_id not in parents and not node.pinned]
    return min(leaves, key=lambda node: node.last_used).node_id if leaves else None


def _paths(nodes: Sequence[NodeView]) -> dict[int, Ids]:
    """All tokens from the beginning of a prompt to the end of each node."""
    paths: dict[int, Ids] = {}
    for node in nodes:
        above = () if node.parent_id is None else paths[node.parent_id]
        paths[node.node_id] = above + node.ids
    return paths


def _longest(ids: Ids, others: Iterable[Ids]) -> int:
    """The most leading tokens that any of the others has in common."""
    return max((common_prefix(ids, other) for other in others), default=0)


def _beginning_with(path: Ids, requests: Sequence[Request]) -> tuple[int, ...]:
    return tuple(n for n, one in enumerate(requests, 1) if one.ids[: len(path)] == path)
