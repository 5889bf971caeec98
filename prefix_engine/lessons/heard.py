"""What an eavesdropper heard: plain facts and what they give away."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from prefix_engine.ranktest import mann_whitney
from prefix_engine.speed import DISTURBED_BELOW, ENOUGH_TRIALS, SIGNIFICANT_P


@dataclass(frozen=True)
class Probe:
    """One question sent by the eavesdropper. Round 0 is the discarded one."""

    round: int
    question: int
    tokens: int
    reused: int
    ttft_s: float
    cpu_over_wall: float


@dataclass(frozen=True)
class Eavesdropping:
    """`questions[secret]` is what the other user had asked; no probe's reuse counts in the guess,
    only its time. `shared` tokens begin every question: the system prompt, known to both."""

    questions: tuple[str, ...]
    secret: int
    salted: bool
    shared: int
    probes: tuple[Probe, ...]

    def times_s(self, question: int) -> tuple[float, ...]:
        """The undisturbed times of a question, the discarded round left out."""
        counted = [p for p in self.probes if p.round > 0 and p.question == question]
        best = max((p.cpu_over_wall for p in counted), default=0.0)
        return tuple(p.ttft_s for p in counted if p.cpu_over_wall >= DISTURBED_BELOW * best)

    def median_s(self, question: int) -> float | None:
        times = self.times_s(question)
        return statistics.median(times) if times else None

    @property
    def fewest(self) -> int:
        """Undisturbed probes of the question that has fewest."""
        return min(len(self.times_s(question)) for question in range(len(self.questions)))

    @property
    def accused(self) -> int | None:
        """The question that answers sooner than each of the others, by a one-sided rank test at
        p < 0.05 over the number of questions; None where no question does, or with too few probes.
        """
        if self.fewest < ENOUGH_TRIALS:
            return None
        everything = range(len(self.questions))
        times = [self.times_s(question) for question in everything]
        limit = SIGNIFICANT_P / len(times)
        for question in everything:
            others = [times[other] for other in everything if other != question]
            if all(mann_whitney(times[question], other).p < limit for other in others):
                return question
        return None

    @property
    def betrayed(self) -> bool:
        return self.accused == self.secret

    @property
    def sentence(self) -> str:
        """What the times gave away."""
        if self.fewest < ENOUGH_TRIALS:
            return (
                f"Too few probes to tell: {self.fewest} undisturbed of one question, "
                f"{ENOUGH_TRIALS} are needed of each. The machine was busy with other work."
            )
        if self.accused is None:
            return (
                "No question answers measurably sooner than the others: "
                "the times do not tell which was asked."
            )
        named = f"question {self.accused + 1} answers sooner than each of the others"
        if self.betrayed:
            return f"The times betray it: {named}, and it is the one that was asked."
        return f"The times mislead: {named}, but question {self.secret + 1} was asked."


@dataclass(frozen=True)
class SideChannel:
    """The same questions listened to twice: in one namespace for both users, and with a salt."""

    system: str
    shared: Eavesdropping
    salted: Eavesdropping

    @property
    def closed(self) -> bool | None:
        """Whether the salt closed what was open; None where nothing was open to begin with."""
        return self.salted.accused is None if self.shared.betrayed else None

    @property
    def sentence(self) -> str:
        """What the two runs show together."""
        if min(self.shared.fewest, self.salted.fewest) < ENOUGH_TRIALS:
            return "The machine was too busy with other work: these times can't tell anything."
        if not self.shared.betrayed:
            return "The times gave nothing away even in the shared cache, so the salt had no task."
        if self.closed:
            return "In the shared cache the times gave the question away; with a salt they did not."
        return (
            "In the shared cache the times gave the question away; with a salt they accuse a "
            "question as well: by chance, or because of a leak that the salt does not close."
        )
