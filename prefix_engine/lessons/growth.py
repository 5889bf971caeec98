"""The tree of a prefix cache after each request of a sequence: what it shares, splits and evicts.

The requests are served by the real model through a cache of their own, with a budget in tokens that
the engine's cache lends, so that all together hold no more than they may. The tree is looked at
before and after each request; what is gone from one look to the next was evicted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from prefix_engine.cache import NodeView, RadixCache
from prefix_engine.compare import common_prefix
from prefix_engine.errors import EmptyPrompt
from prefix_engine.glyphs import visible
from prefix_engine.lessons.pieces import Piece, PieceState, longest_common, paths_of, pieces_of
from prefix_engine.watch import Watch

if TYPE_CHECKING:
    from prefix_engine.engine import Engine, Prefill
    from prefix_engine.tokenizer import Tokenizer

Ids = tuple[int, ...]

TURN_TOKENS = 256
"""Short requests are served together in one turn, up to so many tokens: others wait meanwhile, but
who goes on later holds what was lent."""


@dataclass(frozen=True)
class Request:
    """A raw prompt, its token ids, and each token as a person can see it."""

    text: str
    ids: Ids
    words: tuple[str, ...]


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
    def is_repeat(self) -> bool:
        """Whether an earlier request began with all of it: its last token is computed once more."""
        return self.seen == self.tokens

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
    Raises `EmptyPrompt`, `PromptTooLong` and `TextError` before anything is computed, then
    `NoRoomNow` where that budget can't be lent, and what the watch raises.
    """
    watch = watch or Watch()
    requests = tuple(_request(engine, text, n) for n, text in enumerate(texts, 1))
    shape = engine.model.kv_shape
    cache = RadixCache(bytes_per_token=shape.bytes_per_token, budget_tokens=budget_tokens)
    own = engine.with_cache(cache)
    steps: list[Step] = []
    with ExitStack() as held:
        for together in _in_turns(requests):
            with watch.turn():
                if not steps:
                    held.enter_context(engine.cache.lend(budget_tokens))
                for number in together:
                    watch.tell((number - 1) / len(requests), f"Request {number} of {len(requests)}")
                    before, request = cache.nodes(), requests[number - 1]
                    prefill = own.prefill(request.text, on_step=watch.on_step)
                    if number == pinned:
                        held.enter_context(cache.pin(request.ids))
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


def _in_turns(requests: Sequence[Request]) -> Iterator[list[int]]:
    """The numbers of the requests, those together that one turn takes."""
    together: list[int] = []
    tokens = 0
    for number, request in enumerate(requests, 1):
        together.append(number)
        tokens += len(request.ids)
        if tokens >= TURN_TOKENS:
            yield together
            together, tokens = [], 0
    if together:
        yield together


def _request(engine: Engine, text: str, number: int) -> Request:
    ids = tuple(engine.encode(text, f"Request {number}"))
    if not ids:
        raise EmptyPrompt(f"Request {number} is empty: give it at least one character.")
    return Request(text, ids, token_words(engine.tokenizer, text))


def _step(
    cache: RadixCache, before: Sequence[NodeView], prefill: Prefill, requests: Sequence[Request]
) -> Step:
    earlier = [request.ids for request in requests[:-1]]
    present = longest_common(prefill.ids, paths_of(before).values())
    stats = cache.stats
    return Step(
        tokens=len(prefill.ids),
        present=present,
        seen=longest_common(prefill.ids, earlier),
        reused=prefill.reused,
        stored=prefill.insert.stored,
        refused=prefill.insert.refused,
        pieces=pieces_of(
            before, cache.nodes(), [request.ids for request in requests], prefill.reused
        ),
        stored_tokens=stats.stored_tokens,
        held_bytes=stats.held_bytes,
    )
