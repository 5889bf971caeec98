from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefix_engine.compare import compare
from prefix_engine.diagnose import FindingKind, Verdict, VerdictKind, diagnose
from prefix_engine.glyphs import is_invisible
from prefix_engine.lookalike import LookalikeKind
from prefix_engine.tokenizer import Message, Prompt, VocabularyTokenizer


class Diagnose:
    """Two prompts in, a verdict out."""

    def __init__(self, tokenizer: VocabularyTokenizer) -> None:
        self._tokenizer = tokenizer

    def __call__(self, a: Prompt, b: Prompt, block_size: int = 1) -> Verdict:
        tokenize = self._tokenizer.tokenize
        return diagnose(compare(tokenize(a), tokenize(b), block_size))


@pytest.fixture(scope="session")
def verdict(tokenizer: VocabularyTokenizer) -> Diagnose:
    return Diagnose(tokenizer)


SF = "Weather in SF today? What should I wear"
NYC = "Weather in NYC today? What should I wear"
LAST = "the last token is always computed, for the reply is predicted from it"


def chat(content: str) -> Prompt:
    return (Message("user", content),)


@pytest.mark.parametrize(
    ("a", "b", "block_size", "kind", "sentence"),
    [
        (
            SF,
            NYC,
            1,
            VerdictKind.ORDINARY,
            'B reuses 2 of 9 tokens. The first difference is token 3, " SF" against " NYC"; the 7 '
            "tokens from there on are recomputed, 6 of them although they read the same.",
        ),
        (
            "one two three",
            "one two four",
            1,
            VerdictKind.ORDINARY,
            'B reuses 2 of 3 tokens. The first difference is token 3, " three" against " four"; '
            "that token alone is recomputed.",
        ),
        (
            "one two three x",
            "one two four five x",
            1,
            VerdictKind.ORDINARY,
            'B reuses 2 of 5 tokens. The first difference is token 3, " three" against " four"; '
            "the 3 tokens from there on are recomputed, 1 of them although it reads the same.",
        ),
        (
            "one two three",
            "one two four",
            2,
            VerdictKind.ORDINARY,
            'B reuses 2 of 3 tokens. The first difference is token 3, " three" against " four"; '
            "that token alone is recomputed.",
        ),
        (
            "one two three four",
            "one two three five",
            2,
            VerdictKind.ORDINARY,
            'B reuses 2 of 4 tokens. The first difference is token 4, " four" against " five"; '
            "that token alone is recomputed; 1 shared token fills no whole block of 2.",
        ),
        (
            "yes",
            "no way",
            1,
            VerdictKind.NOTHING_SHARED,
            "B reuses 0 of 2 tokens: nothing is shared. The first difference is token 1, "
            '"yes" against "no"; the 2 tokens from there on are recomputed.',
        ),
        (
            "one two three",
            "one two three",
            1,
            VerdictKind.EQUAL,
            f"B has the same 3 tokens as A. B reuses 2 of 3 tokens: {LAST}.",
        ),
        (
            "one",
            "one",
            1,
            VerdictKind.EQUAL,
            f"B has the same 1 token as A. B reuses 0 of 1 token: {LAST}.",
        ),
        (
            "one two one two",
            "one two one two",
            2,
            VerdictKind.EQUAL,
            f"B has the same 4 tokens as A. B reuses 2 of 4 tokens: {LAST}, "
            "and with it the other 1 token of its block.",
        ),
        (
            "one two",
            "one two three",
            1,
            VerdictKind.CONTINUES,
            "B continues A: both tokens of A are reused and 1 new token is computed.",
        ),
        (
            "one two three",
            "one two three four five",
            1,
            VerdictKind.CONTINUES,
            "B continues A: all 3 tokens of A are reused and 2 new tokens are computed.",
        ),
        (
            "one",
            "one two three",
            1,
            VerdictKind.CONTINUES,
            "B continues A: the only token of A is reused and 2 new tokens are computed.",
        ),
        (
            "one two three",
            "one two three four",
            2,
            VerdictKind.CONTINUES,
            "B continues A: 2 of the 3 tokens of A are reused and 1 new token is computed; "
            "1 shared token fills no whole block of 2.",
        ),
        (
            "one two three",
            "one two",
            1,
            VerdictKind.SHORTENED,
            f"B is the beginning of A. B reuses 1 of 2 tokens: {LAST}.",
        ),
        (
            "",
            "one two",
            1,
            VerdictKind.EMPTY,
            "A is empty, so there is nothing to reuse: 2 tokens of B are computed.",
        ),
        ("one", "", 1, VerdictKind.EMPTY, "B is empty: there is nothing to compute."),
        ("one", "\x04", 1, VerdictKind.EMPTY, "B has no tokens: there is nothing to compute."),
        (
            SF,
            NYC,
            16,
            VerdictKind.UNDER_BLOCK,
            "B reuses 0 of 9 tokens: 2 leading tokens are shared, but only whole blocks of 16 "
            'tokens are reused. The first difference is token 3, " SF" against " NYC".',
        ),
        (
            "one two",
            "one two",
            2,
            VerdictKind.UNDER_BLOCK,
            f"B reuses 0 of 2 tokens: 2 leading tokens are shared, but {LAST}, and with it the "
            "other 1 token of its block.",
        ),
    ],
)
def test_every_case_has_its_kind_and_sentence(
    verdict: Diagnose, a: str, b: str, block_size: int, kind: VerdictKind, sentence: str
) -> None:
    got = verdict(a, b, block_size)
    assert (got.kind, got.sentence) == (kind, sentence)


def test_sharing_only_the_template_is_a_case_of_its_own(verdict: Diagnose) -> None:
    got = verdict(chat("Hi"), chat("Yes"))
    assert got.kind is VerdictKind.ONLY_TEMPLATE
    assert got.sentence.startswith(
        "Only the chat template is shared (24 tokens), nothing that a person wrote. "
        'B reuses 24 of 31 tokens. The first difference is token 25, "Hi" against "Yes"; '
    )


def test_a_shared_word_is_more_than_the_template(verdict: Diagnose) -> None:
    assert verdict(chat("one two"), chat("one three")).kind is VerdictKind.ORDINARY


def test_a_template_shorter_than_a_block_is_named(verdict: Diagnose) -> None:
    got = verdict(chat("Hi"), chat("Yes"), 64)
    assert got.kind is VerdictKind.UNDER_BLOCK
    assert "24 leading tokens of the chat template are shared" in got.sentence


def test_a_next_turn_of_a_chat_continues_it(verdict: Diagnose) -> None:
    first = (Message("user", "Hi"),)
    more = (*first, Message("assistant", "Hello!"), Message("user", "Bye"))
    assert verdict(first, more).kind is VerdictKind.CONTINUES


def test_differences_that_can_not_be_seen_are_named(verdict: Diagnose) -> None:
    got = verdict("one two", "one\u00a0two")
    assert [lookalike.kind for lookalike in got.differs] == [LookalikeKind.SPACE]
    assert _sentence(got, FindingKind.LOOKS_IDENTICAL) == (
        "The prompts look identical but differ: B has U+00A0 NO-BREAK SPACE at character 4 where "
        "A has U+0020 SPACE."
    )
    assert '" two" against "⟨U+00A0⟩"' in got.sentence


def test_a_hidden_difference_at_the_cut_is_named_although_more_differs(verdict: Diagnose) -> None:
    got = verdict("one two three", "one\u00a0two four")
    assert _sentence(got, FindingKind.LOOKS_IDENTICAL).startswith(
        "Where they part, they look alike: B has U+00A0 NO-BREAK SPACE at character 4"
    )


def test_a_trailing_space_makes_prompts_that_look_identical(verdict: Diagnose) -> None:
    sentence = _sentence(verdict("one two", "one two "), FindingKind.LOOKS_IDENTICAL)
    assert sentence.startswith("The prompts look identical but differ: B has U+0020 SPACE")


def test_a_look_alike_token_in_the_sentence_is_called_one(verdict: Diagnose) -> None:
    got = verdict("a b", "\u0430 b")
    assert '"a" against "\u0430", which only looks the same;' in got.sentence
    assert "only looks" not in verdict("a b", "c b").sentence
    # both shortened to the same quote, but visibly not the same
    assert "only looks" not in verdict("x" + "=" * 64 + "y", "x" + "=" * 32 + "y").sentence


def test_more_than_three_hidden_differences_are_counted(verdict: Diagnose) -> None:
    got = verdict("a b\n-it's", "\u0430\u00a0b\r\n\u2011it\u2019s")
    assert len(got.differs) == 5
    sentence = _sentence(got, FindingKind.LOOKS_IDENTICAL)
    assert sentence.endswith("; and 2 more such differences.")
    assert sentence.count("B has ") == 3


def test_in_a_chat_the_place_is_said_to_count_the_template(verdict: Diagnose) -> None:
    got = verdict(chat("one two"), chat("one\u00a0two"))
    assert "counted in the chat as it is sent" in _sentence(got, FindingKind.LOOKS_IDENTICAL)


def test_a_cut_inside_a_character_is_found(verdict: Diagnose) -> None:
    got = verdict("Hi 😀", "Hi 😁")
    assert _sentence(got, FindingKind.SPLIT_CHARACTER) == (
        'The cut falls inside the character "😁": of its 4 bytes, A\'s prompt has the first 3 as '
        "well."
    )
    assert 'a part of " 😀" (1 byte) against a part of " 😁" (1 byte)' in got.sentence


def test_appended_text_that_retokenizes_shared_text_is_found(verdict: Diagnose) -> None:
    got = verdict("Hello wor", "Hello world")
    assert _sentence(got, FindingKind.RETOKENIZED) == (
        "The texts agree for 9 characters, but the tokens only for 5: what comes next changes how "
        'the text before it is cut into tokens, " wor" in A against " world" in B.'
    )


def test_dropped_bytes_are_told_for_the_prompt_that_lost_them(verdict: Diagnose) -> None:
    got = verdict("one\x04 two", "one\x14 \x14two")
    assert [f.sentence for f in got.findings if f.kind is FindingKind.DROPPED] == [
        "The model has no token for 1 byte of A, in U+0004 at character 4: it never sees it.",
        "The model has no token for 2 bytes of B, the first in U+0014 at character 4: it never "
        "sees them.",
    ]


@pytest.mark.parametrize(("a", "b"), [(SF, NYC), (SF, SF), (SF, SF + " now"), ("", SF)])
def test_ordinary_prompts_give_no_findings(verdict: Diagnose, a: str, b: str) -> None:
    assert verdict(a, b).findings == ()


def _sentence(verdict: Verdict, kind: FindingKind) -> str:
    [finding] = [finding for finding in verdict.findings if finding.kind is kind]
    return finding.sentence


word = st.sampled_from([*"ab \n\t\u00a0\u200b\u0430é😀😁\x04\u202e", "one ", "two", "\r\n"])
texts = st.lists(word, max_size=6).map("".join)
prompts = texts | texts.map(chat)


@given(a=prompts, b=prompts, block_size=st.sampled_from([1, 2, 16]))
def test_any_two_prompts_get_one_plain_sentence_with_the_comparisons_numbers(
    tokenizer: VocabularyTokenizer, a: Prompt, b: Prompt, block_size: int
) -> None:
    comparison = compare(tokenizer.tokenize(a), tokenizer.tokenize(b), block_size)
    got = diagnose(comparison)
    for sentence in [got.sentence, *(finding.sentence for finding in got.findings)]:
        assert sentence.endswith(".")
        assert "\n" not in sentence and not any(map(is_invisible, sentence))
        assert not re.search(r"\b1 (tokens|bytes|characters)\b", sentence)
        assert not re.search(r"(?<![\d,])(?!1\b)\d+ (token|byte|character)\b(?! \d)", sentence)
    if match := re.search(r"B reuses (\d+) of (\d+)", got.sentence):
        assert (int(match[1]), int(match[2])) == (comparison.reused, len(comparison.b.tokens))
    if match := re.search(r"first difference is token (\d+)", got.sentence):
        assert comparison.cut and int(match[1]) == comparison.cut.token + 1
