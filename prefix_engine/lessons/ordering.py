"""Orders of a prompt's parts: which one to suggest, why, and what each reuses when measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from prefix_engine.lessons.parts import (
    Arrangement,
    Part,
    Stretch,
    in_order,
    kept_characters,
    moved_to,
    prompts_of,
    stretches_of,
    times_changed,
)
from prefix_engine.lessons.served import Pairs, paired
from prefix_engine.lessons.stream import Asked, Served, Stream, serve
from prefix_engine.tokenizer import Prompt
from prefix_engine.watch import Watch

if TYPE_CHECKING:
    from prefix_engine.engine import Engine

QUESTION = "question"
"""The part that the suggestion keeps at the end: a model answers what it reads last."""

ORDERS_PART = 0.45
"""About the part of a measurement's work that the two orders take; the places take the rest."""


@dataclass(frozen=True)
class Ordered:
    """A stream of requests that have their parts in this order, with each one's tokens by part."""

    order: tuple[str, ...]
    stream: Stream
    stretches: tuple[tuple[Stretch, ...], ...]

    @property
    def later(self) -> tuple[Served, ...]:
        """All requests but the first one, which finds nothing in the cache."""
        return self.stream.requests[1:]

    @property
    def later_tokens(self) -> int:
        return sum(one.tokens for one in self.later)

    @property
    def later_reused(self) -> int:
        return sum(one.reused for one in self.later)

    @property
    def later_share(self) -> float:
        """The reused part of the later requests' tokens, 0 to 1."""
        return self.later_reused / self.later_tokens


@dataclass(frozen=True)
class Orders:
    """What was measured: the arrangement as given, the suggested one, and at least two requests
    for each place of the part `moved`, from the front to the back."""

    arrangement: Arrangement
    moved: str
    given: Ordered
    suggested: Ordered
    places: tuple[Ordered, ...]

    @property
    def speed(self) -> Pairs:
        """The suggested order's times, each against the given one's of the same later request in
        the same round."""
        return paired(
            (suggested.ttft_s, given.ttft_s)
            for two in zip(self.suggested.later, self.given.later, strict=True)
            for suggested, given in zip(*(one.trials for one in two), strict=True)
            if not suggested.ttft_disturbed and not given.ttft_disturbed
        )


def suggest(parts: Sequence[Part], arrangement: Arrangement) -> tuple[str, ...]:
    """The order that a rule suggests: stable parts first, the question last.

    Between them the parts that change: the seldomer first, of equals the one whose beginning stays
    the same for longer. Parts alike in all that keep their order. The rule looks at each part by
    itself, so another order may reuse more: measure it.
    """

    def novelty(part: Part) -> tuple[bool, int, int]:
        changed = times_changed(part, arrangement)
        return part.id == QUESTION, changed, -kept_characters(part, arrangement) if changed else 0

    return tuple(part.id for part in sorted(in_order(parts, arrangement.order), key=novelty))


def swapped(old: Sequence[str], new: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The pairs of parts that stand in `old` as (first, second), and in `new` the other way."""
    return tuple(pair for pair in combinations(old, 2) if new.index(pair[0]) > new.index(pair[1]))


def measure_orders(
    engine: Engine,
    parts: Sequence[Part],
    arrangement: Arrangement,
    moved: str,
    rounds: int,
    watch: Watch | None = None,
) -> Orders:
    """Measure the given and the suggested order in `rounds` rounds, then in as many rounds of two
    requests every other order that has `moved` at another place.

    Each order has a namespace of its own. Raises what `serve` raises.
    """
    watch = watch or Watch()
    # an order that comes up more than once is measured once
    both = dict.fromkeys((arrangement.order, suggest(parts, arrangement)))
    measured = _measure(
        engine,
        parts,
        [replace(arrangement, order=order) for order in both],
        rounds,
        _within(watch, 0, ORDERS_PART),
    )
    of = dict(zip(both, measured, strict=True))
    places = [moved_to(arrangement.order, moved, place) for place in range(len(arrangement.order))]
    others = [order for order in places if order not in of]
    pairs = [replace(arrangement, order=order, requests=2) for order in others]
    measured = _measure(engine, parts, pairs, rounds, _within(watch, ORDERS_PART, 1))
    of |= zip(others, measured, strict=True)
    return Orders(
        arrangement=arrangement,
        moved=moved,
        given=of[arrangement.order],
        suggested=of[suggest(parts, arrangement)],
        places=tuple(of[order] for order in places),
    )


def _measure(
    engine: Engine,
    parts: Sequence[Part],
    arrangements: Sequence[Arrangement],
    rounds: int,
    watch: Watch,
) -> tuple[Ordered, ...]:
    """One stream of all arrangements: request 1 of each, then request 2 of each, and so on, so that
    what the machine does besides meets all of them alike."""
    prompts = [prompts_of(parts, arrangement) for arrangement in arrangements]
    asked = [
        Asked(f"order {which + 1}, request {request + 1}", of_one[request], user=str(which))
        for request in range(arrangements[0].requests)
        for which, of_one in enumerate(prompts)
    ]
    stream = serve(engine, asked, rounds, watch, namespace_of=lambda one: one.user)
    return tuple(
        _ordered(engine, parts, arrangement, prompts[which], _only(stream, str(which)))
        for which, arrangement in enumerate(arrangements)
    )


def _only(stream: Stream, user: str) -> Stream:
    return replace(stream, requests=tuple(one for one in stream.requests if one.user == user))


def _ordered(
    engine: Engine,
    parts: Sequence[Part],
    arrangement: Arrangement,
    prompts: Sequence[Prompt],
    stream: Stream,
) -> Ordered:
    return Ordered(
        order=arrangement.order,
        stream=stream,
        stretches=tuple(
            stretches_of(parts, arrangement, at, engine.tokenizer.tokenize(prompt), served.reused)
            for at, (prompt, served) in enumerate(zip(prompts, stream.requests, strict=True))
        ),
    )


def _within(watch: Watch, begin: float, end: float) -> Watch:
    """The same watch, for work that is this part of the whole."""
    tell: Callable[[float, str], None] = watch.tell
    return replace(watch, tell=lambda part, what: tell(begin + part * (end - begin), what))
