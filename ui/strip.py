"""The token strip: both prompts, aligned by position, with the cut and what became of each token.

`strip_payload` turns a comparison into plain data; `token_strip` shows it in Streamlit, where the
learner can click a token; `static_head` and `static_strip` put the same picture into an HTML file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from prefix_engine.compare import Comparison, TokenState
from prefix_engine.glyphs import visible
from prefix_engine.tokenizer import Token, Tokenized, character_groups
from ui.palette import CUT_GLYPH, REASON, STATE_STYLE, css_variables

Mode = Literal["predict", "result"]

_ASSETS = Path(__file__).parent.parent / "assets" / "strip"
_HTML = (_ASSETS / "strip.html").read_text(encoding="utf-8")
_CSS = css_variables(".fd-strip") + (_ASSETS / "strip.css").read_text(encoding="utf-8")
# one module: cells.js builds nodes, strip.js decides which and when
_JS = "".join((_ASSETS / name).read_text(encoding="utf-8") for name in ("cells.js", "strip.js"))

# Styles are not isolated: in a shadow root, browsers do not tell which text was selected, and a
# copy could not give the true text.
_STRIP = st.components.v2.component(
    "token_strip", html=_HTML, css=_CSS, js=_JS, isolate_styles=False
)

_MAX_RUN = 8  # equal glyphs shown one by one; a longer run is counted
_LONG_RUN = re.compile(rf"([·⏎⇥␍])\1{{{_MAX_RUN},}}")


def strip_payload(
    comparison: Comparison,
    *,
    summary: str | None = None,
    run: str | None = None,
    guess: int | None = None,
) -> dict[str, Any]:
    """A comparison as plain JSON-able data for the strip. All positions are 0-based.

    `summary` is the sentence a screen reader speaks (made here if there is none); `run` names the
    run, whose answer is swept in once, the first time it is seen; `guess` is the position before
    which the learner thought that reuse stops (`len(b)`: everything is reused).
    """
    a, b = comparison.a, comparison.b
    return {
        "pair": _fingerprint(comparison),
        "run": run,
        "a": [_token(token) for token in a.tokens],
        "b": [_token(token) for token in b.tokens],
        "text": {"a": a.text, "b": b.text},
        "split": {"a": _split_characters(a), "b": _split_characters(b)},
        "states": [_state(state) for state in comparison.states],
        "stop": comparison.reused,
        "cut": comparison.cut.token if comparison.cut else None,
        "block_size": comparison.block_size,
        "legend": _legend(comparison.states),
        "styles": {
            state.value: {"glyph": style.glyph, "word": style.word, "meaning": style.meaning}
            for state, style in STATE_STYLE.items()
        },
        "reasons": REASON,
        "scissors": CUT_GLYPH,
        "guess": guess,
        "guessed": None
        if guess is None
        else guess_in_words(guess, comparison.reused, len(b.tokens)),
        "summary": summary or summary_in_words(comparison),
    }


def token_strip(
    payload: Mapping[str, Any],
    *,
    key: str,
    mode: Mode,
    on_guess: Callable[[int], None] | None = None,
    reports_clicks: bool = True,
) -> int | None:
    """Show the strip. Returns the position of B that was clicked for this pair, or None.

    In "predict" mode the answer is not even sent to the browser, and the position is the learner's
    guess: reuse stops before it, `len(b)` for "everything is reused". `on_guess` is told of it
    before the page runs, even where another click follows so soon that no run of the page sees it.
    In "result" mode the position is that of the token whose details are pinned. With
    `reports_clicks` false a click in result mode stays in the browser: nothing is rerun (and
    nothing that runs is interrupted), and the answer is None.
    """
    pair, length = payload["pair"], len(payload["b"])
    tell = partial(_tell, key, pair, length, on_guess) if on_guess else _nothing
    result = _STRIP(
        data=_for_mode(payload, mode, reports_clicks),
        key=key,
        on_guess_change=tell,
        on_selected_change=_nothing,
    )
    answer = result.get("guess" if mode == "predict" else "selected")
    return _position(answer, pair, length)


def static_head() -> str:
    """The style and script that strips in a self-contained HTML file need, once per file."""
    start = (
        'for (const root of document.querySelectorAll(".fd-strip")) {\n'
        "  mount(root, JSON.parse(root.nextElementSibling.textContent));\n"
        "}\n"
    )
    return f'<style>\n{_CSS}</style>\n<script type="module">\n{_JS}\n{start}</script>\n'


def static_strip(payload: Mapping[str, Any], mode: Mode = "result") -> str:
    """One strip as HTML; goes with `static_head`, and reads the same in any browser offline."""
    data = json.dumps(_for_mode(payload, mode, reports_clicks=False), ensure_ascii=False)
    # inside <script>, "<" is the only character that could end or reopen it
    data = data.replace("<", "\\u003c")
    return f'{_HTML}<script type="application/json">{data}</script>\n'


def summary_in_words(comparison: Comparison) -> str:
    """What the picture shows, in one or two sentences for somebody who can't see it."""
    total = len(comparison.b.tokens)
    if not total:
        return "B is empty: it has no token to reuse or to compute."
    counts = "; ".join(
        f"{entry['count']:,} {entry['word']}" for entry in _legend(comparison.states)
    )
    cut = comparison.cut
    where = f" The first difference is token {cut.token + 1:,}." if cut else ""
    return f"B reuses {comparison.reused:,} of {total:,} tokens.{where} Tokens of B: {counts}."


def guess_in_words(guess: int, stop: int, total: int) -> str:
    """The guess and its distance from the truth; positions 0-based, tokens in words from 1."""
    said = "that all is reused" if guess == total else f"before token {guess + 1:,}"
    if guess == stop:
        return f"Your guess, {said}, is right."
    distance = abs(guess - stop)
    tokens = "1 token" if distance == 1 else f"{distance:,} tokens"
    side = "late" if guess > stop else "early"
    return f"Your guess was {said}: {tokens} too {side}. Reuse stops before token {stop + 1:,}."


def _for_mode(payload: Mapping[str, Any], mode: Mode, reports_clicks: bool) -> dict[str, Any]:
    data = {**payload, "mode": mode, "reports_clicks": reports_clicks}
    if mode == "predict":
        data |= {"states": [], "legend": [], "stop": None, "cut": None, "guessed": None}
        data["summary"] = (
            f"A has {len(payload['a']):,} tokens and B has {len(payload['b']):,}. "
            "Choose the token of B before which reuse stops."
        )
    return data


def _tell(key: str, pair: str, length: int, on_guess: Callable[[int], None]) -> None:
    at = _position(st.session_state[key].get("guess"), pair, length)
    if at is not None:
        on_guess(at)


def _position(answer: object, pair: str, length: int) -> int | None:
    """The position in a browser's answer, if it is one and belongs to this pair."""
    if not isinstance(answer, Mapping) or answer.get("pair") != pair:
        return None
    at = answer.get("at")
    return at if type(at) is int and 0 <= at <= length else None


def _token(token: Token) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": token.id, "byte": token.byte, "hex": token.data.hex()}
    if token.text is not None:
        shown["text"] = _shown(token.text)
    if token.part == "template":
        shown["template"] = token.role or "chat"
    return shown


@lru_cache(maxsize=65_536)
def _shown(text: str) -> str:
    return _LONG_RUN.sub(
        lambda run: f"⟨{run[1]}\N{MULTIPLICATION SIGN}{len(run[0])}⟩", visible(text)
    )


def _split_characters(prompt: Tokenized) -> list[dict[str, Any]]:
    """The neighbouring tokens [start, stop) that only together hold whole characters."""
    return [
        {"start": group.start, "stop": group.stop, "text": visible(group.text)}
        for group in character_groups(prompt)
        if prompt.tokens[group.start].text is None
    ]


def _state(state: TokenState) -> dict[str, Any]:
    shown: dict[str, Any] = {"state": state.state.value}
    if state.why:
        shown["why"] = state.why
    if state.moved:
        shown["moved"] = state.moved
    return shown


def _legend(states: Sequence[TokenState]) -> list[dict[str, Any]]:
    """The states that occur, in the order of the palette, with how many tokens each has."""
    counts = Counter(state.state for state in states)
    return [
        {"state": state.value, "glyph": style.glyph, "word": style.word, "count": counts[state]}
        for state, style in STATE_STYLE.items()
        if counts[state]
    ]


def _fingerprint(comparison: Comparison) -> str:
    """Names what is compared, so that a click on another pair is never taken for one on this."""
    what = (comparison.a.ids, comparison.b.ids, comparison.block_size)
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def _nothing() -> None:
    """Streamlit returns only states that have a callback."""
