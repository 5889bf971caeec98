from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from prefix_engine.compute import compute


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_one_thread_computes_for_all() -> None:
    with ThreadPoolExecutor(8) as askers:
        barrier = threading.Barrier(8)

        def ask() -> tuple[int, int]:
            barrier.wait()
            return threading.get_ident(), compute(threading.get_ident)

        asked = [future.result() for future in [askers.submit(ask) for _ in range(8)]]
    assert len({asker for asker, _ in asked}) == 8
    assert len({computed for _, computed in asked}) == 1


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("count", [1, 2, 1])
def test_it_has_the_threads_that_torch_is_set_to_where_it_is_asked(count: int) -> None:
    torch.set_num_threads(count)
    assert compute(torch.get_num_threads) == count


def test_what_computes_there_may_ask_for_more() -> None:
    assert compute(lambda: compute(threading.get_ident)) == compute(threading.get_ident)


def test_what_goes_wrong_there_is_raised_here_and_the_next_is_served() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        compute(fail)
    assert compute(lambda: 3) == 3


def test_who_is_interrupted_goes_on_only_when_that_has_ended() -> None:
    asker, ended = threading.get_ident(), []

    def work() -> None:
        signal.pthread_kill(asker, signal.SIGINT)
        time.sleep(0.2)  # time in which to go on too early
        ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        compute(work)
    assert ended


def test_nothing_is_kept_for_gradients() -> None:
    weight = torch.ones(2, requires_grad=True)
    assert not compute(lambda: weight * 2).requires_grad
