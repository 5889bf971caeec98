"""What a model can promise of a hit on this machine, found out by trying it."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import accumulate, pairwise

import torch

from prefix_engine.model.llama import LlamaModel

LAYERS = 2
"""Enough: the second one's keys, values and outcome depend on all that the first one does."""

PARTS = (5, 17, 24, 33, 48, 50, 62, 96, 127, 128, 129, 192, 251, 9, 5, 2, 1)
"""Of so many tokens: either side of where kernels change, and more than four blocks of keys."""


def keeps_bits(model: LlamaModel) -> bool:
    """Whether its first layers give the same bits in one go and part by part.

    Takes about half a second, with the threads that torch is set to use. It is no proof: rows
    and lengths that are not tried may differ. `benchmarks.exactness` tries many, on all layers.
    """
    short = copy.copy(model)
    short.layers = model.layers[:LAYERS]
    short.kv_shape = replace(model.kv_shape, layers=len(short.layers))
    tokens = min(sum(PARTS), model.info.max_tokens)
    ids = [(i * i + 3 * i) % model.info.vocabulary for i in range(tokens)]
    whole, parts = short.new_slab(len(ids)), short.new_slab(len(ids))
    logits = short.forward(ids, whole, 0)
    bounds = (*(cut for cut in accumulate(PARTS, initial=0) if cut < len(ids)), len(ids))
    for start, end in pairwise(bounds):
        last = short.forward(ids[start:end], parts, start)
    return torch.equal(last, logits) and torch.equal(parts.kv, whole.kv)
