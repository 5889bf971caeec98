"""What one run of two prompts found: plain facts, made by `run.py`, kept by `export.py`."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from decimal import Decimal

from prefix_engine.compare import Comparison
from prefix_engine.diagnose import Verdict
from prefix_engine.machine import Machine
from prefix_engine.model.info import ModelInfo
from prefix_engine.speed import Arm, ArmSummary, SpeedVerdict, Trial, judge_speed, summarize
from prefix_engine.tokenizer import Prompt


@dataclass(frozen=True)
class Exactness:
    """A hit against a cold run of the same prompt.

    `kv_equal`: every reused position and layer has the same bits; `max_abs_kv_diff` and
    `max_abs_logit_diff` are the largest differences, 0.0 where the bits are equal.
    """

    reused: int
    kv_equal: bool
    max_abs_kv_diff: float
    logits_equal: bool
    max_abs_logit_diff: float
    same_first_token: bool

    @property
    def bit_identical(self) -> bool:
        return self.kv_equal and self.logits_equal

    @property
    def sentence(self) -> str:
        """What a hit has in common with a cold run, claiming no more than was compared."""
        if self.reused == 0:
            return "No KV was reused, so there is nothing whose exactness could be checked."
        if self.bit_identical:
            return "Exact: the hit has the bits of a cold run, in the reused KV and in all logits."
        kv = _likeness("the reused KV", "has", "differs", self.max_abs_kv_diff, self.kv_equal)
        logits = _likeness(
            "the logits", "have", "differ", self.max_abs_logit_diff, self.logits_equal
        )
        first = "the same" if self.same_first_token else "another one"
        return f"Not all the bits of a cold run: {kv}, {logits}, and the first token is {first}."


def _likeness(what: str, has: str, differs: str, difference: float, equal: bool) -> str:
    if equal:
        return f"{what} {has} the same bits"
    # one figure that counts, without an exponent: 0.00003
    return f"{what} {differs} by at most {Decimal(f'{difference:.1g}'):f}"


@dataclass(frozen=True)
class Reply:
    """A greedy reply to B, from a cold start or from the cache.

    `ttft_s` is the time to the first token, `later_s` the seconds each later token took. A reply
    that the model ended at once has no tokens, and so no time.
    """

    arm: Arm
    ids: tuple[int, ...]
    text: str
    ttft_s: float | None
    later_s: tuple[float, ...]

    @property
    def later_median_s(self) -> float | None:
        return statistics.median(self.later_s) if self.later_s else None


@dataclass(frozen=True)
class Run:
    """What a run found. `trials` holds every trial, the discarded round 0 too; it is empty, and
    `exact` None, where B is empty and there is nothing to run. `store_a_s` is the time that storing
    A's KV took and `waited_s` the time spent waiting for turns: neither is in any trial."""

    date: str
    model: ModelInfo
    machine: Machine
    a: Prompt
    b: Prompt
    comparison: Comparison
    verdict: Verdict
    kv_bytes_per_token: int
    a_refused: bool
    store_a_s: float
    waited_s: float
    trials: tuple[Trial, ...]
    exact: Exactness | None
    replies: tuple[Reply, ...]

    @property
    def kv_bytes_reused(self) -> int:
        return self.reused * self.kv_bytes_per_token

    @property
    def reused(self) -> int:
        """Tokens a hit reuses: what the comparison says, unless A could not be stored."""
        return 0 if self.a_refused else self.comparison.reused

    @property
    def computed(self) -> int:
        return self.total - self.reused

    @property
    def total(self) -> int:
        """Tokens of B."""
        return len(self.comparison.b.tokens)

    @property
    def kv_bytes(self) -> int:
        return self.total * self.kv_bytes_per_token

    @property
    def kv_bytes_computed(self) -> int:
        return self.computed * self.kv_bytes_per_token

    @property
    def rounds(self) -> int:
        """Rounds that count: the discarded one does not."""
        return max((trial.round for trial in self.trials), default=0)

    @property
    def arms(self) -> dict[Arm, ArmSummary]:
        return summarize(self.trials)

    @property
    def speed(self) -> SpeedVerdict:
        return judge_speed(self.arms)
