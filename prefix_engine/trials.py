"""Fair timing: cold, a never-seen control, and a hit, interleaved.

A is computed and stored in a namespace of its own before anything is timed. It is pinned during
each trial only: between two of them others may need the room, and then A is computed and stored
again before the next. A trial runs B in one of three arms and stores nothing, so that each starts
from the same state:

- cold: an empty namespace; nothing can be reused;
- control: the namespace that holds A, but B's first token is replaced by one that begins no stored
  prompt: the same work as a cold run, on an engine as warm as for the hit. A "speed-up" that the
  control has too was only warm-up;
- hit: the namespace that holds A; reuses exactly what the rule predicts.

After one discarded round come rounds of the three arms in random order. Every trial is kept.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace

from prefix_engine.compare import common_prefix, reusable
from prefix_engine.engine import Engine, Prefill, Step
from prefix_engine.errors import NoRoomNow, PrefixEngineError
from prefix_engine.speed import Arm, Trial
from prefix_engine.tokenizer import Prompt
from prefix_engine.watch import OnStep, Turn


class WrongReuse(PrefixEngineError):
    """A trial reused more or fewer tokens than the rule says; its timing would prove nothing."""


class Experiment:
    """A stored in `namespace`, B ready to be timed. Made by `experiment`."""

    def __init__(self, engine: Engine, a: Prompt, b: Prompt, namespace: str) -> None:
        self.engine = engine
        self._a = a
        self.b = b
        self.b_ids = tuple(engine.tokenizer.encode(b))
        self.namespace = namespace
        self.a_prefill: Prefill | None = None
        self._a_ids = tuple(engine.tokenizer.encode(a))

    def store_a(self, on_step: OnStep | None = None) -> None:
        """Compute and store A, before the first trial; an empty A needs nothing."""
        if self._a_ids:
            self.a_prefill = self.engine.prefill(self._a, namespace=self.namespace, on_step=on_step)

    @property
    def a_refused(self) -> bool:
        """Whether the cache had no room for A, so that nothing of it can be reused."""
        return self.a_prefill is not None and self.a_prefill.insert.refused

    @property
    def predicted_reuse(self) -> int:
        """Tokens that a hit must reuse: rule 1 on the two prompts, 0 where A is not stored."""
        if self.a_refused:
            return 0
        shared = common_prefix(self._a_ids, self.b_ids)
        return reusable(shared, len(self.b_ids), self.engine.cache.block_size)

    def run(self, arm: Arm, on_step: OnStep | None = None) -> Prefill:
        """Prefill B once in this arm, storing nothing. Raises `WrongReuse` and `NoRoomNow`."""
        with self.a_pinned(on_step):
            prefill = self.engine.prefill(
                self.b,
                namespace=self._namespace(arm),
                store=False,
                first_id=self._unseen_first_id() if arm is Arm.CONTROL else None,
                on_step=on_step,
            )
        self._check_reuse(arm, prefill)
        return prefill

    def answer(
        self, arm: Arm, max_new_tokens: int, on_step: OnStep | None = None
    ) -> Generator[Step, None, None]:
        """Generate a greedy reply to B in this arm, storing nothing. Raises as `run` does."""
        with self.a_pinned(on_step):
            steps = self.engine.generate(
                self.b,
                namespace=self._namespace(arm),
                store=False,
                max_new_tokens=max_new_tokens,
                on_step=on_step,
            )
            with closing(steps):
                for step in steps:
                    self._check_reuse(arm, step.prefill)
                    yield step

    def rounds(
        self,
        count: int,
        on_step: OnStep | None = None,
        turn: Turn = nullcontext,
        seed: int | None = None,
    ) -> Iterator[Trial]:
        """Yield the trials of the discarded round 0 and of rounds 1 to `count`, as they are run,
        each in a turn of its own."""
        dice = random.Random(seed)
        for number in range(count + 1):
            arms = list(Arm)
            dice.shuffle(arms)
            for arm in arms:
                with turn():
                    prefill = self.run(arm, on_step)
                yield Trial(number, arm, prefill.reused, prefill.timing)

    def judged(self, trial: Trial) -> Trial:
        """The trial, held against what is known by now of an unloaded machine."""
        computed = len(self.b_ids) - trial.reused
        return replace(trial, timing=self.engine.judged(trial.timing, computed))

    @contextmanager
    def a_pinned(self, on_step: OnStep | None = None) -> Iterator[None]:
        """Keep A in the cache for the block, as `kept` does. Where it was refused at the beginning
        there is nothing to keep."""
        if self.a_prefill is None or self.a_refused:
            yield
            return
        with kept(self.engine, self._a, self.namespace, on_step):
            yield

    def _check_reuse(self, arm: Arm, prefill: Prefill) -> None:
        expected = self.predicted_reuse if arm is Arm.HIT else 0
        if prefill.reused != expected:
            raise WrongReuse(
                f"A {arm} trial reused {prefill.reused} tokens where the rule says {expected}."
            )

    def _namespace(self, arm: Arm) -> str:
        return f"{self.namespace}-empty" if arm is Arm.COLD else self.namespace

    def _unseen_first_id(self) -> int:
        """A token that begins neither prompt, and so no stored one, and that ends no reply."""
        taken = {*self._a_ids[:1], *self.b_ids[:1], *self.engine.model.info.stop_ids}
        return next(
            i for i in range(self.engine.model.info.vocabulary - 1, -1, -1) if i not in taken
        )


@contextmanager
def kept(
    engine: Engine, prompt: Prompt, namespace: str, on_step: OnStep | None = None
) -> Iterator[None]:
    """Keep a prompt's KV in the cache for the block, storing it first if it is missing: others may
    have needed the room. Raises `NoRoomNow` where there is none left."""
    ids, block = engine.tokenizer.encode(prompt), engine.cache.block_size
    with engine.cache.pin(ids, namespace) as lease:
        if lease.tokens == len(ids) // block * block:
            yield
            return
    if engine.prefill(prompt, namespace=namespace, on_step=on_step).insert.refused:
        raise NoRoomNow(
            "Others use all the room that the cache has for KV. Nothing is lost: "
            "run it again in a minute."
        )
    with engine.cache.pin(ids, namespace):
        yield


@contextmanager
def experiment(
    engine: Engine,
    a: Prompt,
    b: Prompt,
    on_step: OnStep | None = None,
    turn: Turn = nullcontext,
) -> Iterator[Experiment]:
    """Set up a fresh namespace for the block, with A stored; drop it afterwards.

    Raises what `Engine.prefill` raises for either prompt; an empty A is no error, an empty B is.
    """
    made = Experiment(engine, a, b, f"trial-{uuid.uuid4().hex}")
    try:
        with turn():
            made.store_a(on_step)
        yield made
    finally:
        engine.cache.clear(made.namespace)
