"""A sample of `python -m benchmarks.hostile`: no crash, nothing lost in silence."""

from __future__ import annotations

import pytest

from benchmarks.common.hostile_checks import TextChecks, check_engine
from benchmarks.common.hostile_texts import KINDS, has_half_characters, hostile_texts
from prefix_engine.errors import TextError
from prefix_engine.tokenizer import Tokenized, VocabularyTokenizer
from tests.tiny_engine import tiny_engine

EACH_KIND = len(KINDS)


def test_hostile_texts_are_tokenized_and_compared_by_the_rules(
    tokenizer: VocabularyTokenizer,
) -> None:
    checks = TextChecks(tokenizer)
    for _, text in hostile_texts(6 * EACH_KIND, seed=7):
        checks.check(text)


@pytest.mark.usefixtures("one_thread")
def test_hostile_texts_are_computed_or_refused_for_a_reason() -> None:
    engine = tiny_engine(max_prompt_tokens=900)
    taken = [check_engine(engine, text) for _, text in hostile_texts(4 * EACH_KIND, seed=2)]
    assert True in taken and False in taken
    engine.cache.check_integrity()


def test_a_sample_has_every_kind_and_comes_out_the_same_again() -> None:
    sample = list(hostile_texts(EACH_KIND, seed=3))
    assert {kind for kind, _ in sample} == set(KINDS)
    assert sample == list(hostile_texts(EACH_KIND, seed=3))
    assert any(has_half_characters(text) for _, text in sample)
    assert max(len(text) for _, text in sample) == 100_000


class Lossy(VocabularyTokenizer):
    """Forgets to say what it dropped."""

    def tokenize(self, prompt: object) -> Tokenized:
        whole = super().tokenize(prompt)  # type: ignore[arg-type]
        return Tokenized(whole.text, whole.tokens, ())


class Lenient(VocabularyTokenizer):
    """Takes half characters as if they were question marks."""

    def tokenize(self, prompt: object) -> Tokenized:
        assert isinstance(prompt, str)
        return super().tokenize(prompt.encode(errors="replace").decode())


def test_the_checks_notice_bytes_that_are_lost_in_silence(tokenizer: VocabularyTokenizer) -> None:
    with pytest.raises(AssertionError, match="lost in silence"):
        TextChecks(_as(tokenizer, Lossy)).check("a\x04b")


def test_the_checks_notice_half_characters_that_are_taken(tokenizer: VocabularyTokenizer) -> None:
    with pytest.raises(AssertionError, match="half a character was taken"):
        TextChecks(_as(tokenizer, Lenient)).check("a\ud800b")
    with pytest.raises(TextError):
        tokenizer.tokenize("a\ud800b")


def _as(tokenizer: VocabularyTokenizer, kind: type[VocabularyTokenizer]) -> VocabularyTokenizer:
    """The same tokenizer with another class's mistakes."""
    other = kind.__new__(kind)
    other.__dict__.update(tokenizer.__dict__)
    return other
