from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefix_engine.compare import (
    Comparison,
    State,
    align,
    common_prefix,
    compare,
    reusable,
)
from prefix_engine.tokenizer import Token, Tokenized, VocabularyTokenizer

few_letters = st.text("abc", max_size=12)
block_sizes = st.integers(1, 5)


def prompt(letters: str) -> Tokenized:
    """A prompt with a token for each letter."""
    return Tokenized(
        letters,
        tuple(
            Token(ord(letter), letter, letter.encode(), at, at, "text", None, False)
            for at, letter in enumerate(letters)
        ),
    )


def states(c: Comparison) -> str:
    """The states of B, one sign each."""
    signs = {
        State.REUSED: "✓",
        State.MATCHED_RECOMPUTED: "▢",
        State.FIRST_DIFFERENCE: "≠",
        State.SAME_RECOMPUTED: "↻",
        State.DIFFERENT: "·",
        State.NEW: "+",
    }
    return "".join(signs[token.state] for token in c.states)


@given(a=st.lists(st.integers(0, 2)), b=st.lists(st.integers(0, 2)))
def test_the_common_prefix_is_the_longest_equal_beginning(a: list[int], b: list[int]) -> None:
    n = common_prefix(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


def test_the_common_prefix_of_a_list_and_a_tuple_is_found() -> None:
    assert common_prefix([1, 2, 3], (1, 2, 4)) == 2


@given(shared=st.integers(0, 40), more=st.integers(0, 40), block_size=st.integers(1, 17))
def test_whole_blocks_are_reused_and_never_the_last_token(
    shared: int, more: int, block_size: int
) -> None:
    n = shared + more
    allowed = [
        r for r in range(n + 1) if r % block_size == 0 and r <= shared and r <= max(n - 1, 0)
    ]
    assert reusable(shared, n, block_size) == max(allowed)


@pytest.mark.parametrize("block_size", [0, -1])
def test_a_block_has_at_least_one_token(block_size: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        reusable(3, 5, block_size)


@pytest.mark.parametrize(
    ("a", "b", "block_size", "expected"),
    [
        ("abcd", "abxd", 1, "✓✓≠↻"),
        ("abcd", "xbcd", 1, "≠↻↻↻"),
        ("abc", "abc", 1, "✓✓▢"),
        ("abc", "abcde", 1, "✓✓✓++"),
        ("abcde", "abc", 1, "✓✓▢"),
        ("a", "a", 1, "▢"),
        ("", "ab", 1, "++"),
        ("ab", "", 1, ""),
        ("abc", "axyzw", 1, "✓≠·++"),
        ("abcc", "abXYcc", 1, "✓✓≠·↻↻"),
        ("abcd", "abce", 4, "▢▢▢≠"),
        ("abcdefgh", "abcdefgh", 4, "✓✓✓✓▢▢▢▢"),
        ("abcdef", "abcdefgh", 4, "✓✓✓✓▢▢++"),
        ("abcdefghij", "abcdefghij", 4, "✓✓✓✓✓✓✓✓▢▢"),
    ],
)
def test_states(a: str, b: str, block_size: int, expected: str) -> None:
    assert states(compare(prompt(a), prompt(b), block_size)) == expected


def test_a_matched_token_says_why_it_is_recomputed() -> None:
    def why(a: str, b: str, block_size: int) -> list[str | None]:
        return [token.why for token in compare(prompt(a), prompt(b), block_size).states]

    assert why("abc", "abc", 1) == [None, None, "last_token"]
    # the last token takes its whole block with it
    assert why("abcd", "abcd", 2) == [None, None, "last_token", "last_token"]
    # a block that is not whole is not reused, with or without a last token in it
    assert why("abcX", "abcY", 2) == [None, None, "block", None]
    assert why("abcde", "abcde", 3) == [None, None, None, "block", "last_token"]


def test_an_id_one_token_longer_moves_everything() -> None:
    c = compare(prompt("12abcd"), prompt("345abcd"))
    assert states(c) == "≠··↻↻↻↻"
    assert [token.moved for token in c.states] == [None, None, None, 1, 1, 1, 1]


def test_a_token_that_stands_where_it_stood_moved_by_0_and_one_further_front_by_less() -> None:
    assert [t.moved for t in compare(prompt("Xab"), prompt("Yab")).states] == [None, 0, 0]
    assert [t.moved for t in compare(prompt("XYab"), prompt("Zab")).states] == [None, -1, -1]


def test_the_first_difference_keeps_its_name_where_a_has_that_token_later() -> None:
    assert states(compare(prompt("xyz"), prompt("yz"))) == "≠↻"


@pytest.mark.parametrize(("a", "b"), [("ab", "ab"), ("ab", "abc"), ("abc", "ab"), ("", "a")])
def test_there_is_no_cut_without_two_different_tokens(a: str, b: str) -> None:
    assert compare(prompt(a), prompt(b)).cut is None


@given(a=few_letters, b=few_letters, block_size=block_sizes)
def test_states_follow_the_rules_for_any_two_prompts(a: str, b: str, block_size: int) -> None:
    c = compare(prompt(a), prompt(b), block_size)
    order = states(c)
    count = Counter(token.state for token in c.states)
    assert len(c.states) == len(b)
    assert c.computed + c.reused == len(b)
    assert order[: c.shared] == "✓" * c.reused + "▢" * (c.shared - c.reused)
    assert not set(order[c.shared :]) & set("✓▢")
    assert count[State.FIRST_DIFFERENCE] == (c.cut is not None)
    if c.cut:
        assert order[c.cut.token] == "≠"
        assert a[c.cut.token] != b[c.cut.token]
    for at, token in enumerate(c.states):
        if token.state is State.SAME_RECOMPUTED:
            assert token.moved is not None
            assert a[at - token.moved] == b[at]
            assert at - token.moved >= c.shared
        if token.state is State.NEW:
            assert at >= len(a)
        if token.state is State.DIFFERENT:
            assert at < len(a)


def longest(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of a longest common subsequence, by the textbook table."""
    row = [0] * (len(b) + 1)
    for x in a:
        diagonal = 0
        for j, y in enumerate(b):
            diagonal, row[j + 1] = (
                row[j + 1],
                diagonal + 1 if x == y else max(row[j], row[j + 1]),
            )
    return row[-1]


@given(a=st.lists(st.integers(0, 4), max_size=40), b=st.lists(st.integers(0, 4), max_size=40))
def test_the_alignment_is_a_longest_common_subsequence(a: list[int], b: list[int]) -> None:
    pairs = align(a, b)[::-1]
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(i < k and j < m for (i, j), (k, m) in pairwise(pairs))
    assert len(pairs) == longest(a, b)


def test_repetitive_prompts_are_aligned() -> None:
    """Every other token the same: difflib takes minutes for this pair."""
    a = [token for k in range(2048) for token in (1, 10 + k)]
    b = [token for k in range(2048) for token in (1, 10_000 + k)]
    assert len(align(a, b)) == 2048


def test_of_prompts_too_long_to_align_the_common_end_is() -> None:
    a = [*range(20_000), 7, 8, 9]
    b = [5, *range(20_000, 40_000), 7, 8, 9]
    assert align(a, b) == [(20_002, 20_003), (20_001, 20_002), (20_000, 20_001)]


def test_the_cut_of_real_tokens_counts_tokens_characters_and_bytes(
    tokenizer: VocabularyTokenizer,
) -> None:
    c = compare(tokenizer.tokenize("Café in SF today"), tokenizer.tokenize("Café in NYC today"))
    assert c.cut
    assert (c.cut.character, c.cut.byte) == (7, 8)
    assert c.b.tokens[c.cut.token].text == " NYC"


def test_a_cut_inside_a_character_names_that_character_and_the_exact_byte(
    tokenizer: VocabularyTokenizer,
) -> None:
    c = compare(tokenizer.tokenize("é😀!"), tokenizer.tokenize("é😁!"))
    assert c.cut
    assert (c.cut.character, c.cut.byte) == (1, 5)
