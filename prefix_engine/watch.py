"""Who looks on while something is measured: takes turns, hears progress, may stop it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

OnStep = Callable[[int, int], None]
"""Called before each chunk of a prefill with (tokens done, tokens in all)."""

Turn = Callable[[], AbstractContextManager[None]]
"""Opens one turn at computing, where several want to."""


def ignore(part: float, what: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Watch:
    """Any of these may raise to stop what is being measured, and nothing is lost.

    `turn` is taken for each stretch of computing, one trial at most; waiting for it is in no
    timing. `on_step` hears each chunk of a prefill, outside the timing. `tell` hears, between
    trials, which part is done (0 to 1) and what comes next.
    """

    turn: Turn = nullcontext
    on_step: OnStep | None = None
    tell: Callable[[float, str], None] = ignore


def without_figures(watch: Watch) -> Watch:
    """Lets it hear each chunk, and so stop the work, but only as what it was told last: how many
    tokens there are to compute would tell what the cache holds of others."""
    told = 0.0, ""

    def tell(part: float, what: str) -> None:
        nonlocal told
        told = part, what
        watch.tell(part, what)

    return replace(watch, tell=tell, on_step=lambda done, total: watch.tell(*told))
