"""What an eavesdropper heard: plain facts and what they give away."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import combinations
from math import comb

from prefix_engine.ranktest import mann_whitney
from prefix_engine.speed import ENOUGH_TRIALS, SIGNIFICANT_P


@dataclass(frozen=True)
class Probe:
    """One question sent by the eavesdropper. Round 0 is the discarded one."""

    round: int
    question: int
    tokens: int
    reused: int
    ttft_s: float
    cpu_over_wall: float
    disturbed: bool = False
    """The machine gave it clearly less than when nothing else runs."""


@dataclass(frozen=True)
class Eavesdropping:
    """No probe's reuse counts in the guess, only its time. `shared` tokens begin every question:
    the system prompt, known to both.

    `questions[secret]` is what the other user had asked; None where nobody drew one, in a room,
    and the engine knows only what it found.
    """

    questions: tuple[str, ...]
    secret: int | None
    salted: bool
    shared: int
    probes: tuple[Probe, ...]
    whole: tuple[int, ...] = ()
    """In a room: the questions that were found whole there, but for the token that is always
    computed; the same in the half that listens with a salt."""

    @property
    def asked(self) -> tuple[int, ...]:
        """The questions that had been asked before: what the times may betray."""
        return self.whole if self.secret is None else (self.secret,)

    @property
    def changed(self) -> bool:
        """Whether the cache did not hold the same all the time: somebody asked, or KV was evicted.
        Times of before and after don't belong together."""
        return len({(probe.question, probe.reused) for probe in self.probes}) > len(self.questions)

    def counted(self, question: int) -> tuple[Probe, ...]:
        """All probes of a question but for the discarded round's."""
        return tuple(p for p in self.probes if p.round > 0 and p.question == question)

    def times_s(self, question: int) -> tuple[float, ...]:
        """The undisturbed times of a question, the discarded round left out."""
        return tuple(p.ttft_s for p in self.counted(question) if not p.disturbed)

    def median_s(self, question: int) -> float | None:
        times = self.times_s(question)
        return statistics.median(times) if times else None

    @property
    def fewest(self) -> int:
        """Undisturbed probes of the question that has fewest."""
        return min(len(self.times_s(question)) for question in range(len(self.questions)))

    @property
    def can_tell(self) -> bool:
        """Whether there is enough to go by."""
        return self.fewest >= ENOUGH_TRIALS and not self.changed

    @property
    def accused(self) -> tuple[int, ...]:
        """The questions that answer sooner than each of the others, by one-sided rank tests.

        Where one was drawn, one is looked for; in a room, the smallest set that can be told apart.
        As each set has a chance to be accused for nothing, p has to be below 0.05 over their
        number. Empty where no set can be told apart, or with too little to go by.
        """
        if not self.can_tell:
            return ()
        count = len(self.questions)
        sizes = range(1, count if self.secret is None else 2)
        limit = SIGNIFICANT_P / sum(comb(count, size) for size in sizes)
        times = [self.times_s(question) for question in range(count)]
        for size in sizes:
            for early in combinations(range(count), size):
                late = [times[other] for other in range(count) if other not in early]
                if all(
                    mann_whitney(times[one], other).p < limit for one in early for other in late
                ):
                    return early
        return ()

    @property
    def betrayed(self) -> bool:
        return self.accused != () and self.accused == self.asked

    @property
    def sentence(self) -> str:
        """What the times gave away."""
        if self.changed:
            return (
                "Can't tell: the cache changed while you listened. Somebody asked one of these "
                "questions, or others needed the room. Listen again."
            )
        if not self.can_tell:
            return (
                f"Can't tell: of one question only {self.fewest} probes were undisturbed, and "
                f"{ENOUGH_TRIALS} are needed of each. The machine was busy with other work."
            )
        if not self.accused:
            return (
                "No question answers measurably sooner than the others: "
                "the times do not tell which was asked."
            )
        one = len(self.accused) == 1
        named = f"{_named(self.accused)} {'answers' if one else 'answer'} sooner than the others"
        if self.betrayed:
            return f"The times betray it: {named}, and {'it was' if one else 'they were'} asked."
        return f"The times mislead: {named}, but {self._truth}."

    @property
    def _truth(self) -> str:
        if not self.asked:
            return "no question was asked before"
        return f"{_named(self.asked)} {'was' if len(self.asked) == 1 else 'were'} asked"


def _named(questions: tuple[int, ...]) -> str:
    numbers = " and ".join(str(question + 1) for question in questions)
    return f"question{'s' if len(questions) > 1 else ''} {numbers}"


@dataclass(frozen=True)
class SideChannel:
    """The same questions listened to twice: in one namespace for both users, and with a salt."""

    system: str
    shared: Eavesdropping
    salted: Eavesdropping

    @property
    def closed(self) -> bool | None:
        """Whether the salt closed what was open; None where nothing was open to begin with."""
        return not self.salted.accused if self.shared.betrayed else None

    @property
    def sentence(self) -> str:
        """What the two runs show together."""
        if self.shared.changed or self.salted.changed:
            return "The cache changed while you listened: these times can't tell anything."
        if not (self.shared.can_tell and self.salted.can_tell):
            return "The machine was too busy with other work: these times can't tell anything."
        if self.shared.accused and not self.shared.betrayed:
            return "In the shared cache the times pointed to what was not asked: they mislead."
        if self.shared.secret is None and not self.shared.asked:
            return "None of these questions was asked before, and the times accuse none."
        if self.shared.secret is None and len(self.shared.asked) == len(self.shared.questions):
            return "Each of these questions was asked before: there is none to compare with."
        if not self.shared.betrayed:
            return "The times gave nothing away even in the shared cache, so the salt had no task."
        if self.closed:
            return "In the shared cache the times gave the question away; with a salt they did not."
        return (
            "In the shared cache the times gave the question away; with a salt they accuse a "
            "question as well: by chance, because it is shorter than the others, or because of a "
            "leak that the salt does not close."
        )
