"""What this engine is to reach against its peers, and whether a run shows that it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.peers.engine import ENGINE, FAST, SUFFIX_ONLY
from benchmarks.peers.llamacpp import SETTINGS as LLAMA_CPP
from benchmarks.peers.stock import NAME as TRANSFORMERS


@dataclass(frozen=True)
class Target:
    """In the cases that `applies` tells by their shared and new tokens, the median of `whose` may
    be at most `limit` times that of the fastest of `settings`."""

    against: str
    settings: tuple[str, ...]
    limit: float
    applies: Callable[[int, int], bool]
    whose: str = ENGINE


TARGETS = (
    Target("llama.cpp", LLAMA_CPP, 0.75, lambda shared, new: shared == 0 and new >= 256),
    Target("transformers", (TRANSFORMERS,), 0.85, lambda shared, new: shared == 0 and new >= 256),
    Target("llama.cpp", LLAMA_CPP, 0.70, lambda shared, new: shared > 0 and new == 64),
    Target("llama.cpp", LLAMA_CPP, 0.90, lambda shared, new: shared > 0 and new == 16),
    Target("llama.cpp", LLAMA_CPP, 2.0, lambda shared, new: shared > 0 and new == 1),
    Target("llama.cpp", LLAMA_CPP, 1.3, lambda shared, new: shared > 0 and new == 1, FAST),
    Target("transformers", (TRANSFORMERS,), 0.5, lambda shared, new: shared > 0 and new == 1),
    Target("its suffix alone", (SUFFIX_ONLY,), 1.10, lambda shared, new: shared > 0),
)


@dataclass(frozen=True)
class Verdict:
    """One target in one case. `ratio` and `fastest` are None where the peer was missing."""

    case: str
    against: str
    fastest: str | None
    ratio: float | None
    limit: float
    whose: str = ENGINE

    @property
    def met(self) -> bool | None:
        return None if self.ratio is None else self.ratio <= self.limit

    def __str__(self) -> str:
        if self.ratio is None:
            return f"not judged  {self.case:>10}: {self.whose}, or {self.against}, is missing"
        word = "met        " if self.met else "NOT met    "
        of = f"{self.whose}: {self.ratio:.2f} × {self.fastest}"
        return f"{word} {self.case:>10}: {of} (at most {self.limit})"


def judge(case: str, shared: int, new: int, medians_s: Mapping[str, float]) -> list[Verdict]:
    """The verdicts of all targets that apply to a case, given each setting's median."""
    return [_judge(case, target, medians_s) for target in TARGETS if target.applies(shared, new)]


def _judge(case: str, target: Target, medians_s: Mapping[str, float]) -> Verdict:
    there = [setting for setting in target.settings if setting in medians_s]
    if not there or target.whose not in medians_s:
        return Verdict(case, target.against, None, None, target.limit, target.whose)
    fastest = min(there, key=lambda setting: medians_s[setting])
    ratio = medians_s[target.whose] / medians_s[fastest]
    return Verdict(case, target.against, fastest, ratio, target.limit, target.whose)
