"""The one thread that computes.

OpenMP and MKL keep workers and buffers for each thread that ever multiplied matrices, until it
ends: thirty pages that had their turns one after another held 190 MB between them. So one thread
multiplies for all. What it does is done one after another, and may share memory to work in.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from prefix_engine.cpuclock import COMPUTES

T = TypeVar("T")

_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=COMPUTES)


def compute(work: Callable[[], T]) -> T:
    """What `work` returns, or raises, over there; without gradients, and with as many threads as
    torch is set to here. `work` must not come back to this function."""
    return _thread.submit(_do, work, torch.get_num_threads()).result()


@torch.inference_mode()
def _do(work: Callable[[], T], threads: int) -> T:
    if torch.get_num_threads() != threads:  # each thread has a number of its own
        torch.set_num_threads(threads)
    return work()
