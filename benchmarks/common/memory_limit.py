"""A limit of memory: kept by a control group where one may be made, else by a watchdog."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
JOIN = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
POLL_S = 0.02


@dataclass(frozen=True)
class MemoryLimit:
    """How it is kept, what to put before a command so that it is kept for that, whom to tell the
    process once it runs, and the most bytes that counted against it."""

    how: str
    before: Sequence[str]
    watch: Callable[[int], None]
    peak_bytes: Callable[[], int]


@contextmanager
def memory_limit(nbytes: int) -> Iterator[MemoryLimit]:
    """A limit for what is run in the block; whoever goes over it is killed."""
    group = _make_group(nbytes)
    if group is None:
        ended = threading.Event()
        try:
            yield _watchdog(nbytes, ended)
        finally:
            ended.set()
        return
    folder, peak = group
    try:
        yield MemoryLimit(
            "a control group: the kernel kills, file pages count as far as they can't be dropped",
            ("sh", "-c", JOIN, str(folder)),
            lambda pid: None,
            lambda: int(peak.read_text()),
        )
    finally:
        with suppress(OSError):
            folder.rmdir()


def _make_group(nbytes: int) -> tuple[Path, Path] | None:
    """The group's folder and the file that has its peak; None where none may be made."""
    for top, limit, peak in (
        (V1, "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
        (V2, "memory.max", "memory.peak"),
    ):
        folder = top / f"first-difference-{os.getpid()}"
        try:
            folder.mkdir()
            (folder / limit).write_text(str(nbytes))
            (folder / peak).read_text()
        except OSError:
            with suppress(OSError):
                folder.rmdir()
        else:
            return folder, folder / peak
    return None


def _watchdog(nbytes: int, ended: threading.Event) -> MemoryLimit:
    most = [0]

    def look(pid: int) -> None:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            while not ended.wait(POLL_S):
                resident = sum(
                    one.memory_info().rss for one in (process, *process.children(recursive=True))
                )
                most[0] = max(most[0], resident)
                if resident > nbytes:
                    process.kill()

    def watch(pid: int) -> None:
        threading.Thread(target=look, args=[pid], daemon=True).start()

    return MemoryLimit(
        f"a watchdog that looks at the resident memory every {POLL_S * 1000:g} ms and kills",
        (),
        watch,
        lambda: most[0],
    )
