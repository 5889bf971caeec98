"""Fair timing: cold, a never-seen control, and a hit, interleaved.

A is computed, stored and pinned in a namespace of its own before anything is timed. A trial then
runs B in one of three arms and stores nothing, so that each starts from the same state:

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
from contextlib import ExitStack, contextmanager, nullcontext

from prefix_engine.compare import common_prefix, reusable
from prefix_engine.engine import Engine, Prefill, Step
from prefix_engine.errors import PrefixEngineError
from prefix_engine.speed import Arm, Trial
from prefix_engine.tokenizer import Prompt
from prefix_engine.watch import OnStep, Turn


class WrongReuse(PrefixEngineError):
    """A trial reused more or fewer tokens than the rule says; its timing would prove nothing."""


class Experiment:
    """A stored and pinned in `namespace`, B ready to be timed. Made by `experiment`."""

    def __init__(self, engine: Engine, b: Prompt, namespace: str, a_ids: tuple[int, ...]) -> None:
        self.engine = engine
        self.b = b
        self.b_ids = tuple(engine.tokenizer.encode(b))
        self.namespace = namespace
        self.a_prefill: Prefill | None = None
        self._a_ids = a_ids

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
        """Prefill B once in this arm, storing nothing. Raises `WrongReuse`."""
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
        """Generate a greedy reply to B in this arm, storing nothing. Raises `WrongReuse`."""
        for step in self.engine.generate(
            self.b,
            namespace=self._namespace(arm),
            store=False,
            max_new_tokens=max_new_tokens,
            on_step=on_step,
        ):
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
def experiment(
    engine: Engine,
    a: Prompt,
    b: Prompt,
    on_step: OnStep | None = None,
    turn: Turn = nullcontext,
) -> Iterator[Experiment]:
    """Set up a fresh namespace for the block, with A stored and pinned; drop it afterwards.

    Raises what `Engine.prefill` raises for either prompt; an empty A is no error, an empty B is.
    """
    namespace, a_ids = f"trial-{uuid.uuid4().hex}", tuple(engine.tokenizer.encode(a))
    made = Experiment(engine, b, namespace, a_ids)
    try:
        with ExitStack() as stack:
            with turn():
                if a_ids:
                    made.a_prefill = engine.prefill(a, namespace=namespace, on_step=on_step)
                # in the same turn: whoever computes next may need the room that A takes
                stack.enter_context(engine.cache.pin(a_ids, namespace))
            yield made
    finally:
        engine.cache.clear(namespace)
