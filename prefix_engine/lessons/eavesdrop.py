"""The side channel: in a shared cache, time to first token tells what somebody else has asked.

One user asks one of several questions. Another, who never sees it, sends each of the questions and
listens to how soon the first token comes: what comes soonest was asked before. With a salt, a
namespace for each user, there is nothing to hear. Measured on real engines by "The Early Bird
Catches the Leak" (Song et al., arXiv 2411.18191) and recorded as CVE-2025-46570 for vLLM, which
closes it with `cache_salt`.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import replace

from prefix_engine.compare import common_prefix
from prefix_engine.engine import Engine
from prefix_engine.lessons.heard import Eavesdropping, Probe, SideChannel
from prefix_engine.tokenizer import Message, Prompt
from prefix_engine.watch import Watch


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

    def half(of: int) -> Watch:
        what = "with a salt" if of else "in a shared cache"
        return replace(
            watch, tell=lambda part, text: watch.tell((part + of) / 2, f"{text}, {what}")
        )

    shared = eavesdrop(engine, system, questions, secret, False, rounds, half(0), seed)
    salted = eavesdrop(engine, system, questions, secret, True, rounds, half(1), seed)
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
    discarded round. Raises what `Engine.prefill` and the watch raise; the cache keeps nothing.
    """
    watch = watch or Watch()
    prompts: list[Prompt] = [
        (Message("system", system), Message("user", question)) for question in questions
    ]
    dice = random.Random(seed)
    spy = f"spy-{uuid.uuid4().hex}"
    victim = f"{spy}-victim" if salted else spy
    try:
        with watch.turn():
            ready = engine.prefill(
                (Message("system", system),), namespace=spy, on_step=watch.on_step
            )
            engine.prefill(prompts[secret], namespace=victim, on_step=watch.on_step)
        probes: list[Probe] = []
        for number in range(rounds + 1):
            order = list(range(len(prompts)))
            dice.shuffle(order)
            for question in order:
                done = len(probes) / (len(prompts) * (rounds + 1))
                watch.tell(done, f"Round {number}: sending question {question + 1}")
                with watch.turn():
                    heard = engine.prefill(
                        prompts[question], namespace=spy, store=False, on_step=watch.on_step
                    )
                probes.append(
                    Probe(
                        round=number,
                        question=question,
                        tokens=len(heard.ids),
                        reused=heard.reused,
                        ttft_s=heard.ttft_s,
                        cpu_over_wall=heard.timing.cpu_over_wall,
                    )
                )
    finally:
        for namespace in {spy, victim}:
            engine.cache.clear(namespace)
    shared = min(common_prefix(ready.ids, engine.tokenizer.encode(p)) for p in prompts)
    return Eavesdropping(tuple(questions), secret, salted, shared, tuple(probes))
