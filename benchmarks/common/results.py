"""Results as JSON, with the date and the machine they were measured on."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from prefix_engine.machine import Machine, describe_machine


@dataclass(frozen=True)
class Spread:
    """Seconds of several trials: the median, the quartiles, and every one of them."""

    median_s: float
    low_s: float
    high_s: float
    all_s: tuple[float, ...]

    @staticmethod
    def of(seconds: Sequence[float]) -> Spread:
        """Quartiles by linear interpolation; a single trial is its own."""
        low, median, high = (
            statistics.quantiles(seconds, n=4, method="inclusive")
            if len(seconds) > 1
            else [seconds[0]] * 3
        )
        return Spread(median, low, high, tuple(seconds))


@dataclass(frozen=True)
class Report:
    """One run of one benchmark; `result` is made of dataclasses, lists, numbers and text."""

    benchmark: str
    date: str
    machine: Machine
    versions: dict[str, str]
    result: Any


def report(benchmark: str, result: Any, packages: Sequence[str] = ()) -> Report:
    """Stamp a result with date, machine and the versions of further packages, where installed."""
    return Report(
        benchmark=benchmark,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=describe_machine(),
        versions={name: found for name in packages if (found := _version(name))},
        result=result,
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there, too")


def write(made: Report, path: Path | None) -> None:
    """Write a report as JSON, if there is a path; its folder is made if need be."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(made), indent=1, default=_plain) + "\n", "utf-8")


def header(made: Report) -> str:
    """One line that says when and on what."""
    machine = made.machine
    versions = ", ".join(f"{k} {v}" for k, v in {**machine.versions, **made.versions}.items())
    return (
        f"{made.date} · {machine.processor}, {machine.cores} cores, {machine.threads} threads, "
        f"{machine.memory_gib} GiB, {machine.system} · {versions}"
    )


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"a {type(value).__name__} has no place in a report")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
