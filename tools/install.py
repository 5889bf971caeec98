"""Install requirement files into this environment: `python tools/install.py FILE …`.

pip asks a page that it can't reach again and again, for every package. So the pages that a file
names are tried once, shortly; one that does not answer is left out, and what it would have given
comes from the package index.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import urllib.request
from importlib.util import find_spec
from pathlib import Path

OPTION = "--find-links "
PATIENCE_S = 10


def main(names: list[str]) -> int:
    if find_spec("pip") is None:
        subprocess.run([sys.executable, "-m", "ensurepip"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        arguments: list[str] = []
        for name in names:
            copy = Path(folder) / Path(name).name
            copy.write_text(without_silent_pages(Path(name).read_text("utf-8")), "utf-8")
            arguments += ["-r", str(copy)]
        return subprocess.run(
            [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *arguments],
            env={"PIP_RETRIES": "1", **os.environ},
            check=False,
        ).returncode


def without_silent_pages(requirements: str) -> str:
    kept = []
    for line in requirements.splitlines():
        if line.startswith(OPTION) and not answers(page := line.removeprefix(OPTION).strip()):
            print(
                f"{page} can't be reached: taking torch from the package index instead. On Linux "
                "that may be the build with CUDA, a download of several GB.",
                flush=True,
            )
            continue
        kept.append(line)
    return "\n".join(kept) + "\n"


def answers(page: str) -> bool:
    try:
        urllib.request.urlopen(page, timeout=PATIENCE_S).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
