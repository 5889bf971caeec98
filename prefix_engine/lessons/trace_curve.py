"""What a trace would reuse in caches of many sizes, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass

from prefix_engine.lessons.trace import BLOCK_TOKENS, Replay, Trace, ceiling, replay
from prefix_engine.watch import Watch

HALVINGS = 10
NEARLY_ALL = 0.9
"""A cache that finds this part of what could be found at all is called large enough."""


@dataclass(frozen=True)
class TraceCurve:
    """The trace's size, the most it could reuse, and replays in caches of growing size.

    Nothing is measured: it is calculated from which blocks the requests have in common.
    """

    name: str
    requests: int
    input_tokens: int
    distinct_blocks: int
    ceiling: Replay
    points: tuple[Replay, ...]


def budgets(trace: Trace) -> tuple[int, ...]:
    """Cache sizes in blocks, each twice the one before; the last has room for every block."""
    return tuple(sorted({-(-trace.distinct_blocks // 2**k) for k in range(HALVINGS + 1)}))


def draw_curve(name: str, trace: Trace, watch: Watch | None = None) -> TraceCurve:
    """Replay the trace once for each size, each in a turn of its own. Raises what `watch` does."""
    watch = watch or Watch()
    sizes = (None, *budgets(trace))
    made = []
    for number, size in enumerate(sizes):
        what = f"Size {number + 1} of {len(sizes)}"

        def on_step(done: int, of: int, number: int = number, what: str = what) -> None:
            part = (number + done / of) / len(sizes)
            watch.tell(part, f"{what}: request {done:,} of {of:,}")

        with watch.turn():
            made.append(
                ceiling(trace, on_step=on_step)
                if size is None
                else replay(trace, size, on_step=on_step)
            )
    return TraceCurve(
        name=name,
        requests=len(trace.requests),
        input_tokens=trace.input_tokens,
        distinct_blocks=trace.distinct_blocks,
        ceiling=made[0],
        points=tuple(made[1:]),
    )


def large_enough(curve: TraceCurve) -> Replay:
    """The smallest cache tried that finds nearly all that could be found."""
    wanted = NEARLY_ALL * curve.ceiling.hit_tokens
    return next(point for point in curve.points if point.hit_tokens >= wanted)


def ceiling_sentence(curve: TraceCurve) -> str:
    """The most that any cache could reuse, and the size that nearly gets there."""
    best = curve.ceiling
    if curve.requests == 1:
        return "No cache helps here: there is one request only, and nothing before it to share."
    if not best.hit_tokens:
        return (
            f"No cache helps here: no two of the {curve.requests:,} requests begin with the same "
            f"{BLOCK_TOKENS} tokens."
        )
    enough = large_enough(curve)
    blocks = enough.budget_blocks or 0
    return (
        f"At most {best.hit_rate:.1%} of the {curve.input_tokens:,} input tokens could come from a "
        f"cache: that is the ceiling. A cache for {blocks * BLOCK_TOKENS:,} tokens "
        f"({blocks:,} blocks) reaches {enough.hit_rate:.1%}."
    )
