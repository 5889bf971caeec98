"""The machine and the versions that figures were measured on, to stand beside them."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Machine:
    """One machine as it was when something was measured."""

    processor: str
    cores: int
    threads: int
    memory_gib: float
    system: str
    versions: dict[str, str]


def describe_machine() -> Machine:
    """This machine, now. `threads` are those that torch computes with."""
    import torch  # here, so that the rest of the library can be imported without it

    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        system=f"{platform.system()} {platform.machine()}",
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "tiktoken")},
        },
    )


def _processor() -> str:
    """The processor's name: Linux tells it in /proc/cpuinfo only."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
