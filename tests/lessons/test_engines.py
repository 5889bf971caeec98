"""How other systems would count: each rule at its edges."""

from __future__ import annotations

import pytest

from prefix_engine.lessons.engines import RULES, Pair, Standing, count_all
from ui.lessons.lens_chart import rules_in_words


def reused(system: str, pair: Pair) -> int:
    (count,) = [one for one in count_all(pair) if one.rule.system == system]
    assert count.reused + count.computed == pair.b_tokens and count.computed >= 1
    return count.reused


def parting(shared: int) -> Pair:
    """Both prompts go on after what they share."""
    return Pair(shared + 20, shared + 30, shared)


@pytest.mark.parametrize("system", ["First Difference", "SGLang", "llama.cpp server"])
def test_token_by_token_all_is_reused_but_the_last(system: str) -> None:
    assert reused(system, parting(103)) == 103
    assert reused(system, Pair(64, 64, 64)) == 63


def test_vllm_gives_up_a_whole_block_for_the_last_token() -> None:
    assert reused("vLLM", parting(103)) == 96
    assert reused("vLLM", parting(15)) == 0
    assert reused("vLLM", Pair(64, 64, 64)) == 48


def test_tensorrt_llm_rounds_to_blocks_only_with_partial_reuse_off() -> None:
    assert reused("TensorRT-LLM", parting(103)) == 103
    assert reused("TensorRT-LLM, partial reuse off", parting(103)) == 96


def test_openai_has_a_minimum_and_then_steps() -> None:
    assert reused("OpenAI API", parting(1023)) == 0
    assert reused("OpenAI API", parting(1024)) == 1024
    assert reused("OpenAI API", parting(1300)) == 1280


def test_anthropic_and_gemini_give_nothing_below_their_minimum() -> None:
    assert reused("Anthropic API (Opus 4.6)", parting(4095)) == 0
    assert reused("Anthropic API (Opus 4.6)", parting(4100)) == 4100
    assert reused("Gemini API (2.5)", parting(2047)) == 0
    assert reused("Gemini API (2.5)", parting(2048)) == 2048


def test_deepseek_needs_the_whole_of_a() -> None:
    assert reused("DeepSeek API", parting(5000)) == 0
    assert reused("DeepSeek API", Pair(50, 80, 50)) == 50


def test_a_longer_shared_part_lengthens_both_prompts() -> None:
    assert Pair(108, 105, 103).with_longer_prefix(10) == Pair(1035, 1032, 1030)
    assert Pair(108, 105, 103).with_longer_prefix(1) == Pair(108, 105, 103)


def test_prompts_cannot_share_more_than_they_have() -> None:
    with pytest.raises(ValueError, match="can't share 10 tokens"):
        Pair(9, 20, 10)


def test_every_rule_bears_a_source_and_a_date_and_says_how_sure_it_is() -> None:
    for rule in RULES:
        assert rule.sources and rule.says.endswith(".") and len(rule.read_on) == len("2026-11-24")
        others = rule.system != "First Difference"
        assert all(source.url.startswith("https://") is others for source in rule.sources)
    unsure = {rule.system for rule in RULES if rule.standing is not Standing.OWN}
    assert unsure == {"OpenAI API", "Anthropic API (Opus 4.6)", "Gemini API (2.5)"}


def test_the_rules_in_words_link_their_sources_and_date_the_copies() -> None:
    first, vllm, *_ = rules_in_words(count_all(parting(103))).split("\n")
    assert "](" not in first and "stored copies" not in first
    assert "get_computed_blocks, at 003df296](https://github.com/vllm-project/vllm/blob/" in vllm
    assert vllm.endswith("(stored copies read on 2026-11-24).")
