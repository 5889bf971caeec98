"""The side channel: in a shared cache, time to first token tells what somebody else has asked.

One user asks one of several questions. Another, who never sees it, sends each of the questions and
listens to how soon the first token comes: what comes soonest was asked before. With a salt, a
namespace for each user, there is nothing to hear. Measured on real engines by "The Early Bird
Catches the Leak" (Song et al., arXiv 2411.18191) and recorded as CVE-2025-46570 for vLLM, which
closes it with `cache_salt`.

What the times are compared by is kept in the cache as `trials.py` keeps its A: pinned in each turn,
and stored again first where it was evicted between two. In a room nothing is kept, for what the
others asked is not the listener's; there a change is only noticed, by the reuse of the probes.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from prefix_engine.compare import common_prefix, reusable
from prefix_engine.engine import Engine, Prefill
from prefix_engine.lessons.heard import Eavesdropping, Probe, SideChannel
from prefix_engine.stopwatch import Timing
from prefix_engine.tokenizer import Message, Prompt
from prefix_engine.trials import WrongReuse, kept
from prefix_engine.watch import Watch, without_figures

NamespaceNow = Callable[[], str]


def open_and_close(
    engine: Engine,
    system: str,
    questions: Sequence[str],
    rounds: int,
    watch: Watch | None = None,
    seed: int | None = None,
) -> SideChannel:
    """Draw a question by lot, eavesdrop on it in a shared namespace, then with a salt."""
    watch = watch or Watch()
    secret = random.Random(seed).randrange(len(questions))
    first, second = _halves(watch)
    shared = eavesdrop(engine, system, questions, secret, False, rounds, first, seed)
    salted = eavesdrop(engine, system, questions, secret, True, rounds, second, seed)
    return SideChannel(system, shared, salted)


def eavesdrop(
    engine: Engine,
    system: str,
    questions: Sequence[str],
    secret: int,
    salted: bool,
    rounds: int,
    watch: Watch | None = None,
    seed: int | None = None,
) -> Eavesdropping:
    """Let one user ask `questions[secret]`, then time all questions as another user.

    Probes store nothing, so that listening changes nothing; they run in random order, after one
    discarded round. Raises what `Engine.prefill` and the watch raise, `WrongReuse`, and `NoRoomNow`
    where others leave no room for what is listened for; the cache keeps nothing.
    """
    watch = watch or Watch()
    spy = f"spy-{uuid.uuid4().hex}"
    victim = f"{spy}-victim" if salted else spy
    prompts = _prompts(system, questions)
    stored = (_Kept(spy, _alone(system)), _Kept(victim, prompts[secret]))
    listener = _Listener(engine, prompts, lambda: spy, stored, watch, random.Random(seed))
    try:
        listener.listen(rounds)
    finally:
        for namespace in {spy, victim}:
            engine.cache.clear(namespace)
    return listener.heard(questions, secret, salted)


def listen_and_salt(
    engine: Engine,
    namespace: NamespaceNow,
    system: str,
    questions: Sequence[str],
    rounds: int,
    watch: Watch | None = None,
    seed: int | None = None,
) -> SideChannel:
    """Time the questions in a room's namespace, where nobody knows what was asked, and then in one
    of one's own. The watch is not told how many tokens of a guess there are to compute.

    `namespace` is asked in each turn, and raises where nobody may listen any longer. Raises that,
    and as `eavesdrop` does. The room keeps what it has; what the guesses found is the last that
    goes when room is needed.
    """
    first, second = _halves(without_figures(watch or Watch()))
    own = f"spy-{uuid.uuid4().hex}"
    prompts = _prompts(system, questions)
    stored = (_Kept(own, _alone(system)),)
    dice = random.Random(seed)
    room = _Listener(engine, prompts, namespace, stored, first, dice)
    salted = _Listener(engine, prompts, lambda: own, stored, second, dice)
    try:
        room.listen(rounds)
        salted.listen(rounds)
    finally:
        engine.cache.clear(own)
    in_room = room.heard(questions, None, False)
    # what was asked there is so, whether it can be heard with a salt or not
    apart = replace(salted.heard(questions, None, True), whole=in_room.whole)
    return SideChannel(system, in_room, apart)


def _prompts(system: str, questions: Sequence[str]) -> list[Prompt]:
    return [(Message("system", system), Message("user", question)) for question in questions]


def _alone(system: str) -> Prompt:
    return (Message("system", system),)


def _halves(watch: Watch) -> tuple[Watch, Watch]:
    def half(of: int, what: str) -> Watch:
        return replace(
            watch, tell=lambda part, text: watch.tell((part + of) / 2, f"{text}, {what}")
        )

    return half(0, "in a shared cache"), half(1, "with a salt")


@dataclass(frozen=True)
class _Kept:
    """A prompt whose KV has to be in the cache, in that namespace, whenever a probe is timed."""

    namespace: str
    prompt: Prompt


@dataclass(frozen=True)
class _Sent:
    """A probe as it was timed."""

    round: int
    question: int
    tokens: int
    reused: int
    timing: Timing


class _Listener:
    """Sends the prompts to one namespace, in rounds.

    The first of `stored` is the eavesdropper's own system prompt. What the probes must reuse is
    known where all that is in their namespace is kept, and then checked.
    """

    def __init__(
        self,
        engine: Engine,
        prompts: Sequence[Prompt],
        namespace: NamespaceNow,
        stored: Sequence[_Kept],
        watch: Watch,
        dice: random.Random,
    ) -> None:
        self._engine = engine
        self._prompts = prompts
        self._namespace = namespace
        self._kept = stored
        self._watch = watch
        self._dice = dice
        self._sent: list[_Sent] = []

    def listen(self, rounds: int) -> None:
        """The discarded round 0 and rounds 1 to `rounds`, a turn for every probe."""
        with self._watch.turn(), self._all_pinned():
            pass
        for number in range(rounds + 1):
            order = list(range(len(self._prompts)))
            self._dice.shuffle(order)
            for place, question in enumerate(order):
                done = (number + place / len(order)) / (rounds + 1)
                self._watch.tell(done, f"Round {number}: probe {place + 1} of {len(order)}")
                self._probe(number, question)

    def heard(self, questions: Sequence[str], secret: int | None, salted: bool) -> Eavesdropping:
        """What came of it."""
        ids = [self._engine.tokenizer.encode(prompt) for prompt in self._prompts]
        system = self._engine.tokenizer.encode(self._kept[0].prompt)
        whole = [reusable(len(one), len(one), self._engine.cache.block_size) for one in ids]
        found = {one.question for one in self._sent if one.reused == whole[one.question]}
        return Eavesdropping(
            questions=tuple(questions),
            secret=secret,
            salted=salted,
            shared=min(common_prefix(system, one) for one in ids),
            probes=tuple(map(self._probe_of, self._sent)),
            whole=tuple(sorted(found)) if secret is None else (),
        )

    def _probe_of(self, sent: _Sent) -> Probe:
        """Held against what is known of an unloaded machine when all are sent."""
        timing = self._engine.judged(sent.timing, sent.tokens - sent.reused)
        return Probe(
            round=sent.round,
            question=sent.question,
            tokens=sent.tokens,
            reused=sent.reused,
            ttft_s=timing.total_s,
            cpu_over_wall=timing.cpu_over_wall,
            disturbed=timing.disturbed,
        )

    def _probe(self, number: int, question: int) -> None:
        with self._watch.turn(), self._all_pinned():
            namespace = self._namespace()
            prefill = self._engine.prefill(
                self._prompts[question],
                namespace=namespace,
                store=False,
                on_step=self._watch.on_step,
            )
        self._check_reuse(prefill, namespace)
        self._sent.append(_Sent(number, question, len(prefill.ids), prefill.reused, prefill.timing))

    @contextmanager
    def _all_pinned(self) -> Iterator[None]:
        with ExitStack() as pins:
            for one in self._kept:
                pins.enter_context(
                    kept(self._engine, one.prompt, one.namespace, self._watch.on_step)
                )
            yield

    def _check_reuse(self, prefill: Prefill, namespace: str) -> None:
        """In a namespace that is the eavesdropper's, what the rule says. Raises `WrongReuse`."""
        stored = [
            self._engine.tokenizer.encode(one.prompt)
            for one in self._kept
            if one.namespace == namespace
        ]
        if not stored:
            return
        shared = max(common_prefix(ids, prefill.ids) for ids in stored)
        expected = reusable(shared, len(prefill.ids), self._engine.cache.block_size)
        if prefill.reused != expected:
            raise WrongReuse(
                f"A probe reused {prefill.reused} tokens where the rule says {expected}."
            )
