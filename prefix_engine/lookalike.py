"""Two texts that look the same and are not: what differs where the eye sees nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from prefix_engine.compare import common_prefix
from prefix_engine.glyphs import is_invisible, is_mark, name

# Letters and signs that most fonts draw like the ASCII one before them: of Cyrillic and Greek, the
# dashes and the quotes. Source: Unicode Technical Standard 39, confusables.txt.
# fmt: off
_SAME_LOOK = {
    '"': "\u201c\u201d\u2033", "'": "\u2018\u2019\u2032", "-": "\u2010\u2011\u2012\u2013\u2212",
    "A": "\u0410\u0391", "B": "\u0412\u0392", "C": "\u0421\u03f9", "E": "\u0415\u0395",
    "G": "\u050c", "H": "\u041d\u0397", "I": "\u0406\u0399", "J": "\u0408\u037f",
    "K": "\u041a\u039a", "M": "\u041c\u039c", "N": "\u039d", "O": "\u041e\u039f",
    "P": "\u0420\u03a1", "Q": "\u051a", "S": "\u0405", "T": "\u0422\u03a4", "V": "\u0474",
    "W": "\u051c", "X": "\u0425\u03a7", "Y": "\u0423\u03a5", "Z": "\u0396", "a": "\u0430",
    "c": "\u0441\u03f2", "d": "\u0501", "e": "\u0435", "h": "\u04bb", "i": "\u0456",
    "j": "\u0458\u03f3", "l": "\u04cf", "o": "\u043e\u03bf", "p": "\u0440\u03c1", "q": "\u051b",
    "s": "\u0455", "v": "\u0475\u03bd", "w": "\u051d", "x": "\u0445", "y": "\u0443",
}
# fmt: on
_PLAIN = {ord(other): plain for plain, others in _SAME_LOOK.items() for other in others}


class LookalikeKind(StrEnum):
    """What it is that looks the same."""

    INVISIBLE = "invisible"
    SPACE = "space"
    TRAILING_SPACE = "trailing_space"
    LINE_END = "line_end"
    COMPOSITION = "composition"
    LETTER = "letter"


@dataclass(frozen=True, slots=True)
class Lookalike:
    """A difference that can't be seen: `a` stands in A where `b` stands in B; either may be "".

    `a_character` and `b_character` are where (0-based code points in the prompt's text); `times`
    counts all places with the same `a` and `b`, of which these are the first.
    """

    kind: LookalikeKind
    a: str
    b: str
    a_character: int
    b_character: int
    times: int = 1

    def describe(self) -> str:
        """`B has U+00A0 NO-BREAK SPACE at character 12 where A has U+0020 SPACE`."""
        if self.b:
            place = f"at character {self.b_character + 1:,}"
            text = f"B has {_names(self.b)} {place} where A has {_names(self.a)}"
        else:
            place = f"at character {self.a_character + 1:,}"
            text = f"A has {_names(self.a)} {place} where B has nothing"
        more = self.times - 1
        return f"{text} (and {more:,} more like it)" if more else text


def find_lookalikes(a: str, b: str) -> tuple[Lookalike, ...]:
    """All differences that can't be seen, up to the first that can; equal ones counted as one.

    Empty where the texts are equal, or where the first difference can be seen.
    """
    found: dict[tuple[str, str], Lookalike] = {}
    for lookalike in _walk(a, b):
        first = found.setdefault((lookalike.a, lookalike.b), lookalike)
        if first is not lookalike:
            found[first.a, first.b] = replace(first, times=first.times + 1)
    return tuple(found.values())


def looks_like(a: str, b: str) -> bool:
    """Whether a person would take the two texts for the same."""
    return _draw(a) == _draw(b)


class _Unit(NamedTuple):
    """What the eye takes for one character: its look, its code points, what is hidden before it."""

    hidden: str
    at: int
    piece: str
    look: str


def _walk(a: str, b: str) -> Iterator[Lookalike]:
    start = _unit_start(a, b, common_prefix(a, b))
    for left, right in zip(_units(a, start), _units(b, start), strict=False):
        a_from, b_from = left.at - len(left.hidden), right.at - len(right.hidden)
        if left.look != right.look:
            a_rest, b_rest = a[a_from:], b[b_from:]
            if all(c.isspace() or is_invisible(c) for c in a_rest + b_rest):
                yield Lookalike(LookalikeKind.TRAILING_SPACE, a_rest, b_rest, a_from, b_from)
            return
        if left.hidden != right.hidden:
            kind = LookalikeKind.INVISIBLE
            yield Lookalike(kind, left.hidden, right.hidden, a_from, b_from)
        if left.piece != right.piece:
            kind = _kind(left.piece, right.piece, left.look)
            yield Lookalike(kind, left.piece, right.piece, left.at, right.at)


def _units(text: str, at: int) -> Iterator[_Unit]:
    """The units from a position on; the last one stands for the end and has no look."""
    while True:
        seen = next((i for i in range(at, len(text)) if not is_invisible(text[i])), len(text))
        stop = seen + (2 if text.startswith("\r\n", seen) else 1)
        while stop < len(text) and _continues_unit(text[stop]):
            stop += 1
        piece = text[seen:stop]
        yield _Unit(text[at:seen], seen, piece, _look(piece))
        if seen == len(text):
            return
        at = stop


def _unit_start(a: str, b: str, at: int) -> int:
    """Back from the first difference to where the unit begins in which it lies."""
    while at and any(at < len(text) and _continues_unit(text[at]) for text in (a, b)):
        at -= 1
    return at - (at > 0 and a[at - 1] == "\r")


def _continues_unit(character: str) -> bool:
    """An accent, or a vowel or final of a Korean syllable that is spelled out."""
    return is_mark(character) or "\u1161" <= character <= "\u11ff"


def _draw(text: str) -> str:
    """The same for all texts that look the same; empty where nothing is to be seen."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    seen = "".join(
        " " if unicodedata.category(character) == "Zs" else character
        for character in lines
        if not is_invisible(character)
    )
    return unicodedata.normalize("NFD", seen).translate(_PLAIN)


# for the single characters of a text; whole prompts are not kept
_look = lru_cache(maxsize=4096)(_draw)


def _kind(a: str, b: str, look: str) -> LookalikeKind:
    if look == "\n":
        return LookalikeKind.LINE_END
    if look == " ":
        return LookalikeKind.SPACE
    if unicodedata.normalize("NFC", a) == unicodedata.normalize("NFC", b):
        return LookalikeKind.COMPOSITION
    return LookalikeKind.LETTER


def _names(characters: str) -> str:
    names = [name(character) for character in characters[:3]]
    if len(characters) > 3:
        names.append(f"{len(characters) - 3:,} more")
    return " + ".join(names) or "nothing"
