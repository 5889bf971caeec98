from __future__ import annotations

import pytest
import torch

from prefix_engine.cache.storage import KVSegment
from prefix_engine.engine import Engine
from prefix_engine.proof import check_exactness
from prefix_engine.record import Exactness
from prefix_engine.trials import Experiment, experiment
from tests.tiny_engine import RowByRow, tiny_cache, tiny_engine, tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")

SHARED = "You are a helpful assistant. "
A, B = SHARED + "Weather in SF?", SHARED + "Time in NYC?"
KEY, VALUE = 0, 1


class Stopped(Exception):
    pass


@pytest.fixture
def engine() -> Engine:
    """Gives the same bits however a prompt is divided."""
    return tiny_engine(model=tiny_model(RowByRow))


@torch.inference_mode()
def corrupt(ready: Experiment, kind: int, layer: int, position: int, by: float = 0.5) -> None:
    """Add to one number of the stored KV."""
    with ready.engine.cache.pin(ready.b_ids, ready.namespace) as lease:
        start = 0
        for segment in lease.segments:
            assert isinstance(segment, KVSegment)
            if start <= position < start + segment.tokens:
                segment.kv[kind, layer, 1, position - start, 3] += by
                return
            start += segment.tokens
    raise AssertionError("nothing is stored there")


def test_a_hit_of_the_same_bits_is_reported_as_exact(engine: Engine) -> None:
    with experiment(engine, A, B) as ready:
        exact = check_exactness(ready)
    assert exact == Exactness(
        reused=len(SHARED),
        kv_equal=True,
        max_abs_kv_diff=0.0,
        logits_equal=True,
        max_abs_logit_diff=0.0,
        same_first_token=True,
    )
    assert exact.bit_identical


@pytest.mark.parametrize("kind", [KEY, VALUE])
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("position", [0, 7, len(SHARED) - 1])
def test_one_wrong_number_of_the_reused_kv_is_reported(
    engine: Engine, kind: int, layer: int, position: int
) -> None:
    with experiment(engine, A, B) as ready:
        corrupt(ready, kind, layer, position)
        exact = check_exactness(ready)
    assert not exact.kv_equal and not exact.bit_identical
    assert exact.max_abs_kv_diff == pytest.approx(0.5, abs=1e-5)


def test_a_wrong_number_is_found_in_every_segment(engine: Engine) -> None:
    with experiment(engine, A, B) as ready:
        engine.prefill(SHARED[:10], namespace=ready.namespace)  # divides what is stored of A
        corrupt(ready, KEY, 1, 12)
        assert not check_exactness(ready).kv_equal


def test_stored_kv_that_is_not_reused_is_not_judged(engine: Engine) -> None:
    with experiment(engine, A, A) as ready:
        corrupt(ready, KEY, 0, len(A) - 1)  # the last token is computed anew
        exact = check_exactness(ready)
    assert exact.reused == len(A) - 1
    assert exact.bit_identical


def test_the_difference_of_logits_is_that_of_the_two_runs(engine: Engine) -> None:
    cold = tiny_engine(model=tiny_model(RowByRow)).prefill(B)
    with experiment(engine, A, B) as ready:
        for position in range(len(SHARED)):
            corrupt(ready, VALUE, 1, position)
        exact = check_exactness(ready)
        hit = engine.prefill(B, namespace=ready.namespace, store=False)
    largest = float((hit.logits - cold.logits).abs().max())
    assert largest > 0 and not exact.logits_equal
    assert exact.max_abs_logit_diff == pytest.approx(largest)
    assert exact.same_first_token == (hit.next_id == cold.next_id)


def test_another_first_token_is_reported(engine: Engine) -> None:
    with experiment(engine, A, B) as ready:
        for position in range(len(SHARED)):
            corrupt(ready, VALUE, 1, position, by=1000.0)
        assert not check_exactness(ready).same_first_token


def test_the_proof_stores_nothing_and_leaves_nothing_pinned(engine: Engine) -> None:
    with experiment(engine, A, B) as ready:
        before = engine.cache.stats
        check_exactness(ready)
        after = engine.cache.stats
        assert after.stored_tokens == before.stored_tokens == len(A)
        assert after.pinned_tokens <= len(A)
    assert engine.cache.stats.pinned_tokens == 0


def test_a_proof_that_is_stopped_leaves_nothing_pinned(engine: Engine) -> None:
    def stop(done: int, of: int) -> None:
        raise Stopped

    with experiment(engine, A, B) as ready, pytest.raises(Stopped):
        check_exactness(ready, stop)
    assert engine.cache.stats.pinned_tokens == engine.cache.stats.namespaces == 0


@pytest.mark.parametrize("a", ["", "nothing in common"])
def test_where_nothing_is_reused_there_is_nothing_to_differ(engine: Engine, a: str) -> None:
    with experiment(engine, a, B) as ready:
        exact = check_exactness(ready)
    assert (exact.reused, exact.bit_identical, exact.max_abs_kv_diff) == (0, True, 0.0)


def test_what_the_cache_refused_is_not_compared() -> None:
    engine = tiny_engine(tiny_cache(budget_tokens=3), tiny_model(RowByRow))
    with experiment(engine, A, B) as ready:
        exact = check_exactness(ready)
    assert (exact.reused, exact.bit_identical) == (0, True)


def test_a_model_whose_bits_depend_on_the_division_keeps_its_token() -> None:
    with experiment(tiny_engine(), A, B) as ready:
        exact = check_exactness(ready)
    assert exact.reused == len(SHARED)
    assert exact.same_first_token
    assert exact.max_abs_kv_diff < 1e-4 and exact.max_abs_logit_diff < 1e-4
