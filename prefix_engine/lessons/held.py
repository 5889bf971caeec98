"""How a sentence of the chapter fares in a run."""

from __future__ import annotations

from typing import Final, Literal

PARTLY: Final = "in part"

Held = bool | Literal["in part"] | None
"""Whether the run bears the sentence out; None where it can't tell."""
