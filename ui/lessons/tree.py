"""The tree of a prefix cache as a picture: boxes that branch to the right, and a table of them.

`tree_payload` turns one step of a growth into plain data; `tree_picture` shows it. Token text only
ever reaches the page as text.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from prefix_engine.lessons.growth import Growth
from prefix_engine.lessons.pieces import Piece, PieceState
from ui.palette import CUT_GLYPH, css_variables
from ui.wording import tokens

_ASSETS = Path(__file__).parents[2] / "assets" / "tree"
_TREE = st.components.v2.component(
    "cache_tree",
    html=(_ASSETS / "tree.html").read_text(encoding="utf-8"),
    css=css_variables(".fd-tree") + (_ASSETS / "tree.css").read_text(encoding="utf-8"),
    js=(_ASSETS / "tree.js").read_text(encoding="utf-8"),
)

_WHOLE = 14  # tokens of a box shown one by one; of a longer run, both ends
_FIRST, _LAST = 7, 4
_COLUMNS = ("Tokens of the node", "State", "Count", "Follows", "In requests", "Notes")


@dataclass(frozen=True)
class _Style:
    glyph: str
    word: str
    meaning: str


_STYLE = {
    PieceState.REUSED: _Style("✓", "reused", "found by this request, not computed"),
    PieceState.RECOMPUTED: _Style("▢", "matched, still computed", "a prompt's last token"),
    PieceState.NEW: _Style("+", "new", "computed and stored by this request"),
    PieceState.KEPT: _Style("○", "kept", "stored earlier, not asked for now"),
    PieceState.EVICTED: _Style("✕", "evicted", "gone, to make room for this request"),
}


def tree_payload(growth: Growth, number: int) -> dict[str, Any]:
    """The tree after a request (from 1) as JSON-able data, the ghosts of what it drove out too."""
    pieces = growth.steps[number - 1].pieces
    return {
        "summary": _summary(pieces, number),
        "legend": _legend(pieces),
        "roots": _below(None, pieces, growth),
        "depth": _depth(None, pieces),
        "columns": _COLUMNS,
        "rows": [_row(piece, pieces, growth) for piece in _in_order(None, pieces)],
    }


def tree_picture(payload: dict[str, Any], key: str) -> None:
    """Show the tree."""
    _TREE(data=payload, key=key)


def _children(parent: int | None, pieces: tuple[Piece, ...]) -> list[Piece]:
    found = [piece for piece in pieces if piece.parent == parent]
    return sorted(found, key=lambda piece: piece.requests)


def _depth(parent: int | None, pieces: tuple[Piece, ...]) -> int:
    return max((1 + _depth(one.id, pieces) for one in _children(parent, pieces)), default=0)


def _below(parent: int | None, pieces: tuple[Piece, ...], growth: Growth) -> list[dict[str, Any]]:
    return [_box(piece, pieces, growth) for piece in _children(parent, pieces)]


def _in_order(parent: int | None, pieces: tuple[Piece, ...]) -> list[Piece]:
    return [
        one for child in _children(parent, pieces) for one in (child, *_in_order(child.id, pieces))
    ]


def _box(piece: Piece, pieces: tuple[Piece, ...], growth: Growth) -> dict[str, Any]:
    style = _STYLE[piece.state]
    return {
        "state": piece.state.value,
        "glyph": style.glyph,
        "word": style.word,
        "words": _shortened(growth.words(piece)),
        "tokens": tokens(piece.tokens),
        "notes": _notes(piece),
        "split": f"{CUT_GLYPH} split off now" if piece.split else None,
        "children": _below(piece.id, pieces, growth),
    }


def _shortened(words: tuple[str, ...]) -> list[dict[str, str]]:
    shown = [{"text": word} for word in words]
    if len(words) <= _WHOLE:
        return shown
    left_out = {"left_out": f"… {tokens(len(words) - _FIRST - _LAST)} more …"}
    return [*shown[:_FIRST], left_out, *shown[-_LAST:]]


def _notes(piece: Piece) -> list[str]:
    notes = [f"in {_requests(piece)}"]
    if piece.pinned:
        notes.append("⊙ pinned")
    if piece.next_to_go:
        notes.append("▸ next to go")
    return notes


def _requests(piece: Piece) -> str:
    numbers = ", ".join(map(str, piece.requests))
    return f"request{'' if len(piece.requests) == 1 else 's'} {numbers}"


def _row(piece: Piece, pieces: tuple[Piece, ...], growth: Growth) -> list[str]:
    above = next((one for one in pieces if one.id == piece.parent), None)
    notes = [*_notes(piece)[1:], *(["split off now"] if piece.split else [])]
    return [
        "".join(growth.words(piece)),
        _STYLE[piece.state].word,
        tokens(piece.tokens),
        "".join(growth.words(above)[-_LAST:]) if above else "(the beginning)",
        ", ".join(map(str, piece.requests)),
        ", ".join(notes),
    ]


def _legend(pieces: tuple[Piece, ...]) -> list[dict[str, str]]:
    present = {piece.state for piece in pieces}
    return [
        {"state": state.value, "glyph": one.glyph, "word": one.word, "meaning": one.meaning}
        for state, one in _STYLE.items()
        if state in present
    ]


def _summary(pieces: tuple[Piece, ...], number: int) -> str:
    counts = [
        f"{tokens(sum(p.tokens for p in pieces if p.state is state))} {style.word}"
        for state, style in _STYLE.items()
        if any(piece.state is state for piece in pieces)
    ]
    return f"The tree after request {number}: {'; '.join(counts)}."
