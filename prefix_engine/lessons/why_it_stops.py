"""Why reuse stops at the first difference: the KV behind it, and what a wrong reuse would say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from prefix_engine.errors import PromptTooLong
from prefix_engine.lessons.divergence import Divergence, diverge
from prefix_engine.lessons.splice import Splice, ignore, splice
from prefix_engine.watch import Watch

if TYPE_CHECKING:
    from prefix_engine.compare import Comparison
    from prefix_engine.engine import Engine

MOST_TOKENS = 1024
"""Of each prompt: the KV of both is held at the same time, besides all that is stored."""


@dataclass(frozen=True)
class WhyItStops:
    """What two prompts' KV has in common; `splice` is None where no positions line up."""

    divergence: Divergence
    splice: Splice | None

    @property
    def pair(self) -> tuple[str, str]:
        """The two prompts, A and B."""
        return self.divergence.a, self.divergence.b


@dataclass(frozen=True)
class WhyItStopsRuns:
    """What was found of several pairs."""

    runs: tuple[WhyItStops, ...]

    def of(self, a: str, b: str) -> WhyItStops | None:
        """What was found of these very prompts."""
        return next((one for one in self.runs if one.pair == (a, b)), None)


def find_out(engine: Engine, a: str, b: str, watch: Watch | None = None) -> WhyItStops:
    """Compute both prompts cold, compare their KV, and answer B from a wrong cache.

    Nothing is read from the cache and nothing is stored in it. All is done in one turn: who waits
    for another one would hold the KV of both prompts meanwhile. Raises `EmptyPrompt`,
    `PromptTooLong`, `TextError`, and what the watch raises.
    """
    # they bring torch, which a recording can do without
    from prefix_engine.compute import compute
    from prefix_engine.run import compare_prompts

    watch = watch or Watch()
    comparison = compare_prompts(engine, a, b)
    _check_lengths(comparison)
    cold = partial(engine.request, read=False, store=False, on_step=watch.on_step)
    watch.tell(0, "Computing A")
    with watch.turn(), cold(a) as computed_a:
        watch.tell(1 / 3, "Computing B")
        with cold(b) as computed_b:
            watch.tell(2 / 3, "Comparing, and answering B from its own KV and from a wrong cache")
            return WhyItStops(
                compute(partial(diverge, comparison, computed_a.slab.kv, computed_b.slab.kv)),
                splice(engine, comparison, computed_a, computed_b, watch.on_step or ignore),
            )


def _check_lengths(comparison: Comparison) -> None:
    for name, prompt in (("A", comparison.a), ("B", comparison.b)):
        if len(prompt.tokens) > MOST_TOKENS:
            raise PromptTooLong(len(prompt.tokens), MOST_TOKENS, name)
