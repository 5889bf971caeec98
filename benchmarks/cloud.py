"""A start as on Streamlit Community Cloud, as closely as it can be had here.

`python -m benchmarks.cloud` makes a fresh environment with uv from requirements.txt alone, serves
the app from it with the settings that Community Cloud forces, an empty cache folder, so that the
model is fetched and converted, and a limit of memory; then one visitor presses Run. Once in bf16
and once in f32. Prints when the page was up, when the model was, when the figures were there, and
the memory; exits 1 if the page waited for the model or the limit was passed.

Not simulated: Community Cloud's processors and their neighbours, its proxy, its network and its
disk, the sleep after hours without visitors, and its Python where this one is another.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from websockets.exceptions import WebSocketException

from benchmarks.common.memory_limit import MemoryLimit, memory_limit
from benchmarks.common.serving import ROOT, DidNotStart, serve
from benchmarks.common.session import PageError, finished, painted, shows, visit
from tools.install import without_silent_pages

FORCED = (
    "--client.showErrorDetails=false",
    "--runner.fastReruns=true",
    "--server.runOnSave=true",
    "--server.fileWatcherType=auto",
    "--server.enableXsrfProtection=true",
    "--browser.gatherUsageStats=true",
)
"""Source: docs.streamlit.io, Deploy, Community Cloud, Status and limitations."""
RUN, MEASURED = "Run", "Measured here on"
QUERY = "preset=timestamp&trials=1&reply=0"
PATIENCE_S = 400.0


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the server."""

    painted_s: float
    page_s: float
    loaded_s: float
    figures_s: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cloud",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--limit-mb", type=int, default=1000, help="memory, in MB (1,000)")
    parser.add_argument("--precisions", nargs="+", default=["bf16", "f32"])
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        python = fresh_environment(Path(folder))
        fits = [
            try_start(python, precision, options.limit_mb * 10**6)
            for precision in options.precisions
        ]
    return 0 if all(fits) else 1


def fresh_environment(folder: Path) -> str:
    """The Python of a new environment that has what requirements.txt says and no more."""
    began = time.monotonic()
    uv = shutil.which("uv") or _installed_uv(folder / "uv")
    wanted = folder / "requirements.txt"
    wanted.write_text(without_silent_pages((ROOT / "requirements.txt").read_text("utf-8")), "utf-8")
    # uv does not read pip's own variable for folders of wheels
    links = " ".join(os.environ.get(name, "") for name in ("UV_FIND_LINKS", "PIP_FIND_LINKS"))
    environ = {**os.environ, "UV_FIND_LINKS": links.strip()}
    python = folder / "environment" / "bin" / "python"
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder / "environment")],
        [uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(wanted)],
    ):
        subprocess.run(command, env=environ, check=True)
    print(f"Fresh environment made by uv in {time.monotonic() - began:.0f} s")
    return str(python)


def try_start(python: str, precision: str, limit_bytes: int) -> bool:
    """One start; whether the page came before the model and the memory was enough."""
    print(f"{precision}, at most {limit_bytes / 1e6:,.0f} MB, kept by", end=" ")
    with tempfile.TemporaryDirectory() as cache, memory_limit(limit_bytes) as limit:
        print(limit.how)
        environ = {"FIRST_DIFFERENCE_CACHE": cache, "FIRST_DIFFERENCE_PRECISION": precision}
        try:
            start = _served(python, limit, environ)
        except (DidNotStart, PageError, WebSocketException, OSError, TimeoutError) as error:
            print(f"  it did not hold: {type(error).__name__} {error}")
            return False
    first = start.page_s < start.loaded_s
    print(
        f"  first paint {start.painted_s:.1f} s, whole page {start.page_s:.1f} s, "
        f"model {start.loaded_s:.1f} s, figures {start.figures_s:.1f} s: "
        f"the page {'came first' if first else 'WAITED for the model'}"
    )
    return first


def _served(python: str, limit: MemoryLimit, environ: dict[str, str]) -> Start:
    with serve(python=python, options=FORCED, environ=environ, before=limit.before) as served:
        limit.watch(served.process.pid)
        try:
            return asyncio.run(_first_visit(served.port, served.started_s))
        finally:
            if served.process.poll() is None:
                print(f"  most resident memory: {served.peak_bytes / 1e6:,.0f} MB")
                print(f"  most counted against the limit: {limit.peak_bytes() / 1e6:,.0f} MB")
            else:
                print(f"  the server was ended, with status {served.process.returncode}")


async def _first_visit(port: int, started_s: float) -> Start:
    async with asyncio.timeout(PATIENCE_S), visit(port, QUERY) as session:
        await session.run()
        painted_s = await session.until(painted) - started_s
        page_s = await session.until(finished) - started_s
        while not session.can_press(RUN):
            await asyncio.sleep(0.3)
            await session.run()
            await session.until(finished)
        loaded_s = time.monotonic() - started_s
        await session.run(RUN)
        figures_s = await session.until(shows(MEASURED)) - started_s
    return Start(painted_s, page_s, loaded_s, figures_s)


def _installed_uv(folder: Path) -> str:
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run([str(folder / "bin/python"), "-m", "pip", "install", "-q", "uv"], check=True)
    return str(folder / "bin" / "uv")


if __name__ == "__main__":
    sys.exit(main())
