"""What one visitor may take, and that nobody's run reaches into another's."""

from __future__ import annotations

from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefix_engine import loading
from prefix_engine.cache import RadixCache
from prefix_engine.engine import CHARACTERS_A_TOKEN, Engine
from prefix_engine.errors import PromptTooLong, TextTooLong, TooManyTrials
from prefix_engine.record import Run
from prefix_engine.run import RunWatch, compare_prompts, run
from prefix_engine.settings import Settings
from prefix_engine.speed import Arm
from prefix_engine.tokenizer import Message, Prompt, Tokenized, Tokenizer
from prefix_engine.trials import experiment
from prefix_engine.turns import ComputeSlot
from prefix_engine.unloaded import UnloadedShares
from tests.cache.fakes import BYTES_PER_TOKEN, store, stored, taking
from tests.tiny_engine import BYTES_PER_TOKEN as KV_BYTES
from tests.tiny_engine import tiny_cache, tiny_engine, tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")

SHARED = "You are a helpful assistant. "
A, B = SHARED + "Weather in SF?", SHARED + "Time in NYC?"
PATIENCE_S = 60.0


def cache_for(tokens: int | None, each: int, block_size: int = 1) -> RadixCache:
    """Room for so many tokens in all, and for so many in each namespace."""
    return RadixCache(
        block_size,
        bytes_per_token=BYTES_PER_TOKEN,
        budget_bytes=None if tokens is None else tokens * BYTES_PER_TOKEN,
        namespace_bytes=each * BYTES_PER_TOKEN,
    )


# ---- KV for each visitor


def test_a_namespace_at_its_limit_evicts_its_own_oldest_and_nobody_elses() -> None:
    cache = cache_for(None, each=5)
    store(cache, [7, 7], "hers")
    for ids in ([1, 1], [2, 2], [3, 3]):
        store(cache, ids, "his")
    assert [stored(cache, ids, "his") for ids in ([1, 1], [2, 2], [3, 3])] == [0, 2, 2]
    assert stored(cache, [7, 7], "hers") == 2
    assert cache.stats.evicted_tokens == 2
    cache.check_integrity()


def test_more_than_a_namespaces_limit_is_refused_and_changes_nothing() -> None:
    cache = cache_for(100, each=5)
    store(cache, [1, 2, 3], "his")
    nodes, stats = cache.nodes(), cache.stats
    ids = [1, 2, 3, 4, 5, 6]
    result = cache.insert(ids, taking(ids, "his"), "his")
    assert (result.stored, result.present, result.refused) == (0, 3, True)
    assert (cache.nodes(), cache.stats) == (nodes, stats)


def test_what_is_in_use_in_a_namespace_is_not_evicted_for_its_limit() -> None:
    cache = cache_for(100, each=5)
    store(cache, [1, 1, 1], "his")
    with cache.pin([1, 1, 1], "his"):
        assert cache.insert([2, 2, 2], taking([2, 2, 2], "his"), "his").refused
        store(cache, [3, 3], "his")
    assert not cache.insert([2, 2, 2], taking([2, 2, 2], "his"), "his").refused
    cache.check_integrity()


def test_one_greedy_namespace_leaves_the_others_their_room() -> None:
    cache = cache_for(10, each=5)
    store(cache, [1, 2, 3, 4, 5], "hers")
    for first in range(20):
        store(cache, [100 + first, 0], "greedy")
    assert stored(cache, [1, 2, 3, 4, 5], "hers") == 5


def test_a_limit_that_can_not_be_told_in_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="bytes per token"):
        RadixCache(namespace_bytes=10)
    with pytest.raises(ValueError, match="negative"):
        RadixCache(namespace_tokens=-1)
    assert RadixCache(namespace_tokens=7).namespace_tokens == 7


prompts = st.lists(st.integers(1, 3), min_size=1, max_size=9)


@given(
    st.lists(st.tuples(st.sampled_from("xyz"), prompts, st.booleans()), max_size=30),
    st.integers(1, 3),
)
def test_no_namespace_ever_has_more_than_its_limit(
    steps: list[tuple[str, list[int], bool]], block_size: int
) -> None:
    cache, leases = cache_for(14, each=6, block_size=block_size), []
    for namespace, ids, pinned in steps:
        before = {name: held(cache, name) for name in "xyz"}
        result = cache.insert(ids, taking(ids, namespace), namespace)
        cache.check_integrity()
        assert all(held(cache, name) <= 6 for name in "xyz")
        if result.refused:
            assert {name: held(cache, name) for name in "xyz"} == before
        if pinned and len(leases) < 2:
            leases.append(cache.pin(ids, namespace))
    for lease in leases:
        lease.release()
    cache.check_integrity()


def held(cache: RadixCache, namespace: str) -> int:
    return sum(len(node.ids) for node in cache.nodes() if node.namespace == namespace)


# ---- one prompt, one run


def engine_with(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Engine:
    model, tokenizer = tiny_model(), tiny_engine().tokenizer
    monkeypatch.setattr(loading, "load_model", lambda *_: (model, tokenizer))
    return loading.load_engine(settings)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(max_prompt_tokens=20),
        Settings(kv_budget_each_bytes=20 * KV_BYTES),
        Settings(kv_budget_bytes=20 * KV_BYTES),
    ],
    ids=["prompt", "each", "all"],
)
def test_a_prompt_that_could_not_be_stored_is_too_long_and_the_limit_is_told(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    engine = engine_with(monkeypatch, settings)
    assert not engine.prefill("x" * 20).insert.refused
    with pytest.raises(PromptTooLong, match=r"21 tokens; the limit is 20\. Shorten it"):
        engine.prefill("x" * 21)


def test_an_engine_knows_what_the_unloaded_machine_gives_before_anybody_uses_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = engine_with(monkeypatch, Settings())
    assert engine.prefill("x").timing.unloaded_cpu_over_wall > 0
    assert engine.cache.stats.stored_tokens == 1


def test_what_the_machine_gives_is_learned_of_short_and_of_long_prefills(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learned: list[int] = []
    monkeypatch.setattr(
        UnloadedShares, "learn", lambda _, computed, share: learned.append(computed)
    )
    engine = engine_with(monkeypatch, Settings())
    assert learned[:5] == [1] * 5 and max(learned) >= 64
    assert (engine.cache.stats.query_tokens, engine.cache.stats.stored_tokens) == (0, 0)


@pytest.mark.parametrize("tokens", [1, 2, 16])
def test_a_server_of_short_prompts_learns_what_it_can_and_starts(
    monkeypatch: pytest.MonkeyPatch, tokens: int
) -> None:
    engine = engine_with(monkeypatch, Settings(max_prompt_tokens=tokens))
    assert engine.prefill("x").timing.unloaded_cpu_over_wall > 0


def test_a_slow_model_is_not_measured_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "CALIBRATION_S", 0.0)
    assert engine_with(monkeypatch, Settings()).prefill("x").timing.unloaded_cpu_over_wall == 0


class Untouched(Tokenizer):
    """Fails when it is asked to tokenize."""

    def encode(self, prompt: Prompt) -> list[int]:
        raise AssertionError("it was tokenized")

    def tokenize(self, prompt: Prompt) -> Tokenized:
        raise AssertionError("it was tokenized")

    def token_bytes(self, token_id: int) -> bytes:
        raise NotImplementedError


@pytest.mark.parametrize("chat", [False, True])
def test_a_text_that_can_only_be_too_long_is_refused_before_it_is_tokenized(chat: bool) -> None:
    engine = tiny_engine(max_prompt_tokens=20)
    longest = 20 * CHARACTERS_A_TOKEN
    text = "x" * (longest + 1)
    prompt = (Message("system", text[:9]), Message("user", text[9:])) if chat else text
    with pytest.raises(PromptTooLong):
        engine.tokenize("x" * longest)
    engine.tokenizer = Untouched()
    told = f"A has {longest + 1} characters; no more than {longest} are tokenized. Shorten it"
    with pytest.raises(TextTooLong, match=told):
        compare_prompts(engine, prompt, "B")
    for refused in (engine.prefill, engine.encode):
        with pytest.raises(TextTooLong, match="The prompt has"):
            refused(prompt)


def test_the_engine_keeps_the_limits_that_the_operator_sets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    each = Settings(kv_budget_each_bytes=60 * KV_BYTES, max_trials=3)
    engine = engine_with(monkeypatch, each)
    engine.prefill("x" * 40, namespace="his")
    engine.prefill("y" * 40, namespace="his")
    assert engine.cache.stats.stored_tokens == 40
    with pytest.raises(TooManyTrials, match="ask for 1 to 3"):
        run(engine, A, B, 4)
    together = engine_with(monkeypatch, Settings(kv_budget_bytes=60 * KV_BYTES))
    for number in range(3):
        together.prefill(f"{number}" * 40, namespace=f"of visitor {number}")
    assert together.cache.stats.held_bytes == 40 * KV_BYTES


@pytest.mark.parametrize("trials", [0, -1, 51])
def test_the_trials_of_a_run_are_limited_before_anything_runs(trials: int) -> None:
    engine = tiny_engine()
    with pytest.raises(TooManyTrials, match="ask for 1 to 50"):
        run(engine, A, B, trials)
    assert engine.cache.stats.query_tokens == 0


# ---- private by default


def test_of_two_experiments_on_the_same_prompts_neither_warms_the_other() -> None:
    engine = tiny_engine()
    with experiment(engine, A, B) as hers, experiment(engine, A, B) as his:
        assert hers.namespace != his.namespace
        for ready in (hers, his, hers):
            reused = {arm: ready.run(arm).reused for arm in Arm}
            assert reused == {Arm.COLD: 0, Arm.CONTROL: 0, Arm.HIT: len(SHARED)}


def test_what_one_visitor_stored_is_found_in_her_namespace_and_in_no_other() -> None:
    engine = tiny_engine()
    with experiment(engine, A, B) as hers, experiment(engine, "Something else", B) as his:
        found = {
            one.namespace: engine.prefill(A, namespace=one.namespace, store=False).reused
            for one in (hers, his)
        }
    assert found == {hers.namespace: len(A) - 1, his.namespace: 0}


def test_an_ended_experiment_slows_nobody_and_leaves_no_room_taken() -> None:
    engine = tiny_engine(tiny_cache(budget_tokens=len(A)))
    for _ in range(3):
        with experiment(engine, A, B) as ready:
            assert ready.run(Arm.HIT).reused == len(SHARED)
    assert engine.cache.stats.evicted_tokens == engine.cache.stats.stored_tokens == 0


def test_visitors_who_take_turns_measure_as_if_each_were_alone() -> None:
    engine, slot, runs = tiny_engine(), ComputeSlot(), list[Run]()

    def visit(name: str) -> None:
        visit = slot.visit(name)
        runs.append(run(engine, A, B, 1, watch=RunWatch(visit.turn)))
        visit.close()

    threads = [Thread(target=visit, args=[name], daemon=True) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(runs) == 3
    for one in runs:
        reused = {(trial.arm, trial.reused) for trial in one.trials}
        assert reused == {(Arm.COLD, 0), (Arm.CONTROL, 0), (Arm.HIT, len(SHARED))}
    assert engine.cache.stats.namespaces == 0
