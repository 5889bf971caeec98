"""Text as a person can see it: glyphs for what is invisible, names for single characters."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_GLYPHS = {" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍"}
# control characters have no Unicode name, only formal aliases (NameAliases.txt)
_CONTROL_NAMES = {"\n": "LINE FEED", "\t": "TAB", "\r": "CARRIAGE RETURN", "\0": "NULL"}
_HIDDEN_CATEGORIES = {"Zs", "Zl", "Zp", "Cc", "Cs"}
_WORD_SPACE = re.compile(r"(?<!·)·(?=[^·⏎⇥␍⟨])")
_DOTTED_CIRCLE = "\u25cc"  # Unicode's own base for showing a combining mark by itself

# Default_Ignorable_Code_Point characters that are not of category Cf, and format characters (Cf)
# that fonts do draw. Source: Unicode, DerivedCoreProperties.txt and Prepended_Concatenation_Mark.
_IGNORABLE = frozenset(
    map(chr, [0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2065, 0x3164, 0xFFA0])
) | frozenset(map(chr, [*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
_DRAWN_FORMAT = frozenset(
    map(chr, [*range(0x0600, 0x0606), 0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD])
)


@lru_cache(maxsize=4096)
def is_invisible(character: str) -> bool:
    """Whether nothing is drawn and no room is taken: zero-width, bidi mark, control, selector."""
    if character in _IGNORABLE:
        return True
    category = unicodedata.category(character)
    if category == "Cc":
        return not character.isspace()
    return category == "Cf" and character not in _DRAWN_FORMAT


@lru_cache(maxsize=4096)
def is_mark(character: str) -> bool:
    """Whether the character is drawn onto the one before it (an accent, for example)."""
    return unicodedata.category(character).startswith("M") and not is_invisible(character)


def code_point(character: str) -> str:
    """`U+00A0`."""
    return f"U+{ord(character):04X}"


def name(character: str) -> str:
    """`U+00A0 NO-BREAK SPACE`; the code point alone where there is no name."""
    given = _CONTROL_NAMES.get(character) or unicodedata.name(character, "")
    return f"{code_point(character)} {given}".rstrip()


def visible(text: str) -> str:
    """The text with a glyph for everything that can't be seen, on one line.

    Space `·`, newline `⏎`, tab `⇥`, carriage return `␍`; other spaces and invisible characters as
    `⟨U+XXXX⟩`, and so are those glyphs themselves where the text has them. A combining mark without
    a base gets a dotted circle.
    """
    shown = "".join(map(_visible, text))
    return _DOTTED_CIRCLE + shown if text and is_mark(text[0]) else shown


def quoted(text: str, limit: int = 24) -> str:
    """The text in double quotes for a sentence; of a long one, both ends and its length.

    As `visible`, except that a single space in front of a visible character stays a space.
    """
    if len(text) <= limit:
        return f'"{_WORD_SPACE.sub(" ", visible(text))}"'
    ends = f"{text[: limit // 2]}…{text[-(limit // 2) :]}"
    return f"{quoted(ends, limit=len(ends))} ({len(text):,} characters)"


@lru_cache(maxsize=4096)
def _visible(character: str) -> str:
    if character in _GLYPHS:
        return _GLYPHS[character]
    hidden = is_invisible(character) or unicodedata.category(character) in _HIDDEN_CATEGORIES
    ambiguous = character == "⟨" or character in _GLYPHS.values()
    return f"⟨{code_point(character)}⟩" if hidden or ambiguous else character
