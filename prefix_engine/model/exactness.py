"""What a model can promise of a hit on this machine, found out by trying it."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise

import torch

from prefix_engine.model.llama import LlamaModel

LAYERS = 2
"""Enough: the second one's keys, values and outcome depend on all that the first one does."""

TOKENS = 530
"""More than two blocks of keys."""

CUTS = (5, 256, 463, 512, 521, 526, 528, 529)
"""After them come parts of many rows and of 9, 5, 2 and 1."""


def keeps_bits(model: LlamaModel) -> bool:
    """Whether its first layers give the same bits in one go and part by part.

    Takes a few tenths of a second, with the threads that torch is set to use. It is no proof: rows
    and lengths that are not tried may differ. `benchmarks.exactness` tries many, on all layers.
    """
    short = copy.copy(model)
    short.layers = model.layers[:LAYERS]
    short.kv_shape = replace(model.kv_shape, layers=len(short.layers))
    ids = [
        (i * i + 3 * i) % model.info.vocabulary for i in range(min(TOKENS, model.info.max_tokens))
    ]
    whole, parts = short.new_slab(len(ids)), short.new_slab(len(ids))
    logits = short.forward(ids, whole, 0)
    bounds = (0, *(cut for cut in CUTS if cut < len(ids)), len(ids))
    for start, end in pairwise(bounds):
        last = short.forward(ids[start:end], parts, start)
    return torch.equal(last, logits) and torch.equal(parts.kv, whole.kv)
