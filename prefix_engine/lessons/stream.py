"""A stream of requests, each timed with the prefix cache and without it.

A round serves the requests in order, in namespaces of its own that are empty at its start. Each
request is computed twice, in random order: with the cache (look up, compute the rest, store) and
without it (look up nothing, compute everything, store nothing). So what a request finds is what
those before it left, and computing it without the cache changes nothing for those after it. What
others drive out between two turns is stored again before it is missed.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefix_engine.compare import reusable
from prefix_engine.errors import EmptyPrompt
from prefix_engine.keeper import Keeper
from prefix_engine.lessons.served import Served as Served
from prefix_engine.lessons.served import ServedTrial as ServedTrial
from prefix_engine.lessons.served import Stream as Stream
from prefix_engine.speed import Arm
from prefix_engine.tokenizer import Prompt
from prefix_engine.watch import Watch

if TYPE_CHECKING:
    from prefix_engine.engine import Engine, Prefill

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Asked:
    """One request of a stream; `user` is who sends it, where that matters."""

    name: str
    prompt: Prompt
    user: str = ""


NamespaceOf = Callable[[Asked], str]
"""Requests of one namespace share what is stored; those of another find nothing of it."""


def serve(
    engine: Engine,
    asked: Sequence[Asked],
    rounds: int,
    watch: Watch | None = None,
    *,
    namespace_of: NamespaceOf | None = None,
    seed: int | None = None,
) -> Stream:
    """Serve the requests in `rounds` rounds, after a warm-up that is discarded.

    The warm-up computes the longest request without the cache and with it. Without `namespace_of`
    all requests share. What each reuses is checked against the rule. All that was stored is dropped
    again, whatever happens. Raises `TooManyTrials`, `EmptyPrompt`, `PromptTooLong` and `TextError`
    before anything is computed, then `WrongReuse`, `NoRoomNow` if others leave no room, and what
    the watch does.
    """
    engine.check_trials(rounds)
    ids = [_checked_ids(engine, one) for one in asked]
    dice = random.Random(seed)
    progress = _Progress(watch or Watch(), of=2 * rounds * len(asked) + 2)
    evicted_tokens = 0
    if asked:
        longest = max(zip(asked, ids, strict=True), key=lambda pair: len(pair[1]))
        with _opened(engine, namespace_of, dice, progress) as warm_up:
            warm_up.serve(*longest, 0, "Warm-up")
    pairs: list[list[_Pair]] = [[] for _ in asked]
    for number in range(1, rounds + 1):
        with _opened(engine, namespace_of, dice, progress) as one_round:
            for request, tokens, made in zip(asked, ids, pairs, strict=True):
                name = f"Round {number} of {rounds}, {request.name}"
                made.append(one_round.serve(request, tokens, number, name))
            evicted_tokens += one_round.evicted_tokens
    return Stream(
        requests=tuple(
            _served(engine, request, len(tokens), made)
            for request, tokens, made in zip(asked, ids, pairs, strict=True)
        ),
        block_size=engine.cache.block_size,
        evicted_tokens=evicted_tokens,
    )


def _checked_ids(engine: Engine, request: Asked) -> Ids:
    ids = tuple(engine.encode(request.prompt, f'"{request.name}"'))
    if not ids:
        raise EmptyPrompt(f'"{request.name}" is empty: give it at least one character.')
    return ids


class _Progress:
    """Tells what comes next and takes a turn for it, for each of so many trials."""

    def __init__(self, watch: Watch, of: int) -> None:
        self.on_step = watch.on_step
        self._watch, self._of, self._done = watch, of, 0

    @contextmanager
    def trial(self, what: str) -> Iterator[None]:
        self._watch.tell(self._done / self._of, what)
        with self._watch.turn():
            yield
        self._done += 1


@dataclass(frozen=True)
class _Pair:
    """One request in one round: `shared` by the rule, and both ways to compute it."""

    round: int
    shared: int
    hit: Prefill
    cold: Prefill


class _Round:
    """Serves requests in namespaces that nobody else has, and knows what has to be found there."""

    def __init__(
        self,
        engine: Engine,
        namespace_of: NamespaceOf | None,
        dice: random.Random,
        progress: _Progress,
    ) -> None:
        self._engine, self._namespace_of = engine, namespace_of
        self._dice, self._progress = dice, progress
        self._name = f"stream-{uuid.uuid4().hex}"
        self._namespaces: set[str] = set()
        self._keeper = Keeper(engine)

    @property
    def evicted_tokens(self) -> int:
        """What had to go for what this round stored."""
        return self._keeper.evicted_tokens

    def serve(self, request: Asked, ids: Ids, number: int, name: str) -> _Pair:
        """Compute one request with the cache and without it, in random order."""
        namespace = self._name
        if self._namespace_of is not None:
            namespace += f"-{self._namespace_of(request)}"
        self._namespaces.add(namespace)
        shared = self._keeper.shared(ids, namespace)
        arms = [Arm.HIT, Arm.COLD]
        self._dice.shuffle(arms)
        made = {
            arm: self._with_cache(request, ids, namespace, name)
            if arm is Arm.HIT
            else self._without(request, name)
            for arm in arms
        }
        return _Pair(number, shared, made[Arm.HIT], made[Arm.COLD])

    def _with_cache(self, request: Asked, ids: Ids, namespace: str, name: str) -> Prefill:
        on_step, keeper = self._progress.on_step, self._keeper
        most = reusable(keeper.shared(ids, namespace), len(ids), self._engine.cache.block_size)
        with self._progress.trial(f"{name}, with the cache"):
            least = keeper.restore(ids, namespace, on_step)
            made = self._engine.prefill(request.prompt, namespace=namespace, on_step=on_step)
            keeper.note(request.prompt, made, namespace)
        self._check_reuse(request, made, least, most)
        return made

    def _without(self, request: Asked, name: str) -> Prefill:
        with self._progress.trial(f"{name}, without it"):
            made = self._engine.prefill(
                request.prompt, read=False, store=False, on_step=self._progress.on_step
            )
        self._check_reuse(request, made, 0, 0)
        return made

    def _check_reuse(self, request: Asked, prefill: Prefill, least: int, most: int) -> None:
        """Exactly what the rule says; less only where the stream itself drove some out."""
        from prefix_engine.trials import WrongReuse  # torch, as the engine has by now

        if not least <= prefill.reused <= most or prefill.reused % self._engine.cache.block_size:
            says = f"{most}" if least == most else f"{least} to {most}"
            raise WrongReuse(
                f'"{request.name}" reused {prefill.reused} tokens where the rule says {says}.'
            )

    def clear(self) -> None:
        """Drop all that was stored; the other namespaces too, where one can't be cleared."""
        with ExitStack() as every_one:
            for namespace in self._namespaces:
                every_one.callback(self._engine.cache.clear, namespace)


@contextmanager
def _opened(
    engine: Engine, namespace_of: NamespaceOf | None, dice: random.Random, progress: _Progress
) -> Iterator[_Round]:
    opened = _Round(engine, namespace_of, dice, progress)
    try:
        yield opened
    finally:
        opened.clear()


def _served(engine: Engine, request: Asked, tokens: int, pairs: Sequence[_Pair]) -> Served:
    return Served(
        name=request.name,
        user=request.user,
        tokens=tokens,
        reused=min(pair.hit.reused for pair in pairs),
        shared=max(pair.shared for pair in pairs),
        trials=tuple(_served_trial(engine, pair) for pair in pairs),
    )


def _served_trial(engine: Engine, pair: _Pair) -> ServedTrial:
    """The pair's times, held against what is known of an unloaded machine when all are made."""
    hit, cold = pair.hit, pair.cold
    return ServedTrial(
        round=pair.round,
        reused=hit.reused,
        ttft_s=hit.ttft_s,
        cold_ttft_s=cold.ttft_s,
        cpu_over_wall=hit.timing.cpu_over_wall,
        cold_cpu_over_wall=cold.timing.cpu_over_wall,
        store_s=hit.store_s,
        refused=hit.insert.refused,
        ttft_disturbed=engine.judged(hit.timing, hit.computed).disturbed,
        cold_disturbed=engine.judged(cold.timing, cold.computed).disturbed,
    )
