"""One whole run of two prompts: compared, timed, checked, and answered if asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from prefix_engine.compare import Comparison, compare
from prefix_engine.diagnose import diagnose
from prefix_engine.engine import Engine, Step
from prefix_engine.machine import describe_machine
from prefix_engine.proof import check_exactness
from prefix_engine.record import Exactness, Reply, Run
from prefix_engine.speed import Arm, Trial
from prefix_engine.tokenizer import Prompt
from prefix_engine.trials import Experiment, experiment
from prefix_engine.watch import Turn, Watch


@dataclass(frozen=True)
class RunWatch(Watch):
    """Hears besides each finished trial, with how many there will be, and each token of a reply."""

    on_trial: Callable[[Trial, int], None] | None = None
    on_token: Callable[[Arm, Step], None] | None = None


def run(
    engine: Engine,
    a: Prompt,
    b: Prompt,
    rounds: int,
    reply_tokens: int = 0,
    watch: RunWatch | None = None,
) -> Run:
    """Compare, time, check, and, with `reply_tokens`, answer B cold and from the cache.

    An empty B is compared only. Raises `TextTooLong`, `PromptTooLong`, `ReplyTooLong`,
    `TooManyTrials`, `TextError`, `WrongReuse`, `NoRoomNow`, and what the watch raises.
    """
    watch = watch or RunWatch()
    engine.check_trials(rounds)
    if reply_tokens:
        engine.check_reply_length(reply_tokens)
    comparison = compare_prompts(engine, a, b)
    waits_s: list[float] = []
    watch = replace(watch, turn=partial(_timed_turn, watch.turn, waits_s))
    a_refused, store_a_s = False, 0.0
    trials: tuple[Trial, ...] = ()
    exact: Exactness | None = None
    replies: tuple[Reply, ...] = ()
    if comparison.b.tokens:
        with experiment(engine, a, b, watch.on_step, watch.turn) as ready:
            a_refused = ready.a_refused
            store_a_s = ready.a_prefill.store_s if ready.a_prefill else 0.0
            trials = _time(ready, rounds, watch)
            with watch.turn():
                exact = check_exactness(ready, watch.on_step)
            if reply_tokens:
                replies = tuple(
                    _reply(ready, arm, reply_tokens, watch) for arm in (Arm.COLD, Arm.HIT)
                )
    return Run(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        model=engine.model.info,
        machine=describe_machine(),
        a=a,
        b=b,
        comparison=comparison,
        verdict=diagnose(comparison),
        kv_bytes_per_token=engine.model.kv_shape.bytes_per_token,
        a_refused=a_refused,
        store_a_s=store_a_s,
        waited_s=sum(waits_s),
        trials=trials,
        exact=exact,
        replies=replies,
    )


def compare_prompts(engine: Engine, a: Prompt, b: Prompt) -> Comparison:
    """Tokenize and compare, running nothing. Raises what `Engine.tokenize` raises."""
    return compare(engine.tokenize(a, "A"), engine.tokenize(b, "B"), engine.cache.block_size)


@contextmanager
def _timed_turn(turn: Turn, waits_s: list[float]) -> Iterator[None]:
    asked = time.perf_counter()
    with turn():
        waits_s.append(time.perf_counter() - asked)
        yield


def _time(ready: Experiment, rounds: int, watch: RunWatch) -> tuple[Trial, ...]:
    trials = []
    for trial in ready.rounds(rounds, watch.on_step, watch.turn):
        trials.append(trial)
        if watch.on_trial is not None:
            watch.on_trial(trial, len(Arm) * (rounds + 1))
    return tuple(map(ready.judged, trials))  # all by the same, which is known best at the end


def _reply(ready: Experiment, arm: Arm, max_new_tokens: int, watch: RunWatch) -> Reply:
    steps = []
    with watch.turn(), closing(ready.answer(arm, max_new_tokens, watch.on_step)) as answer:
        for step in answer:
            steps.append(step)
            if watch.on_token is not None:
                watch.on_token(arm, step)
    return Reply(
        arm=arm,
        ids=tuple(step.id for step in steps),
        text="".join(step.text for step in steps),
        ttft_s=steps[0].prefill.ttft_s if steps else None,
        later_s=tuple(step.seconds for step in steps[1:]),
    )
