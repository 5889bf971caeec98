"""What a stream of requests found: what each reused, and its times with and without the cache."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from math import comb

from prefix_engine.ranktest import chance_in_words
from prefix_engine.speed import ENOUGH_TRIALS, SIGNIFICANT_P, SpeedKind, was_busy


@dataclass(frozen=True)
class ServedTrial:
    """A request in one round (from 1): its time to first token with the cache and without it.

    `reused` tokens came from the cache. CPU time over wall time stands beside each of the two;
    where the machine gave one clearly less of its processors than when nothing else runs, it
    is marked as disturbed. Storing took `store_s`, after the first token and in no time here.
    `refused`: the cache had no room to store the request.
    """

    round: int
    reused: int
    ttft_s: float
    cold_ttft_s: float
    cpu_over_wall: float
    cold_cpu_over_wall: float
    store_s: float
    refused: bool = False
    ttft_disturbed: bool = False
    cold_disturbed: bool = False

    @property
    def disturbed(self) -> bool:
        return self.ttft_disturbed or self.cold_disturbed


@dataclass(frozen=True)
class Served:
    """One request of `tokens` tokens. `shared` leading ones are those of an earlier request of its
    namespace; `reused` of them came from the cache (the fewest, where rounds differ)."""

    name: str
    user: str
    tokens: int
    reused: int
    shared: int
    trials: tuple[ServedTrial, ...]

    def __post_init__(self) -> None:
        assert 0 <= self.reused <= self.shared <= self.tokens and self.reused < self.tokens

    @property
    def computed(self) -> int:
        return self.tokens - self.reused

    @property
    def ttft_median_s(self) -> float:
        """With the cache, disturbed trials left out, unless all were disturbed."""
        sound = [t.ttft_s for t in self.trials if not t.ttft_disturbed]
        return statistics.median(sound or [t.ttft_s for t in self.trials])

    @property
    def cold_median_s(self) -> float:
        """Without the cache, likewise."""
        sound = [t.cold_ttft_s for t in self.trials if not t.cold_disturbed]
        return statistics.median(sound or [t.cold_ttft_s for t in self.trials])

    @property
    def has_sound_medians(self) -> bool:
        """Whether both medians are of undisturbed trials."""
        return not (
            all(trial.ttft_disturbed for trial in self.trials)
            or all(trial.cold_disturbed for trial in self.trials)
        )

    @property
    def has_sound_pair(self) -> bool:
        """Whether any round disturbed neither of the two."""
        return any(not trial.disturbed for trial in self.trials)

    @property
    def saved_s(self) -> float:
        """By the medians; below zero where the cache cost time."""
        return self.cold_median_s - self.ttft_median_s


@dataclass(frozen=True)
class Stream:
    """A stream as it was served. `evicted_tokens` had to go for what this stream stored: where
    there are any, requests may reuse less than they share."""

    requests: tuple[Served, ...]
    block_size: int = 1
    evicted_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Prompt tokens of all requests: what is prefilled without the cache."""
        return sum(one.tokens for one in self.requests)

    @property
    def reused(self) -> int:
        return sum(one.reused for one in self.requests)

    @property
    def prefilled(self) -> int:
        """Tokens computed with the cache."""
        return self.tokens - self.reused

    @property
    def hit_rate(self) -> float:
        """Reused part of all prompt tokens, 0 to 1."""
        return self.reused / self.tokens if self.tokens else 0.0

    @property
    def saved_s(self) -> tuple[float, ...]:
        """Seconds saved from the first request up to each one."""
        return tuple(accumulate(one.saved_s for one in self.requests))

    @property
    def rounds(self) -> int:
        return max((len(one.trials) for one in self.requests), default=0)

    @property
    def refused(self) -> tuple[str, ...]:
        """The names of requests that the cache had no room to store."""
        return tuple(one.name for one in self.requests if any(t.refused for t in one.trials))

    def was_busy(self, threads: int) -> bool:
        """Whether not even the best run without the cache got most of the `threads` threads."""
        return was_busy((t.cold_cpu_over_wall for r in self.requests for t in r.trials), threads)


def reuse_sentence(stream: Stream) -> str:
    """How many prompt tokens came from the cache, and what kept it from giving more."""
    if not stream.reused:
        told = f"Nothing was reused: all {stream.tokens:,} prompt tokens were computed."
    else:
        told = (
            f"{stream.reused:,} of {stream.tokens:,} prompt tokens came from the cache "
            f"({stream.hit_rate:.0%}): {stream.prefilled:,} were computed instead of all."
        )
    if stream.refused:
        told += f" The cache had no room to store {_listed(stream.refused)}."
    if stream.evicted_tokens:
        told += f" {stream.evicted_tokens:,} tokens were evicted to store others."
    return told


def speed_kind(stream: Stream) -> SpeedKind:
    """Whether first tokens came sooner with the cache, of the requests that reused anything."""
    return cache_pairs(stream.requests).kind


def speed_sentence(stream: Stream, busy: bool) -> str:
    """The same in words, with the test's figures and the seconds saved; nothing is said of times
    that were taken while the machine was `busy` throughout."""
    if busy:
        return (
            "Whether that is faster can't be told: the machine was busy with other work throughout."
        )
    pairs = cache_pairs(stream.requests)
    if pairs.kind is SpeedKind.TOO_FEW:
        return (
            f"Too few runs to tell whether that is faster: {pairs.count} undisturbed pairs, "
            f"{ENOUGH_TRIALS} are needed."
        )
    wins = (
        f"in {pairs.wins} of {pairs.count} pairs the first token came sooner "
        f"({chance_in_words(pairs.p)})"
    )
    if pairs.kind is SpeedKind.NO_DIFFERENCE:
        return f"No measurable difference in time: {wins}."
    return f"With the cache it is faster: {wins}; {stream.saved_s[-1]:.1f} s saved in all."


@dataclass(frozen=True)
class Pairs:
    """Runs two by two, alike but for one thing: in `wins` of `count` the first came sooner.

    Judged by the one-sided sign test: it compares like with like, where requests of different
    lengths in one heap would not be.
    """

    wins: int
    count: int

    @property
    def p(self) -> float:
        """The chance of at least so many wins, were either as likely to come first."""
        return sign_test(self.wins, self.count)

    @property
    def kind(self) -> SpeedKind:
        """What may be said of the first."""
        if self.count < ENOUGH_TRIALS:
            return SpeedKind.TOO_FEW
        return SpeedKind.FASTER if self.p < SIGNIFICANT_P else SpeedKind.NO_DIFFERENCE


def paired(seconds: Iterable[tuple[float, float]]) -> Pairs:
    """Count the pairs whose first time is the shorter one."""
    wins = [first < second for first, second in seconds]
    return Pairs(sum(wins), len(wins))


def cache_pairs(requests: Iterable[Served]) -> Pairs:
    """Each undisturbed run that reused anything, with the cache and without it."""
    return paired(
        (trial.ttft_s, trial.cold_ttft_s)
        for one in requests
        for trial in one.trials
        if trial.reused and not trial.disturbed
    )


def sign_test(wins: int, pairs: int) -> float:
    """The chance of at least so many wins in so many pairs, were either side as likely to win."""
    return sum(comb(pairs, k) for k in range(wins, pairs + 1)) / (1 << pairs)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)
