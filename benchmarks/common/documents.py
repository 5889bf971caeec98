"""Real text that is on this machine anyway: Python's sources, Debian's documents, the project's."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
STDLIB = Path(sysconfig.get_path("stdlib"))
SOURCES = (
    (PROJECT, ("README.md", "prefix_engine/**/*.py", "ui/*.py", "tests/**/*.py")),
    (STDLIB, ("*.py", "email/*.py", "asyncio/*.py", "idlelib/*.txt", "pydoc_data/topics.py")),
    (Path("/usr/share/common-licenses"), ("*",)),
    (Path("/usr/share/doc"), ("*/copyright", "*/*.txt", "*/README*", "*/NEWS")),
    (Path("/usr/share/perl"), ("**/*.pod", "**/*.pm")),
)
FROM_EACH = 16
FEWEST_CHARACTERS = 12_000
MOST_CHARACTERS = 60_000


@dataclass(frozen=True)
class Document:
    """A file's text, its beginning where it is a long one."""

    name: str
    text: str


def find_documents() -> list[Document]:
    """Up to 16 documents of each source, spread over its files in order of their names."""
    return [document for root, patterns in SOURCES for document in _from(root, patterns)]


def _from(root: Path, patterns: tuple[str, ...]) -> Iterator[Document]:
    paths = sorted({path for pattern in patterns for path in root.glob(pattern)})
    large = [path for path in paths if path.is_file() and path.stat().st_size > FEWEST_CHARACTERS]
    seen = set()
    for path in large[:: max(1, len(large) // FROM_EACH)][:FROM_EACH]:
        try:
            text = path.read_text(encoding="utf-8")[:MOST_CHARACTERS]
        except (UnicodeDecodeError, OSError):
            continue
        if text not in seen:  # Debian has many a licence twice
            seen.add(text)
            name = path.relative_to(root) if root == PROJECT else path
            yield Document(str(name), text)
