"""The runs of the workloads that a session has: its own, else the recorded ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from prefix_engine.lessons.workloads import Workload, WorkloadRun, WorkloadRuns
from prefix_engine.measured import Measured
from ui.chapter import Found, keep, kept, kept_or_recorded

NAME = "where_it_pays"


def keep_run(measured: Measured[WorkloadRun]) -> None:
    """Make it the session's own run of its workload."""
    keep(f"{NAME}-{measured.result.workload}", measured)


def find_run(name: str, workload: Workload) -> Found[WorkloadRun] | None:
    """The session's own run of a workload, else the recorded one, if it had these very prompts."""
    own: Measured[WorkloadRun] | None = kept(f"{NAME}-{name}")
    if own is not None:
        return Found(own, recorded=False)
    recorded = kept_or_recorded(NAME, WorkloadRuns).measured
    for run in recorded.result.runs:
        if (run.workload, run.sha256) == (name, workload.sha256):
            return Found(replace(cast(Any, recorded), result=run), recorded=True)
    return None
