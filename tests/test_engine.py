from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest

import pytest
import torch
from torch import Tensor

from prefix_engine.cache import DEFAULT_NAMESPACE, Insert, Lease, RadixCache, TakeKV
from prefix_engine.cache.storage import KVSegment
from prefix_engine.engine import Engine, Sampling, Step
from prefix_engine.errors import EmptyPrompt, PromptTooLong, ReplyTooLong
from prefix_engine.model.base import Slab
from prefix_engine.stopwatch import Stopwatch, Timing
from prefix_engine.tokenizer import Message, Prompt
from tests.tiny_engine import (
    BYTES_PER_TOKEN,
    DROPPED,
    INFO,
    STOP,
    Scripted,
    tiny_cache,
    tiny_engine,
    tiny_model,
)

pytestmark = pytest.mark.usefixtures("one_thread")

SHARED = "You are a helpful assistant. "
ANOTHER_ID = 100


class Stopped(Exception):
    pass


@pytest.fixture
def engine() -> Engine:
    return tiny_engine()


def assert_alike(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def ids_of(engine: Engine, prompt: Prompt) -> list[int]:
    return engine.tokenizer.encode(prompt)


def findable(engine: Engine, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> int:
    """How many of these tokens are stored: one more hides none of them behind the last-token
    rule."""
    return engine.cache.peek([*ids, ANOTHER_ID], namespace)


def stored_kv(engine: Engine, ids: Sequence[int]) -> Tensor:
    with engine.cache.pin(ids) as lease:
        return torch.cat([s.kv for s in lease.segments if isinstance(s, KVSegment)], dim=3)


def reply_of(engine: Engine, prompt: Prompt, tokens: int = 8) -> list[Step]:
    return list(engine.generate(prompt, max_new_tokens=tokens))


def ids_and_text(steps: list[Step]) -> list[tuple[int, str]]:
    return [(step.id, step.text) for step in steps]


# ---- prefill: what is reused


def test_the_first_request_reuses_nothing(engine: Engine) -> None:
    prefill = engine.prefill("0123456789")
    assert (prefill.reused, prefill.computed) == (0, 10)
    assert prefill.insert == Insert(stored=10, present=0, refused=False)


def test_a_hit_reuses_the_common_leading_tokens_and_computes_the_rest(engine: Engine) -> None:
    engine.prefill(SHARED + "Is it warm?")
    prefill = engine.prefill(SHARED + "What is up?")
    assert prefill.reused == len(SHARED)
    assert prefill.computed == len("What is up?")
    assert prefill.kv_bytes_reused == len(SHARED) * BYTES_PER_TOKEN
    assert prefill.kv_bytes_computed == len("What is up?") * BYTES_PER_TOKEN
    assert prefill.insert.present == len(SHARED)


@pytest.mark.parametrize("question", ["Is it?", "Is it so or is it rather otherwise? " * 10])
def test_the_logits_of_a_hit_agree_with_those_of_a_cold_run(engine: Engine, question: str) -> None:
    cold = tiny_engine().prefill(SHARED + question)
    engine.prefill(SHARED + "Something else first")
    hit = engine.prefill(SHARED + question)
    assert hit.reused == len(SHARED)
    assert_alike(hit.logits, cold.logits)
    assert hit.next_id == cold.next_id == int(cold.logits.argmax())


def test_only_whole_blocks_are_reused() -> None:
    engine = tiny_engine(tiny_cache(block_size=8))
    engine.prefill(SHARED + "a")
    assert engine.prefill(SHARED + "b").reused == 24  # of 29 shared


def test_a_full_hit_with_nothing_to_prefill_recomputes_the_last_token(engine: Engine) -> None:
    cold = engine.prefill(SHARED)
    hit = engine.prefill(SHARED)
    assert (hit.reused, hit.computed) == (len(SHARED) - 1, 1)
    assert_alike(hit.logits, cold.logits)
    assert hit.next_id == cold.next_id


def test_a_prompt_of_one_token_is_computed_though_it_is_stored(engine: Engine) -> None:
    cold, again = engine.prefill("x"), engine.prefill("x")
    assert (again.reused, again.computed) == (0, 1)
    assert_alike(again.logits, cold.logits)


def test_a_prompt_that_begins_a_stored_one_is_a_full_hit(engine: Engine) -> None:
    engine.prefill(SHARED + "and more")
    hit = engine.prefill(SHARED)
    assert (hit.reused, hit.computed) == (len(SHARED) - 1, 1)
    assert_alike(hit.logits, tiny_engine().prefill(SHARED).logits)


def test_prefix_and_question_are_tokenized_together(engine: Engine) -> None:
    prefix, question = "Tell me about q", "uails"
    assert ids_of(engine, prefix + question) != ids_of(engine, prefix) + ids_of(engine, question)
    engine.prefill(prefix)
    prefill = engine.prefill(prefix + question)
    assert list(prefill.ids) == ids_of(engine, prefix + question)
    assert prefill.reused == len(prefix) - 1  # the stored "q" is no "qu"


def test_a_chat_shares_what_the_template_puts_in_front(engine: Engine) -> None:
    system = Message("system", "Be brief.")
    engine.prefill((system, Message("user", "Hello")))
    prefill = engine.prefill((system, Message("user", "World")))
    shared = ids_of(engine, "system\nBe brief.") + ids_of(engine, "user\n")
    assert prefill.reused == len(shared) + 3  # and <|s|>, <|e|>, <|s|>


# ---- prefill: what is stored


def test_a_prompt_is_findable_as_soon_as_its_prefill_ends(engine: Engine) -> None:
    with engine.request(SHARED) as request:
        assert findable(engine, request.prefill.ids) == len(SHARED)
        with engine.request(SHARED + "!") as second:
            assert second.prefill.reused == len(SHARED)


def test_a_prompt_is_findable_while_its_reply_is_generated(engine: Engine) -> None:
    reply = engine.generate(SHARED)
    step = next(reply)
    assert findable(engine, [*step.prefill.ids, step.id]) == len(SHARED)
    reply.close()


def test_read_false_stores_but_reads_nothing(engine: Engine) -> None:
    engine.prefill(SHARED)
    before = engine.cache.stats
    prefill = engine.prefill(SHARED + "more", read=False)
    assert (prefill.reused, prefill.computed) == (0, len(SHARED) + 4)
    assert findable(engine, prefill.ids) == len(SHARED) + 4
    after = engine.cache.stats
    assert (after.query_tokens, after.hit_tokens) == (before.query_tokens, before.hit_tokens)


def test_store_false_reuses_but_changes_nothing_that_is_stored(engine: Engine) -> None:
    engine.prefill(SHARED)
    before = engine.cache.stats.stored_tokens
    prefill = engine.prefill(SHARED + "more", store=False)
    assert prefill.reused == len(SHARED)
    assert prefill.insert == Insert(stored=0, present=0, refused=False)
    list(engine.generate(SHARED + "more", store=False, max_new_tokens=4))
    assert findable(engine, prefill.ids) == len(SHARED)
    assert engine.cache.stats.stored_tokens == before


def test_another_namespace_misses_and_the_same_one_hits(engine: Engine) -> None:
    engine.prefill(SHARED, namespace="hers")
    assert engine.prefill(SHARED, namespace="his", store=False).reused == 0
    assert engine.prefill(SHARED, store=False).reused == 0
    assert engine.prefill(SHARED, namespace="hers").reused == len(SHARED) - 1


def test_a_reply_is_stored_in_the_namespace_of_its_prompt(engine: Engine) -> None:
    steps = list(engine.generate(SHARED, namespace="hers", max_new_tokens=3))
    ids = [*steps[0].prefill.ids, *(step.id for step in steps)]
    assert findable(engine, ids, "hers") == len(ids) - 1
    assert findable(engine, ids) == 0


def test_a_refused_insertion_still_answers() -> None:
    small, large = tiny_engine(tiny_cache(budget_tokens=5)), tiny_engine()
    prefill = small.prefill(SHARED)
    assert prefill.insert.refused
    assert_alike(prefill.logits, large.prefill(SHARED).logits)
    assert ids_and_text(reply_of(small, SHARED)) == ids_and_text(reply_of(large, SHARED))
    assert small.cache.stats.stored_tokens == 0
    small.cache.check_integrity()


def test_the_first_id_is_replaced_after_tokenizing(engine: Engine) -> None:
    engine.prefill(SHARED)
    control = engine.prefill(SHARED, first_id=200, store=False)
    assert control.reused == 0
    assert list(control.ids) == [200, *ids_of(engine, SHARED)[1:]]


# ---- prefill: refused prompts


def test_a_prompt_of_the_limit_is_taken_and_one_token_more_is_refused_with_the_count() -> None:
    engine = tiny_engine(max_prompt_tokens=10)
    assert engine.prefill("0123456789").computed == 10
    with pytest.raises(PromptTooLong, match="11 tokens") as raised:
        engine.prefill("0123456789a")
    assert (raised.value.tokens, raised.value.limit) == (11, 10)
    assert engine.cache.stats.stored_tokens == 10


@pytest.mark.parametrize("prompt", ["", DROPPED])
def test_a_prompt_without_tokens_is_refused(engine: Engine, prompt: str) -> None:
    with pytest.raises(EmptyPrompt):
        engine.prefill(prompt)
    assert engine.cache.stats.stored_tokens == 0


def test_prompt_and_reply_together_fit_into_the_model() -> None:
    engine = tiny_engine(max_prompt_tokens=10**6, max_new_tokens=100)
    assert engine.max_new_tokens == 100
    assert engine.max_prompt_tokens + engine.max_new_tokens == INFO.max_tokens
    assert len(reply_of(engine, "x" * engine.max_prompt_tokens, 100)) > 0


# ---- the callback


def test_on_step_hears_of_every_chunk_and_counts_the_reused_as_done(engine: Engine) -> None:
    heard: list[tuple[int, int]] = []
    engine.prefill(SHARED + "x" * 300, on_step=lambda done, of: heard.append((done, of)))
    assert heard == [(0, 329), (256, 329)]
    heard.clear()
    engine.prefill(SHARED + "y" * 300, on_step=lambda done, of: heard.append((done, of)))
    assert heard == [(29, 329), (285, 329)]


@pytest.mark.parametrize("chunk", [0, 1])
def test_raising_from_on_step_leaves_the_cache_whole(engine: Engine, chunk: int) -> None:
    engine.prefill(SHARED + "before")
    stored = engine.cache.stats.stored_tokens
    heard: list[int] = []

    def stop(done: int, of: int) -> None:
        heard.append(done)
        if len(heard) == chunk + 1:
            raise Stopped

    with pytest.raises(Stopped):
        engine.prefill(SHARED + "z" * 400, on_step=stop)
    assert heard == [29, 285][: chunk + 1]
    engine.cache.check_integrity()
    stats = engine.cache.stats
    assert (stats.pinned_tokens, stats.stored_tokens) == (0, stored)
    assert stats.hit_tokens == len(SHARED)
    after = engine.prefill(SHARED + "z" * 400)
    assert after.reused == len(SHARED)
    assert_alike(after.logits, tiny_engine().prefill(SHARED + "z" * 400).logits)


def test_slabs_are_used_again_whatever_became_of_the_request(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Slab] = []
    new_slab = engine.model.new_slab

    def counted(capacity: int) -> Slab:
        made.append(new_slab(capacity))
        return made[-1]

    def stop(done: int, of: int) -> None:
        raise Stopped

    monkeypatch.setattr(engine.model, "new_slab", counted)
    engine.prefill("one")
    with pytest.raises(Stopped):
        engine.prefill("two", on_step=stop)
    with pytest.raises(EmptyPrompt):
        engine.prefill("")
    reply = engine.generate("three")
    next(reply)
    reply.close()
    engine.prefill("four")
    assert len(made) == 1


def test_of_several_slabs_one_is_kept(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    new_slab = engine.model.new_slab
    monkeypatch.setattr(engine.model, "new_slab", lambda rows: made.append(rows) or new_slab(rows))
    for _ in range(2):
        with engine.request("one"), engine.request("two"):
            pass
    assert len(made) == 2 + 1


def test_over_another_cache_it_is_the_same_engine(engine: Engine) -> None:
    engine.prefill(SHARED)
    other = engine.with_cache(tiny_cache())
    with other.request(SHARED) as one:
        assert one.prefill.reused == 0
        slab = one.slab
    with engine.request(SHARED) as same:
        assert (same.slab is slab, same.prefill.reused) == (True, len(SHARED) - 1)


def test_two_requests_at_once_never_have_the_same_slab(engine: Engine) -> None:
    engine.prefill("warm")
    with engine.request("one") as one, engine.request("two") as two:
        assert one.slab is not two.slab


# ---- timing


class LateCache(RadixCache):
    """Takes 2 seconds of a clock to look up, and 7 to store."""

    clock = 0.0

    def insert(
        self, ids: Sequence[int], take: TakeKV, namespace: str = DEFAULT_NAMESPACE
    ) -> Insert:
        self.clock += 7
        return super().insert(ids, take, namespace)

    def match(self, ids: Sequence[int], namespace: str = DEFAULT_NAMESPACE) -> Lease:
        self.clock += 2
        return super().match(ids, namespace)


def test_the_ttft_contains_neither_on_step_nor_storing(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = LateCache(bytes_per_token=BYTES_PER_TOKEN)
    engine = tiny_engine(cache)

    def now() -> float:
        return cache.clock

    def on_step(done: int, of: int) -> None:
        cache.clock += 100

    monkeypatch.setattr("prefix_engine.engine.Stopwatch", partial(Stopwatch, now, now))
    prefill = engine.prefill(SHARED, on_step=on_step)
    assert prefill.ttft_s == prefill.timing.total_s == 2
    assert prefill.store_s == 7


def test_a_prefill_is_timed_in_the_stages_of_the_ttft(engine: Engine) -> None:
    timing = engine.prefill(SHARED).timing
    assert list(timing.stages_s) == ["tokenize", "lookup", "load", "prefill", "pick"]
    assert all(seconds > 0 for seconds in timing.stages_s.values())
    assert timing.other_s >= 0


# ---- generate


def test_a_prefill_is_held_against_what_prefills_of_its_length_got(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = iter([1.5, 1.6, 1.4, 1.7, 1.5, 1.1])
    monkeypatch.setattr(Timing, "cpu_over_wall", property(lambda timing: next(shares)))
    made = [engine.prefill("x" * 40, read=False) for _ in range(6)]
    assert [one.timing.unloaded_cpu_over_wall for one in made] == [0.0] * 4 + [1.5] * 2
    shares = iter([1.5 * 0.81, 1.5 * 0.79])
    assert [made[5].timing.disturbed, made[5].timing.disturbed] == [False, True]


def test_generated_tokens_are_findable_afterwards_but_for_the_last(engine: Engine) -> None:
    steps = reply_of(engine, SHARED, 6)
    ids = [*steps[0].prefill.ids, *(step.id for step in steps)]
    assert len(steps) == 6
    assert findable(engine, ids) == len(SHARED) + 5
    assert engine.cache.stats.pinned_tokens == 0
    engine.cache.check_integrity()


def test_the_kv_of_a_generated_reply_is_that_of_a_prefill_of_the_same_tokens() -> None:
    engine = tiny_engine()
    steps = reply_of(engine, SHARED, 6)
    ids = [*steps[0].prefill.ids, *(step.id for step in steps)][:-1]
    generated = stored_kv(engine, ids)
    assert generated.shape[3] == len(ids)
    slab = engine.model.new_slab(len(ids))
    engine.model.forward(ids, slab, 0)
    assert_alike(generated, slab.kv)


def test_each_generated_token_is_the_likeliest_after_all_before_it(engine: Engine) -> None:
    steps = reply_of(engine, SHARED, 6)
    slab = engine.model.new_slab(64)
    ids = list(steps[0].prefill.ids)
    for step in steps:
        assert step.id == int(engine.model.forward(ids, slab, 0).argmax())
        ids.append(step.id)


@pytest.mark.parametrize("taken", [1, 3])
def test_closing_generate_early_keeps_what_there_is(engine: Engine, taken: int) -> None:
    reply = engine.generate(SHARED, max_new_tokens=8)
    steps = [next(reply) for _ in range(taken)]
    reply.close()
    ids = [*steps[0].prefill.ids, *(step.id for step in steps)]
    assert findable(engine, ids) == len(SHARED) + taken - 1
    assert engine.cache.stats.pinned_tokens == 0
    engine.cache.check_integrity()


def test_generate_does_nothing_before_the_first_next(engine: Engine) -> None:
    engine.generate(SHARED).close()
    assert engine.cache.stats.query_tokens == engine.cache.stats.stored_tokens == 0


def test_a_reply_ends_before_a_stop_token(engine: Engine) -> None:
    whole = [step.id for step in reply_of(engine, SHARED, 8)]
    stop = next(token for token in whole if token != whole[0])
    model = tiny_model(info=replace(INFO, stop_ids=frozenset({stop})))
    stopped = reply_of(tiny_engine(model=model), SHARED, 8)
    assert [step.id for step in stopped] == whole[: whole.index(stop)]


def test_a_reply_that_stops_at_once_is_empty() -> None:
    engine = tiny_engine(model=Scripted({5: STOP}))
    assert reply_of(engine, "Hello") == []
    assert engine.cache.stats.pinned_tokens == 0


@pytest.mark.parametrize("count", [0, -1, 65])
def test_the_length_of_a_reply_is_bounded(engine: Engine, count: int) -> None:
    with pytest.raises(ReplyTooLong, match="1 to 64"):
        next(engine.generate(SHARED, max_new_tokens=count))


def test_a_character_over_two_tokens_is_told_when_it_is_whole() -> None:
    first, second = ids_of(tiny_engine(), "é")
    engine = tiny_engine(model=Scripted({5: first, 6: second, 7: STOP}))
    assert [step.text for step in engine.generate("Hello")] == ["", "é"]


def test_a_reply_cut_inside_a_character_ends_with_the_replacement_character() -> None:
    first, second = ids_of(tiny_engine(), "é")
    engine = tiny_engine(model=Scripted({5: first, 6: second, 7: STOP}))
    steps = list(engine.generate("Hello", max_new_tokens=1))
    assert [step.text for step in steps] == ["\ufffd"]


def test_sampling_follows_its_seed() -> None:
    def sampled(seed: int) -> list[int]:
        sampling = Sampling(temperature=1.5, seed=seed)
        steps = tiny_engine().generate(SHARED, sampling=sampling, max_new_tokens=12)
        return [step.id for step in steps]

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)


def test_two_interleaved_generations_are_equal_to_separate_ones(engine: Engine) -> None:
    prompts = [SHARED + "Is it warm?", SHARED + "Why?"]
    apart = [ids_and_text(reply_of(tiny_engine(), prompt)) for prompt in prompts]
    engine.prefill(SHARED)
    together = zip_longest(*(engine.generate(prompt, max_new_tokens=8) for prompt in prompts))
    columns = [[step for step in column if step] for column in zip(*together, strict=True)]
    assert [ids_and_text(column) for column in columns] == apart
    assert all(column[0].prefill.reused == len(SHARED) for column in columns)
    engine.cache.check_integrity()


# ---- KV handed to a request is never altered by it


def test_one_mutable_cache_handed_to_two_requests_is_altered_by_neither(engine: Engine) -> None:
    engine.prefill(SHARED)
    ids = ids_of(engine, SHARED)
    before = stored_kv(engine, ids).clone()
    questions = ["Is it warm?", "What should I wear?"]
    replies = [reply_of(engine, SHARED + question) for question in questions]
    assert torch.equal(stored_kv(engine, ids), before)
    for question, reply in zip(questions, replies, strict=True):
        alone = reply_of(tiny_engine(), SHARED + question)
        assert reply[0].prefill.reused == len(SHARED)
        assert_alike(reply[0].prefill.logits, alone[0].prefill.logits)
        assert ids_and_text(reply) == ids_and_text(alone)


def test_what_is_written_into_a_slab_reaches_neither_the_cache_nor_another_request(
    engine: Engine,
) -> None:
    engine.prefill(SHARED)
    with engine.request(SHARED + "one") as one, engine.request(SHARED + "two") as two:
        stored = stored_kv(engine, one.prefill.ids).clone()
        others = two.slab.kv.clone()
        with torch.inference_mode():
            one.slab.kv.fill_(9.0)
        assert torch.equal(stored_kv(engine, one.prefill.ids), stored)
        assert torch.equal(two.slab.kv, others)
    again = engine.prefill(SHARED + "one more")
    assert_alike(again.logits, tiny_engine().prefill(SHARED + "one more").logits)


def test_what_a_running_request_reuses_is_not_evicted(engine: Engine) -> None:
    engine.prefill(SHARED)
    with engine.request(SHARED + "?", store=False):
        assert engine.cache.stats.pinned_tokens == len(SHARED)
        assert engine.cache.evict(10**6) == 0
    assert engine.cache.evict(10**6) == len(SHARED)
