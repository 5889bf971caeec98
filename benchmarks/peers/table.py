"""What `benchmarks/ttft.py` finds, and how it prints that."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.common.results import Spread
from benchmarks.peers.ceilings import Ceilings
from benchmarks.peers.stock import NAME as TRANSFORMERS
from benchmarks.peers.targets import Verdict


@dataclass(frozen=True)
class CaseResult:
    """`seconds` and `first_ids` by setting; `ratios` are of medians, each setting's over that of
    `fastest_peer`, the fastest setting that is not this engine's; `roofline_s` is the least that
    the work could take on this machine (see `ceilings.py`), `roofline_share` that over the engine's
    median."""

    case: str
    shared: int
    new: int
    seconds: dict[str, Spread]
    first_ids: dict[str, int]
    fastest_peer: str | None
    ratios: dict[str, float]
    roofline_s: float
    roofline_share: float | None
    verdicts: list[Verdict]


@dataclass(frozen=True)
class Result:
    model: str
    weights_sha256: str
    precision: str
    exact: str | None
    threads: int
    missing: dict[str, str]
    ceilings: Ceilings
    cases: list[CaseResult]


def show(result: Result) -> None:
    settings = list(dict.fromkeys(name for case in result.cases for name in case.seconds))
    print(
        f"\n{result.model}, {result.precision}, {result.threads} threads; this engine's promise of "
        f"a hit: {result.exact}; medians, ms (quartiles)"
    )
    for case in result.cases:
        print(f"\n{case.case}")
        for name in settings:
            spread = case.seconds[name]
            low, median, high = (x * 1e3 for x in (spread.low_s, spread.median_s, spread.high_s))
            quartiles = f"({low:.1f} to {high:.1f})"
            agrees = "" if case.first_ids[name] == case.first_ids.get(TRANSFORMERS) else " ≠"
            ratio = f"{case.ratios[name]:6.2f} × {case.fastest_peer}" if case.ratios else ""
            print(f"  {name:24} {median:10.1f}  {quartiles:24} {ratio}{agrees}")
        if case.roofline_share is not None:
            print(f"  roofline {case.roofline_s * 1e3:.1f} ms: {case.roofline_share:.0%} of it")
    print(
        f"\nCeilings: {result.ceilings.flop_per_s / 1e9:,.0f} GFLOP/s in {result.precision}, "
        f"{result.ceilings.read_bytes_per_s / 1e9:.1f} GB/s read. "
        "≠ marks a first token that is not transformers'."
    )
    print("\nTargets:")
    for verdict in (verdict for case in result.cases for verdict in case.verdicts):
        print(verdict)
    for name, reason in result.missing.items():
        print(f"{name} is missing: {reason}")
