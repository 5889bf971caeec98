"""What the page "Where it pays" opens with: all four workloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefix_engine.lessons.workloads import WorkloadRuns, load_workloads, run_workload
from prefix_engine.measured import stamp, to_json

if TYPE_CHECKING:
    from prefix_engine.engine import Engine

ROUNDS = 3


def make(engine: Engine) -> str:
    """The JSON text of one run of each."""
    runs = tuple(
        run_workload(engine, name, workload, ROUNDS) for name, workload in load_workloads().items()
    )
    return to_json(stamp(engine, WorkloadRuns(runs)))
