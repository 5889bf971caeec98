"""A Streamlit server of the app, for as long as a benchmark needs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
POLL_S = 0.05


class DidNotStart(Exception):
    """The server ended, or did not answer in time; the message has what it wrote."""


@dataclass(frozen=True)
class Served:
    """A server that answers: its port on this machine, its process, and when it was started."""

    port: int
    process: subprocess.Popen[bytes]
    started_s: float
    log: Path

    @property
    def address(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def resident_bytes(self) -> int:
        """Memory resident now; that of files it has mapped counts too."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    @property
    def peak_bytes(self) -> int:
        """The most memory that was ever resident. Where the system does not tell: now."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        except OSError:
            return self.resident_bytes
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024


@contextmanager
def serve(
    script: str = "app.py",
    *,
    python: str = sys.executable,
    port: int | None = None,
    options: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
) -> Iterator[Served]:
    """Serve a script on a free port of the loopback until the block ends. Raises `DidNotStart`.

    `options` go to Streamlit; `environ` is added to the environment; `before` is put in front of
    the command, to run it inside of something.
    """
    port = port or free_port()
    command = [
        *before,
        *(python, "-m", "streamlit", "run", script),
        *(f"--server.port={port}", "--server.address=localhost", "--server.headless=true"),
        *("--server.fileWatcherType=none", *options),
    ]
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        started_s = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        served = Served(port, process, started_s, Path(log.name))
        try:
            _wait_until_healthy(served)
            yield served
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def _wait_until_healthy(served: Served) -> None:
    while time.monotonic() - served.started_s < START_S:
        if served.process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{served.address}/_stcore/health", timeout=1).close()
            return
        except OSError:
            time.sleep(POLL_S)
    raise DidNotStart(served.log.read_text("utf-8", errors="replace"))
