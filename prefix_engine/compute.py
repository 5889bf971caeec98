"""The one thread that computes.

OpenMP keeps a pool of workers, and MKL its buffers, for each thread that ever multiplied matrices,
until it ends: thirty pages that had their turns one after another held 190 MB between them. And
with two pools on two cores OpenMP hardly waits before it sleeps: 16 tokens took 140 ms in place of
95. So one thread does all that torch would divide among workers: loading, copying, multiplying.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

from prefix_engine.cpuclock import COMPUTES

T = TypeVar("T")

_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=COMPUTES)


def compute(work: Callable[[], T]) -> T:
    """What `work` returns, or raises, over there; without gradients, and with as many threads as
    torch is set to here. One after another, so that what is computed may share memory to work in.
    `work` must not ask for a lock: who holds it may be waiting for this thread.
    """
    if threading.current_thread().name.startswith(COMPUTES):
        return work()
    doing = _thread.submit(_do, work, torch.get_num_threads())
    try:
        return doing.result()
    except BaseException:
        # who is interrupted here must not lend memory to others that is still written to
        if not doing.cancel():
            wait([doing])
        raise


@torch.inference_mode()
def _do(work: Callable[[], T], threads: int) -> T:
    if torch.get_num_threads() != threads:  # each thread has a number of its own
        torch.set_num_threads(threads)
    return work()
