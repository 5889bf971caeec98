"""A prompt as ordered parts, some of which change from request to request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from prefix_engine.compare import State, common_prefix
from prefix_engine.tokenizer import Message, Prompt, Tokenized

BETWEEN_PARTS = "\n\n"
TEMPLATE = "chat template"
"""The name of what is of no part: the tokens that a chat template adds."""


@dataclass(frozen=True)
class Part:
    """A part of a prompt. `texts[i]` is what request i has there if the part changes; if it does
    not, all have the first one. `change` says in a few words what changes, `advice` in a sentence
    how to make it stable instead of moving it."""

    id: str
    title: str
    change: str
    texts: tuple[str, ...]
    advice: str = ""


@dataclass(frozen=True)
class Arrangement:
    """All parts of a prompt in their order by id, those that change, and how many requests.

    In chat mode all parts together are the one user message.
    """

    order: tuple[str, ...]
    changing: frozenset[str]
    requests: int
    chat: bool = False


@dataclass(frozen=True)
class Stretch:
    """Consecutive tokens of one part (by its title), all in the same state."""

    part: str
    tokens: int
    state: State


def texts_of(part: Part, arrangement: Arrangement) -> tuple[str, ...]:
    """What each request has in this part."""
    last = arrangement.requests if part.id in arrangement.changing else 1
    return tuple(part.texts[min(i, last - 1)] for i in range(arrangement.requests))


def prompts_of(parts: Sequence[Part], arrangement: Arrangement) -> tuple[Prompt, ...]:
    """The prompt of each request: its parts in order, with an empty line between any two."""
    columns = [texts_of(part, arrangement) for part in in_order(parts, arrangement.order)]
    texts = [BETWEEN_PARTS.join(texts) for texts in zip(*columns, strict=True)]
    return tuple((Message("user", text),) if arrangement.chat else text for text in texts)


def in_order(parts: Iterable[Part], order: Sequence[str]) -> tuple[Part, ...]:
    """The parts in the order of these ids."""
    by_id = {part.id: part for part in parts}
    return tuple(by_id[name] for name in order)


def moved_to(order: Sequence[str], part: str, place: int) -> tuple[str, ...]:
    """The order with one part at that place (from 0), the others as they were."""
    others = [name for name in order if name != part]
    return (*others[:place], part, *others[place:])


def times_changed(part: Part, arrangement: Arrangement) -> int:
    """How many requests have another text there than the one before."""
    return sum(a != b for a, b in pairwise(texts_of(part, arrangement)))


def kept_characters(part: Part, arrangement: Arrangement) -> int:
    """How much of its beginning each text has in common with the one before, at least."""
    texts = texts_of(part, arrangement)
    return min((common_prefix(a, b) for a, b in pairwise(texts)), default=len(texts[0]))


def stretches_of(
    parts: Sequence[Part],
    arrangement: Arrangement,
    request: int,
    tokenized: Tokenized,
    reused: int,
) -> tuple[Stretch, ...]:
    """One request's tokens by part and state, where its first `reused` tokens came from the cache.

    `tokenized` is the request's prompt. A token belongs to the part in which it begins; the empty
    line before a part counts to it. A token that is computed is the same as before where its part,
    up to the token's end, was in an earlier request too.
    """
    places = _places(in_order(parts, arrangement.order), arrangement, request, tokenized)
    tokens = tokenized.tokens
    ends = [*(token.character for token in tokens[1:]), len(tokenized.text)]
    labelled = []
    for at, (token, end) in enumerate(zip(tokens, ends, strict=True)):
        if token.part == "template":
            title, same = TEMPLATE, True
        else:
            place = next(place for place in places if token.character < place.end)
            title, same = place.title, end <= place.known_until
        computed = State.SAME_RECOMPUTED if same else State.DIFFERENT
        state = State.REUSED if at < reused else computed if request else State.NEW
        labelled.append((title, state))
    return tuple(
        Stretch(title, len(list(group)), state) for (title, state), group in groupby(labelled)
    )


@dataclass(frozen=True)
class _Place:
    """Where a part ends in a prompt, and up to where an earlier request had the same in it."""

    title: str
    end: int
    known_until: int


def _places(
    ordered: Sequence[Part], arrangement: Arrangement, request: int, tokenized: Tokenized
) -> list[_Place]:
    start = next(token.character for token in tokenized.tokens if token.part == "text")
    places = []
    for part in ordered:
        texts = texts_of(part, arrangement)
        text = texts[request]
        known = max((common_prefix(text, earlier) for earlier in texts[:request]), default=0)
        places.append(_Place(part.title, start + len(text), start + known))
        start += len(text) + len(BETWEEN_PARTS)
    return places
