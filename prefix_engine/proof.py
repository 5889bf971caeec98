"""Is a hit exact? Compare its KV and its logits with those of a cold run, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from prefix_engine.cache.base import Segment
from prefix_engine.cache.storage import KVSegment
from prefix_engine.compute import compute
from prefix_engine.record import Exactness
from prefix_engine.speed import Arm
from prefix_engine.trials import Experiment
from prefix_engine.watch import OnStep


def check_exactness(experiment: Experiment, on_step: OnStep | None = None) -> Exactness:
    """Run B cold and as a hit, untimed, and compare. Takes the time of one cold run and one hit.

    What is compared is the stored KV that the hit reuses with the KV the cold run computed at the
    same positions, and the logits after the last token.
    """
    engine = experiment.engine
    with (
        experiment.a_pinned(on_step),
        engine.request(experiment.b, read=False, store=False, on_step=on_step) as cold,
        engine.cache.pin(experiment.b_ids, experiment.namespace) as stored,
    ):
        segments = stored.segments  # read here: the cache has a lock, and may wait for `compute`
        kv = compute(partial(_compare_kv, segments, cold.slab.kv, experiment.predicted_reuse))
    hit = experiment.run(Arm.HIT, on_step)
    logits = compute(partial(_compare, hit.logits, cold.prefill.logits))
    return Exactness(
        reused=hit.reused,
        kv_equal=kv.same_bits,
        max_abs_kv_diff=kv.max_abs_diff,
        logits_equal=logits.same_bits,
        max_abs_logit_diff=logits.max_abs_diff,
        same_first_token=cold.prefill.next_id == hit.next_id,
    )


@dataclass(frozen=True)
class _Likeness:
    same_bits: bool
    max_abs_diff: float


def _compare_kv(segments: Sequence[Segment], computed: Tensor, tokens: int) -> _Likeness:
    """The first `tokens` stored tokens against the same positions of a slab's kv, all layers."""
    start = 0
    pieces: list[_Likeness] = []
    for segment in segments:
        assert isinstance(segment, KVSegment)
        count = min(segment.tokens, tokens - start)
        if count > 0:
            theirs = computed[:, :, :, start : start + count]
            # layer by layer: comparing makes copies, and a long prompt's KV is large
            pieces += map(_compare, segment.kv[:, :, :, :count].unbind(1), theirs.unbind(1))
            start += count
    return _Likeness(
        all(piece.same_bits for piece in pieces),
        max((piece.max_abs_diff for piece in pieces), default=0.0),
    )


def _compare(one: Tensor, other: Tensor) -> _Likeness:
    bits = torch.int16 if one.dtype.itemsize == 2 else torch.int32
    same = torch.equal(one.contiguous().view(bits), other.contiguous().view(bits))
    return _Likeness(same, float((one.float() - other.float()).abs().max()))
