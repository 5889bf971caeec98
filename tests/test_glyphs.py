from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefix_engine.glyphs import is_invisible, is_mark, name, quoted, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" a\tb\r\n", "·a⇥b␍⏎"),
        ("a\u00a0b\u3000", "a⟨U+00A0⟩b⟨U+3000⟩"),
        ("a\u200bb\ufeff\u202e", "a⟨U+200B⟩b⟨U+FEFF⟩⟨U+202E⟩"),
        ("a\u2028b\u2029", "a⟨U+2028⟩b⟨U+2029⟩"),
        ("❤\ufe0f", "❤⟨U+FE0F⟩"),
        ("\x00\x04\x7f", "⟨U+0000⟩⟨U+0004⟩⟨U+007F⟩"),
        ("\u0301e", "\u25cc\u0301e"),
        ("e\u0301", "e\u0301"),
        ("·⏎⟨", "⟨U+00B7⟩⟨U+23CE⟩⟨U+27E8⟩"),
        ("日本 שלום", "日本·שלום"),
        ("\U000e0067", "⟨U+E0067⟩"),
        ("", ""),
    ],
)
def test_what_can_not_be_seen_gets_a_glyph(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_nothing_hidden_is_left_and_all_stays_on_one_line(text: str) -> None:
    shown = visible(text)
    assert not any(map(is_invisible, shown))
    assert not {unicodedata.category(c) for c in shown} & {"Zs", "Zl", "Zp", "Cc", "Cs"}


@given(a=st.text(max_size=4), b=st.text(max_size=4))
def test_different_texts_are_shown_differently(a: str, b: str) -> None:
    # the dotted circle is added to a mark that has no base: typed in front, it would look the same
    if a != b and not any(text.startswith("\u25cc") for text in (a, b)):
        assert visible(a) != visible(b)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" SF", '" SF"'),
        ("  SF", '"··SF"'),
        ("a b c", '"a b c"'),
        (" ", '"·"'),
        ("a ", '"a·"'),
        (" \n", '"·⏎"'),
        (" \u200b", '"·⟨U+200B⟩"'),
    ],
)
def test_in_a_sentence_a_space_before_a_word_stays_one(text: str, shown: str) -> None:
    assert quoted(text) == shown


def test_a_long_quote_is_cut_in_the_middle_and_says_its_length() -> None:
    assert quoted("0123456789" * 3, limit=10) == '"01234…56789" (30 characters)'
    assert quoted("0123456789", limit=10) == '"0123456789"'


def test_characters_are_named_by_code_point_and_unicode_name() -> None:
    assert name("\u00a0") == "U+00A0 NO-BREAK SPACE"
    assert name("\r") == "U+000D CARRIAGE RETURN"
    assert name("\x04") == "U+0004"
    assert name("😀") == "U+1F600 GRINNING FACE"


def test_marks_and_selectors_are_told_apart() -> None:
    assert is_mark("\u0301") and not is_invisible("\u0301")
    assert is_invisible("\ufe0f") and not is_mark("\ufe0f")
    assert not is_invisible("\u0600")  # a format character that fonts do draw
    assert not is_invisible(" ") and not is_invisible("\n")
