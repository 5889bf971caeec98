"""A wrong cache on purpose: KV of the right tokens, computed after other tokens.

A's KV is kept where B has the same tokens at the same positions, behind the last difference; before
it comes B's own. It is done in A's working slab and never stored: what it shows is why no cache may
do it.
"""

from __future__ import annotations

import codecs
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from prefix_engine.compare import Comparison

if TYPE_CHECKING:
    from torch import Tensor

    from prefix_engine.engine import Engine, Request
    from prefix_engine.model.base import Slab

REPLY_TOKENS = 24

OnToken = Callable[[int, int], None]
"""Called before each token with (tokens done, tokens in all); may raise to stop."""


def ignore(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Splice:
    """B answered from its own KV (true) and from a cache with A's KV in it (spliced).

    The first `kept` tokens have B's own KV, the next `taken` have A's; the last token is computed
    after them. `kl_nats` is KL(true‖spliced) of the next-token distributions, `recompute_kl_nats`
    the same where the last token was computed after B's own KV, so the part of rounding. `rank` is
    the place of the true first token among the spliced distribution's, 1 for the likeliest. Both
    texts are greedy.
    """

    a: str
    b: str
    kept: int
    taken: int
    kl_nats: float
    recompute_kl_nats: float
    rank: int
    true_chance: float
    spliced_chance: float
    true_text: str
    spliced_text: str

    @property
    def same_text(self) -> bool:
        return self.true_text == self.spliced_text

    @property
    def sentence(self) -> str:
        """What can be told from the answers, and what can't."""
        if self.same_text:
            behind = (
                "The chances behind them are not."
                if self.kl_nats > self.recompute_kl_nats
                else "The chances behind them do not differ by more than rounding."
            )
            return f"Both texts are the same: nobody who reads them would notice. {behind}"
        if self.rank == 1:
            return "The wrong cache changed the text, though its first token is still the true one."
        return (
            "The wrong cache changed the text from its first token on: the true one comes in place "
            f"{self.rank:,} there."
        )


def splice_range(a_ids: Sequence[int], b_ids: Sequence[int]) -> range | None:
    """B's positions behind its last differing token, without the last position of all.

    None where there is no such position, or where the prompts do not differ: there is nothing
    to take from A, or nothing wrong with it.
    """
    differing = [at for at, token in enumerate(b_ids) if a_ids[at : at + 1] != b_ids[at : at + 1]]
    if not differing:
        return None
    behind = range(differing[-1] + 1, len(b_ids) - 1)
    return behind or None


def splice(
    engine: Engine,
    comparison: Comparison,
    a: Request,
    b: Request,
    on_token: OnToken = ignore,
) -> Splice | None:
    """Answer B from its own KV and from the wrong cache; None where no positions line up.

    `a` and `b` are cold requests of the comparison's prompts. Both slabs are written to: nobody may
    need A's KV any more, and B's grows by its own reply.
    """
    behind = splice_range(a.prefill.ids, b.prefill.ids)
    if behind is None:
        return None
    from prefix_engine.compute import compute  # brings torch, which a recording can do without

    n, last = len(b.prefill.ids), b.prefill.ids[-1]
    true, first = b.prefill.logits, b.prefill.next_id
    true_text = _greedy_text(engine, b.slab, n, true, on_token)
    recomputed = engine.model.forward([last], b.slab, n - 1)
    compute(partial(_copy, b.slab, a.slab, slice(behind.start)))
    spliced = engine.model.forward([last], a.slab, n - 1)
    return Splice(
        a=comparison.a.text,
        b=comparison.b.text,
        kept=behind.start,
        taken=len(behind),
        kl_nats=compute(partial(_kl_nats, true, spliced)),
        recompute_kl_nats=compute(partial(_kl_nats, true, recomputed)),
        rank=int((spliced > spliced[first]).sum()) + 1,
        true_chance=compute(partial(_chance, true, first)),
        spliced_chance=compute(partial(_chance, spliced, first)),
        true_text=true_text,
        spliced_text=_greedy_text(engine, a.slab, n, spliced, on_token),
    )


def _copy(source: Slab, to: Slab, positions: slice) -> None:
    to.kv[:, :, :, positions] = source.kv[:, :, :, positions]


def _chance(logits: Tensor, token: int) -> float:
    return float(logits.softmax(-1)[token])


def _kl_nats(true: Tensor, other: Tensor) -> float:
    p, q = true.double().log_softmax(-1), other.double().log_softmax(-1)
    # rounding can bring the sum below the 0 that it can't be less than
    return max(0.0, float((p.exp() * (p - q)).sum()))


def _greedy_text(engine: Engine, slab: Slab, start: int, logits: Tensor, on_token: OnToken) -> str:
    """Go on from `logits` with the likeliest token each time, as `Engine.generate` does."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = ""
    for number in range(REPLY_TOKENS):
        on_token(number, REPLY_TOKENS)
        next_id = int(logits.argmax())
        if next_id in engine.model.info.stop_ids:
            break
        text += decoder.decode(engine.tokenizer.token_bytes(next_id))
        logits = engine.model.forward([next_id], slab, start + number)
    return text + decoder.decode(b"", final=True)


@dataclass(frozen=True)
class SpliceSearch:
    """What splicing did to every pair of a list, and which two of them a page offers.

    `changed` and `unchanged` are indices: of the pairs whose text the wrong cache changed, and of
    those whose text it did not, the one with the largest KL.
    """

    splices: tuple[Splice, ...]
    changed: int
    unchanged: int

    @property
    def same_texts(self) -> int:
        """How many pairs got the same text."""
        return sum(one.same_text for one in self.splices)

    @property
    def first_kept(self) -> int:
        """How many pairs kept the true first token in the first place."""
        return sum(one.rank == 1 for one in self.splices)

    @property
    def median_kl_nats(self) -> float:
        return statistics.median(one.kl_nats for one in self.splices)

    @property
    def sentence(self) -> str:
        """How far the wrong cache was from exact, and who would have noticed."""
        of, same = len(self.splices), self.same_texts
        return (
            f"Of {of} pairs that differ in one word, the wrong cache left the whole text (up to "
            f"{REPLY_TOKENS} tokens) as it was in {same} and changed it in {of - same}; the true "
            f"first token kept the first place in {self.first_kept}, and the median KL is "
            f"{self.median_kl_nats:.3f} nats. What follows is an argument, not measured: whoever "
            "reads one text has none beside it to hold it against, so a wrong cache goes "
            "unnoticed; and a right one stops at the first difference."
        )


def pick_two(splices: Sequence[Splice]) -> SpliceSearch:
    """Of each kind the pair with the largest KL. ValueError where a kind has none."""
    by_kl = sorted(range(len(splices)), key=lambda i: -splices[i].kl_nats)
    changed = next((i for i in by_kl if not splices[i].same_text), None)
    unchanged = next((i for i in by_kl if splices[i].same_text), None)
    if changed is None or unchanged is None:
        raise ValueError("the list needs a pair whose text changes, and one whose text does not")
    return SpliceSearch(tuple(splices), changed, unchanged)
