"""Real English that is on every machine with Python: the help texts of the language."""

from __future__ import annotations

from pydoc_data.topics import topics


def english() -> str:
    """Half a million characters, more or less, by Python's version; the same on each call."""
    return "\n\n".join(topics[name] for name in sorted(topics))[:400_000]
