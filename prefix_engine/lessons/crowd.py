"""Who can share a prefix: one user or many, measured in arms that all run at batch size 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from prefix_engine.lessons.served import Pairs, cache_pairs
from prefix_engine.lessons.stream import Asked, Served, Stream, serve
from prefix_engine.watch import Watch

if TYPE_CHECKING:
    from prefix_engine.engine import Engine

ALONE = "user 1"


class Who(StrEnum):
    """Who sends the requests of one arm, and what they have in common."""

    UNRELATED = "one user, unrelated prompts"
    SYSTEM = "one user, one system prompt"
    CHAT = "one user, one chat"
    REPEAT = "one user, the same request twice"
    CROWD = "many users, one system prompt"
    SALTED = "many users, a namespace each"


@dataclass(frozen=True)
class Material:
    """What is sent. `system` is the system prompt; `questions` one for each user at least;
    `replies[i]` answers question i, for the chat; `unrelated` prompts have nothing in common."""

    system: str
    questions: tuple[str, ...]
    replies: tuple[str, ...]
    unrelated: tuple[str, ...]


@dataclass(frozen=True)
class ArmServed:
    """The requests of one arm, as they were served with the cache and without it."""

    who: Who
    stream: Stream


@dataclass(frozen=True)
class Crowd:
    """All arms. In those of many users, `users` of them send one request each."""

    users: int
    arms: tuple[ArmServed, ...]

    def of(self, who: Who) -> Stream:
        return next(arm.stream for arm in self.arms if arm.who is who)

    @property
    def found(self) -> tuple[Served, ...]:
        """The requests that came after another one with the same system prompt."""
        return (*self.of(Who.SYSTEM).requests[1:], *self.of(Who.CROWD).requests[1:])

    @property
    def speed(self) -> Pairs:
        """The runs of `found` with the cache, each against the one without."""
        return cache_pairs(self.found)


@dataclass(frozen=True)
class Sharing:
    """What so many users behind one system prompt prefill in all, one request each."""

    users: int
    tokens: int
    reused: int
    measured: bool

    @property
    def prefilled(self) -> int:
        return self.tokens - self.reused

    @property
    def hit_rate(self) -> float:
        """Reused part of all prompt tokens, 0 to 1."""
        return self.reused / self.tokens


def sharing(crowd: Stream, users: int) -> Sharing:
    """For as many users as were measured: the sum of their requests. For more: calculated, as if
    each further one sent a request like the mean of the measured later ones, and nothing were
    evicted."""
    first, *later = crowd.requests
    measured = users <= len(crowd.requests)
    if measured:
        counted = crowd.requests[:users]
        tokens, reused = sum(one.tokens for one in counted), sum(one.reused for one in counted)
    else:
        tokens = first.tokens + round((users - 1) * sum(one.tokens for one in later) / len(later))
        reused = round((users - 1) * sum(one.reused for one in later) / len(later))
    return Sharing(users, tokens, reused, measured)


def measure_crowd(
    engine: Engine, material: Material, users: int, rounds: int, watch: Watch | None = None
) -> Crowd:
    """Serve all arms, one request at a time. Each arm has a namespace of its own, and each user of
    the arm SALTED one too. Raises what `serve` raises."""
    arms = {who: list(requests_of(who, material, users)) for who in Who}
    arm_of = {one.name: who for who, asked in arms.items() for one in asked}

    def namespace(one: Asked) -> str:
        who = arm_of[one.name]
        return f"{who}: {one.user}" if who is Who.SALTED else who

    everything = [one for asked in arms.values() for one in asked]
    stream = serve(engine, everything, rounds, watch, namespace_of=namespace)
    return Crowd(
        users,
        tuple(
            ArmServed(
                who,
                replace(
                    stream,
                    requests=tuple(one for one in stream.requests if arm_of[one.name] is who),
                ),
            )
            for who in Who
        ),
    )


def requests_of(who: Who, material: Material, users: int) -> Iterator[Asked]:
    """The requests of one arm, in order. One user sends as many as there are unrelated prompts."""
    alone = len(material.unrelated)
    match who:
        case Who.UNRELATED:
            texts: Sequence[str] = material.unrelated
        case Who.SYSTEM:
            texts = [_first_turn(material, question) for question in material.questions[:alone]]
        case Who.CHAT:
            texts = _chat(material, alone)
        case Who.REPEAT:
            texts = [_first_turn(material, material.questions[0])] * 2
        case Who.CROWD | Who.SALTED:
            texts = [_first_turn(material, question) for question in material.questions[:users]]
    many = who in (Who.CROWD, Who.SALTED)
    for number, text in enumerate(texts, 1):
        yield Asked(f"{who}, request {number}", text, f"user {number}" if many else ALONE)


def _first_turn(material: Material, question: str) -> str:
    return material.system + _turn(question)


def _chat(material: Material, requests: int) -> list[str]:
    """The whole conversation so far, sent again with each new question."""
    texts = [_first_turn(material, material.questions[0])]
    turns = zip(material.replies, material.questions[1:requests], strict=False)
    for reply, question in turns:
        texts.append(f"{texts[-1]} {reply}{_turn(question)}")
    return texts


def _turn(question: str) -> str:
    return f"\n\nPassenger: {question}\nHelp desk:"
