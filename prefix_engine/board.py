"""What was done in a room so far, and what that says: plain facts, written by `room.py`."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass

from prefix_engine.speed import was_busy

NOTHING = "nothing"
SYSTEM = "the system prompt or more"
EVERYTHING = "all but the last token"
PREDICTIONS = (NOTHING, SYSTEM, EVERYTHING)
"""What a member may predict to be reused of their own request."""


@dataclass(frozen=True)
class RoomRequest:
    """One member's request as it was served. `stored` is false where the cache had no room,
    `disturbed` is true where the machine gave it clearly less than when nothing else runs."""

    number: int
    question: str
    prediction: str | None
    tokens: int
    reused: int
    most: int
    """Tokens that can be reused of it at all: all but the last one, in whole blocks."""
    ttft_s: float
    cpu_over_wall: float
    salted: bool
    stored: bool
    disturbed: bool

    @property
    def answer(self) -> str:
        """Which of the predictions was right."""
        if self.reused == 0:
            return NOTHING
        return EVERYTHING if self.reused == self.most else SYSTEM


@dataclass(frozen=True)
class Board:
    """A room at one moment. Who shows it decides by `prompts_shown` and `revealed` what of it."""

    code: str
    system: str
    version: int = 0
    """Another one after every change."""
    joined: bool = False
    """Whether anybody but the host has come."""
    askers: int = 0
    requests: tuple[RoomRequest, ...] = ()
    prompts_shown: bool = False
    revealed: bool = False
    salted: bool = False

    @property
    def tokens(self) -> int:
        return sum(request.tokens for request in self.requests)

    @property
    def tokens_saved(self) -> int:
        """Prompt tokens that were found in the cache, and so not computed."""
        return sum(request.reused for request in self.requests)

    @property
    def hit_rate(self) -> float | None:
        """Of all prompt tokens, the part that was reused."""
        return self.tokens_saved / self.tokens if self.tokens else None

    @property
    def disturbed(self) -> tuple[RoomRequest, ...]:
        """What is left out of the times."""
        return tuple(request for request in self.requests if request.disturbed)

    def was_busy(self, threads: int) -> bool:
        """Whether not even the best cold request got most of the `threads` threads."""
        return was_busy((one.cpu_over_wall for one in self.requests if not one.reused), threads)

    @property
    def hits(self) -> tuple[RoomRequest, ...]:
        """The requests that reused something."""
        return tuple(request for request in self.requests if request.reused)

    @property
    def first(self) -> RoomRequest | None:
        """The first undisturbed request that found nothing to reuse."""
        return next((one for one in self.requests if not (one.reused or one.disturbed)), None)

    @property
    def later_ttft_s(self) -> tuple[float, ...]:
        """Of the undisturbed hits."""
        return tuple(hit.ttft_s for hit in self.hits if not hit.disturbed)

    @property
    def later_median_s(self) -> float | None:
        return statistics.median(self.later_ttft_s) if self.later_ttft_s else None

    @property
    def not_stored(self) -> int:
        """How many requests left nothing to the next ones."""
        return sum(1 for request in self.requests if not request.stored)

    @property
    def tally(self) -> dict[str, int]:
        """How many requests were made with each prediction."""
        made = Counter(request.prediction for request in self.requests if request.prediction)
        return {prediction: made[prediction] for prediction in PREDICTIONS}

    @property
    def right(self) -> dict[str, int]:
        """How many of the predictions were right, by what was predicted."""
        right = Counter(r.prediction for r in self.requests if r.prediction == r.answer)
        return {prediction: right[prediction] for prediction in PREDICTIONS}


@dataclass(frozen=True)
class Branch:
    """A piece of the room's tree: so many tokens after those of its parent, if it has one; `ends`
    different prompts go through it. What they say is not told: the questions are their askers'."""

    id: int
    parent: int | None
    tokens: int
    ends: int
