"""Trials → medians and spread → what may be said about speed."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from prefix_engine.ranktest import RankTest, chance_in_words, mann_whitney
from prefix_engine.stopwatch import Timing

ENOUGH_TRIALS = 5
"""Trials an arm below which no verdict on speed is given."""
SIGNIFICANT_P = 0.05
BUSY_BELOW = 0.6
"""A run none of whose trials got this part of its threads was made on a busy machine."""


class Arm(StrEnum):
    """What a trial finds in the cache."""

    COLD = "cold"
    CONTROL = "control"
    HIT = "hit"


@dataclass(frozen=True)
class Trial:
    """One timed prefill of B. Round 0 is the discarded one."""

    round: int
    arm: Arm
    reused: int
    timing: Timing

    @property
    def ttft_s(self) -> float:
        return self.timing.total_s

    @property
    def disturbed(self) -> bool:
        """By the machine. The discarded round is left out in any case."""
        return self.round > 0 and self.timing.disturbed


@dataclass(frozen=True)
class ArmSummary:
    """The trials of one arm that count: not round 0, not the disturbed ones."""

    arm: Arm
    ttft_s: tuple[float, ...]
    disturbed: int

    @property
    def median_s(self) -> float | None:
        return statistics.median(self.ttft_s) if self.ttft_s else None

    @property
    def spread_s(self) -> float | None:
        """From the fastest to the slowest."""
        return max(self.ttft_s) - min(self.ttft_s) if self.ttft_s else None


class SpeedKind(StrEnum):
    """What the trials allow to be said of hits against controls."""

    FASTER = "faster"
    NO_DIFFERENCE = "no_measurable_difference"
    TOO_FEW = "too_few_runs"


@dataclass(frozen=True)
class SpeedVerdict:
    """The verdict in a word and in a sentence, with the rank test where there was one."""

    kind: SpeedKind
    sentence: str
    test: RankTest | None


def was_busy(shares: Iterable[float], threads: int) -> bool:
    """Whether not even the best of these shares of CPU time over wall time was most of what
    `threads` could have had: a machine that was busy already when the engine was loaded."""
    return max(shares, default=float(threads)) < BUSY_BELOW * threads


def summarize(trials: Sequence[Trial]) -> dict[Arm, ArmSummary]:
    """The arms' summaries, in the order cold, control, hit."""
    return {arm: _summary(arm, trials) for arm in Arm}


def _summary(arm: Arm, trials: Sequence[Trial]) -> ArmSummary:
    counted = [trial for trial in trials if trial.arm is arm and trial.round > 0]
    sound = [trial for trial in counted if not trial.disturbed]
    return ArmSummary(arm, tuple(t.ttft_s for t in sound), len(counted) - len(sound))


def judge_speed(arms: dict[Arm, ArmSummary]) -> SpeedVerdict:
    """Is a hit faster than a control? Said only on enough undisturbed trials and a rank test."""
    hit, control = arms[Arm.HIT], arms[Arm.CONTROL]
    fewest = min(len(hit.ttft_s), len(control.ttft_s))
    if fewest < ENOUGH_TRIALS:
        return SpeedVerdict(SpeedKind.TOO_FEW, _too_few(fewest), None)
    test = mann_whitney(hit.ttft_s, control.ttft_s)
    wins = (
        f"in {test.less:g} of {test.pairs} pairings the hit was faster ({chance_in_words(test.p)})"
    )
    if test.p < SIGNIFICANT_P:
        return SpeedVerdict(SpeedKind.FASTER, f"The hit is faster: {wins}.", test)
    return SpeedVerdict(SpeedKind.NO_DIFFERENCE, f"No measurable difference: {wins}.", test)


def _too_few(fewest: int) -> str:
    return (
        f"Too few runs to tell: {fewest} undisturbed in the smallest arm, "
        f"{ENOUGH_TRIALS} are needed in each."
    )
