from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefix_engine.lookalike import LookalikeKind, find_lookalikes, looks_like

IDENTICAL = [
    ("a b", "a\u00a0b", LookalikeKind.SPACE, " ", "\u00a0", 1),
    ("a b", "a\u2003b", LookalikeKind.SPACE, " ", "\u2003", 1),
    ("one two", "one\u200b two", LookalikeKind.INVISIBLE, "", "\u200b", 3),
    ("\ufeffone", "one", LookalikeKind.INVISIBLE, "\ufeff", "", 0),
    ("co\u00adop", "coop", LookalikeKind.INVISIBLE, "\u00ad", "", 2),
    ("❤ x", "❤\ufe0f x", LookalikeKind.INVISIBLE, "", "\ufe0f", 1),
    ("abc", "a\u200f\u202dbc", LookalikeKind.INVISIBLE, "", "\u200f\u202d", 1),
    ("a\u200b\u200bb", "a\u200bb", LookalikeKind.INVISIBLE, "\u200b", "", 2),
    ("end", "end\u200b", LookalikeKind.INVISIBLE, "", "\u200b", 3),
    ("paypal", "p\u0430ypal", LookalikeKind.LETTER, "a", "\u0430", 1),
    ("Oslo", "\u039fslo", LookalikeKind.LETTER, "O", "\u039f", 0),
    ("\u0441\u0430t", "\u0441at", LookalikeKind.LETTER, "\u0430", "a", 1),
    ("a-b", "a\u2011b", LookalikeKind.LETTER, "-", "\u2011", 1),
    ("it's", "it\u2019s", LookalikeKind.LETTER, "'", "\u2019", 2),
    ("café x", "cafe\u0301 x", LookalikeKind.COMPOSITION, "é", "e\u0301", 3),
    ("한글", "\u1112\u1161\u11ab글", LookalikeKind.COMPOSITION, "한", "\u1112\u1161\u11ab", 0),
    (
        "xa\u0323\u0301",
        "xa\u0301\u0323",
        LookalikeKind.COMPOSITION,
        "a\u0323\u0301",
        "a\u0301\u0323",
        1,
    ),
    ("\u0451", "e\u0308", LookalikeKind.LETTER, "\u0451", "e\u0308", 0),
    ("a\r\nb", "a\nb", LookalikeKind.LINE_END, "\r\n", "\n", 1),
    ("a\rb", "a\r\nb", LookalikeKind.LINE_END, "\r", "\r\n", 1),
    ("end", "end ", LookalikeKind.TRAILING_SPACE, "", " ", 3),
    ("end\n", "end", LookalikeKind.TRAILING_SPACE, "\n", "", 3),
    ("end \n", "end\n", LookalikeKind.TRAILING_SPACE, " \n", "\n", 3),
]


@pytest.mark.parametrize(("a", "b", "kind", "a_part", "b_part", "at"), IDENTICAL)
def test_what_looks_identical_is_found_where_it_is(
    a: str, b: str, kind: LookalikeKind, a_part: str, b_part: str, at: int
) -> None:
    [found] = find_lookalikes(a, b)
    assert (found.kind, found.a, found.b, found.times) == (kind, a_part, b_part, 1)
    assert (found.a_character, found.b_character) == (at, at)
    [mirrored] = find_lookalikes(b, a)
    assert (mirrored.kind, mirrored.a, mirrored.b) == (kind, b_part, a_part)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("", ""),
        ("same", "same"),
        ("SF", "NYC"),
        ("1 l", "l l"),
        ("a b", "a  b"),
        ("a\nb", "a b"),
        ("word", "word and more"),
        ("a", "a\u200bX"),
        ("abc", "\ufeffxyz"),
        ("e", "é"),
    ],
)
def test_what_can_be_seen_is_no_lookalike(a: str, b: str) -> None:
    assert find_lookalikes(a, b) == ()


def test_it_is_found_where_texts_part_even_if_they_differ_visibly_later() -> None:
    [found] = find_lookalikes("one two three", "one\u00a0two four")
    assert found.b == "\u00a0"


def test_what_comes_after_a_visible_difference_is_not_reported() -> None:
    assert find_lookalikes("x one two", "y one\u00a0two") == ()


def test_the_same_difference_is_told_once_with_its_number() -> None:
    [found] = find_lookalikes("a\r\nb\r\nc\r\n", "a\nb\nc\n")
    assert (found.times, found.a_character, found.b_character) == (3, 1, 1)
    assert found.describe() == (
        "B has U+000A LINE FEED at character 2 where A has U+000D CARRIAGE RETURN "
        "+ U+000A LINE FEED (and 2 more like it)"
    )


def test_places_are_those_of_each_text() -> None:
    first, second = find_lookalikes("a\u200bb c", "ab\u00a0c")
    assert (first.a_character, first.b_character) == (1, 1)
    assert (second.a_character, second.b_character) == (3, 2)
    assert first.describe() == "A has U+200B ZERO WIDTH SPACE at character 2 where B has nothing"
    assert second.describe() == (
        "B has U+00A0 NO-BREAK SPACE at character 3 where A has U+0020 SPACE"
    )


def test_many_invisible_characters_are_named_in_short() -> None:
    [found] = find_lookalikes("a", "a" + "\u200b" * 50)
    assert found.describe().count("ZERO WIDTH SPACE") == 3
    assert "47 more" in found.describe()


texts = st.text(
    st.sampled_from("aeo\u043e\u0301\u0308\u200b\ufe0f \u00a0\r\nx\u0445\ud55c\u1161-\u2011")
)


@given(texts, texts)
def test_texts_that_look_the_same_and_differ_are_always_explained(a: str, b: str) -> None:
    if a != b and looks_like(a, b):
        assert find_lookalikes(a, b)
    for found in find_lookalikes(a, b):
        assert a.startswith(found.a, found.a_character)
        assert b.startswith(found.b, found.b_character)
        assert found.a != found.b


@given(st.text())
def test_composed_and_decomposed_texts_look_the_same(text: str) -> None:
    assert looks_like(unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))
