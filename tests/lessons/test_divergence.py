"""The KV divergence map: what it compares, what it measures, what is said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from prefix_engine.compare import compare
from prefix_engine.engine import Engine
from prefix_engine.errors import EmptyPrompt, PromptTooLong
from prefix_engine.lessons.divergence import Column, Divergence, diverge
from prefix_engine.lessons.divergence_verdict import Answer, judge, percent
from prefix_engine.lessons.why_it_stops import WhyItStops, find_out
from prefix_engine.measured import from_json, stamp, to_json
from prefix_engine.model.hub import load_hub_model
from prefix_engine.tokenizer import VocabularyTokenizer
from prefix_engine.watch import Watch
from tests.model.tiny_hub import save_tiny_model
from tests.tiny_engine import RowByRow, tiny_cache, tiny_engine, tiny_model, tiny_vocabulary

pytestmark = pytest.mark.usefixtures("one_thread")

SUBSTITUTION = ("one SF two three", "one NY two three")
INSERTION = ("one 9 two three", "one 10 two three")


def exact_engine() -> Engine:
    return tiny_engine(model=tiny_model(RowByRow))


def diverged(a: str, b: str, engine: Engine | None = None) -> Divergence:
    return find_out(engine or exact_engine(), a, b).divergence


def test_up_to_the_cut_nothing_differs() -> None:
    found = diverged(*SUBSTITUTION)
    assert found.shared == len("one ")
    assert found.rounding == 0.0
    assert all(set(column.k + column.v) == {0.0} for column in found.before)


def test_behind_the_cut_the_same_text_differs_in_every_layer_but_the_lowest() -> None:
    found = diverged(*SUBSTITUTION)
    assert len(found.again) == len(" two three")
    assert all(column.k[0] == column.v[0] == 0.0 for column in found.again)
    assert all(x > 1e-4 for column in found.again for x in column.above_layer_0())
    assert found.held is True
    assert found.in_place is not None and found.moved is None
    assert judge(found).answer is Answer.LAYER_0


def test_of_moved_tokens_only_the_values_of_layer_0_agree_where_keys_are_turned() -> None:
    found = diverged(*INSERTION)
    assert found.moved is not None and found.in_place is None
    assert (found.moved.keys, found.moved.values) == (False, True)
    assert found.moved.tokens == len(" two three")
    assert "(rotary positions, RoPE)" in judge(found).layer_0[0]
    assert judge(found).answer is Answer.LAYER_0_VALUES


def test_of_moved_tokens_nothing_agrees_where_positions_are_learned(tmp_path: Path) -> None:
    model, tokenizer = load_hub_model(str(save_tiny_model(tmp_path, "gpt2")), precision="f32")
    engine = Engine(model, tokenizer, tiny_cache())
    found = diverged(*INSERTION, engine)
    assert found.moved is not None
    assert (found.moved.keys, found.moved.values) == (False, False)
    assert "learned" in judge(found).layer_0[0]
    assert judge(found).answer is Answer.NOWHERE
    in_place = diverged(*SUBSTITUTION, engine).in_place
    assert in_place is not None and in_place.keys and in_place.values


def test_moved_tokens_are_compared_by_text_and_by_position() -> None:
    found = diverged(*INSERTION)
    assert [(c.a_at, c.b_at) for c in found.by_position] == [(at, at) for at in range(15)]
    moved = [(c.a_at, c.b_at) for c in found.by_text if c.moved]
    assert moved == [(at, at + 1) for at in range(5, 15)]
    assert all(column.same for column in found.by_text)
    assert found.by_position[6].k[0] > 0.01, "at the same position stands another token"


def test_where_nothing_moved_there_is_one_map_only() -> None:
    assert diverged(*SUBSTITUTION).by_text == ()


def test_a_difference_is_relative_to_the_size_of_as() -> None:
    tokenizer = VocabularyTokenizer(tiny_vocabulary())
    comparison = compare(tokenizer.tokenize("xy"), tokenizer.tokenize("xz"))
    a = torch.ones(2, 3, 2, 5, 4)
    b = a.clone()
    b[0, 1, :, 1] = 1.5
    b[1, 2, 0, 1] = 2.0
    second = diverge(comparison, a, b).by_position[1]
    assert second.k == (0.0, 0.5, 0.0)
    assert second.v == (0.0, 0.0, pytest.approx(0.5**0.5, rel=1e-3))


@pytest.mark.parametrize(("dtype", "unit"), [(torch.float32, 2**-23), (torch.bfloat16, 2**-7)])
def test_the_unit_of_rounding_is_that_of_the_precision(dtype: torch.dtype, unit: float) -> None:
    tokenizer = VocabularyTokenizer(tiny_vocabulary())
    comparison = compare(tokenizer.tokenize("xy"), tokenizer.tokenize("xy"))
    kv = torch.ones(2, 1, 1, 2, 4, dtype=dtype)
    assert diverge(comparison, kv, kv).rounding_unit == unit


def test_rounding_before_the_cut_is_told_and_not_taken_for_a_difference() -> None:
    found = diverged(*SUBSTITUTION)
    noisy = Column(0, 0, True, (0.0, 3e-7), (0.0, 0.0))
    rounded = replace(found, by_position=(noisy, *found.by_position[1:]))
    assert rounded.rounding == 3e-7
    assert "but for rounding, at most 0.00003%" in judge(rounded).before
    hardly = replace(found.again[0], k=(0.0, 3e-7))
    same = replace(rounded, by_position=(noisy, *found.by_position[1:6], hardly))
    assert same.held is False
    assert judge(same).answer is Answer.EVERYWHERE


def test_layer_0_agrees_where_it_differs_by_no_more_than_rounding() -> None:
    found = diverged("xab", "yab")
    first, second, third = found.by_position
    for off, agrees in ((found.rounding_unit, True), (1e-3, False)):
        near = replace(second, k=(off, *second.k[1:]))
        in_place = replace(found, by_position=(first, near, third)).in_place
        assert in_place is not None
        assert (in_place.keys, in_place.values) == (agrees, True)


def test_where_no_text_comes_again_nothing_can_be_told() -> None:
    for a, b in (("abc", "abcdef"), ("abc", "abd"), ("abc", "abc")):
        found = diverged(a, b)
        assert found.held is None
        assert judge(found).answer is None


def test_the_headline_counts_what_reads_the_same() -> None:
    verdict = judge(diverged(*SUBSTITUTION))
    assert "10 tokens read the same as in A" in verdict.headline
    assert "differs everywhere" in verdict.headline
    assert "the KV of 4 tokens is the same in all layers, to the last bit" in verdict.before
    assert "The very first token differs" in judge(diverged("xab", "yab")).before


def test_the_answer_holds_for_tokens_in_place_and_moved_ones_alike() -> None:
    found = diverged(*INSERTION)
    moved = next(column for column in found.by_text if column.moved)
    in_place = replace(moved, a_at=moved.b_at, k=(0.0, *moved.k[1:]), v=(0.0, *moved.v[1:]))
    both = replace(found, by_text=(*found.by_text, in_place))
    assert both.in_place is not None and both.in_place.keys
    assert judge(both).answer is Answer.LAYER_0_VALUES


def test_the_outcome_begins_with_the_layer_that_the_sentence_leaves_out() -> None:
    outcome = judge(diverged(*SUBSTITUTION)).outcome
    assert outcome.startswith("But for layer 0, 1 of ")
    assert "“Everything after it” leaves that out" in outcome


def test_percent_has_two_figures_and_no_exponent() -> None:
    assert [percent(x) for x in (0, 1.2e-7, 0.0357, 1, 12.3)] == [
        "0%",
        "0.000012%",
        "3.6%",
        "100%",
        "1200%",
    ]


def test_part_of_a_character_is_named_by_its_bytes() -> None:
    assert diverged("🌵", "🌻").b_tokens == ("⟨F0⟩", "⟨9F⟩", "⟨8C⟩", "⟨BB⟩")


def test_finding_out_reads_and_stores_nothing() -> None:
    engine = exact_engine()
    engine.prefill(SUBSTITUTION[0])
    before = engine.cache.stats
    find_out(engine, *SUBSTITUTION)
    assert engine.cache.stats == before


def test_bad_prompts_are_refused_in_words() -> None:
    engine = exact_engine()
    with pytest.raises(EmptyPrompt):
        find_out(engine, "", "b")
    with pytest.raises(PromptTooLong, match="B has 601 tokens"):
        find_out(engine, "a", "b" * 601)


@pytest.mark.parametrize("steps", [1, 20, 40])
def test_whoever_looks_on_may_stop_it_and_the_engine_goes_on(steps: int) -> None:
    class Stopped(Exception):
        pass

    heard = 0

    def on_step(done: int, total: int) -> None:
        nonlocal heard
        heard += 1
        if heard == steps:
            raise Stopped

    engine = exact_engine()
    with pytest.raises(Stopped):
        find_out(engine, *SUBSTITUTION, Watch(on_step=on_step))
    engine.cache.check_integrity()
    assert diverged(*SUBSTITUTION, engine) == diverged(*SUBSTITUTION)


def test_a_result_survives_its_file() -> None:
    engine = exact_engine()
    measured = stamp(engine, find_out(engine, *INSERTION))
    assert from_json(to_json(measured), WhyItStops) == measured


def test_the_same_prompt_twice_has_no_first_difference_to_speak_of() -> None:
    verdict = judge(diverged("abc", "abc"))
    assert verdict.headline.startswith("A and B are the same prompt")
    assert verdict.held is None and "In the shared beginning" in verdict.before


@pytest.mark.parametrize(
    ("a", "b", "cause"),
    [
        ("xacd", "xbcd", "one different token changed"),
        ("xabcd", "xbacd", "what differs before them changed"),
        ("xacd", "xbbcd", "what differs before them changed"),
    ],
)
def test_one_token_is_called_the_cause_only_where_one_differs(a: str, b: str, cause: str) -> None:
    assert cause in judge(diverged(a, b)).outcome
