"""A comparison → what happened, in sentences with its own numbers. Tokens are counted from 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from prefix_engine.compare import Comparison, State, common_prefix
from prefix_engine.glyphs import name, quoted
from prefix_engine.lookalike import Lookalike, LookalikeKind, find_lookalikes, looks_like
from prefix_engine.tokenizer import Tokenized, character_groups


class VerdictKind(StrEnum):
    """The cases that a person should be able to tell apart."""

    ORDINARY = "ordinary"
    NOTHING_SHARED = "nothing_shared"
    ONLY_TEMPLATE = "only_template"
    EQUAL = "equal"
    CONTINUES = "continues"
    SHORTENED = "shortened"
    EMPTY = "empty"
    UNDER_BLOCK = "under_block"


class FindingKind(StrEnum):
    """What may lie behind a verdict and is easily overlooked."""

    LOOKS_IDENTICAL = "looks_identical"
    SPLIT_CHARACTER = "split_character"
    RETOKENIZED = "retokenized"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth knowing about a comparison."""

    kind: FindingKind
    sentence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happened (`kind`, `sentence`), differences that can't be seen, and what else to know.

    `differs` is empty unless the place where the two texts part looks the same in both.
    """

    kind: VerdictKind
    sentence: str
    differs: tuple[Lookalike, ...]
    findings: tuple[Finding, ...]


def diagnose(comparison: Comparison) -> Verdict:
    """The verdict on a comparison."""
    kind = _kind(comparison)
    differs = find_lookalikes(comparison.a.text, comparison.b.text)
    findings = [
        *_looks_identical(comparison, differs),
        *_split_character(comparison),
        *_retokenized(comparison),
        *_dropped("A", comparison.a),
        *_dropped("B", comparison.b),
    ]
    return Verdict(kind, _SENTENCES[kind](comparison), differs, tuple(findings))


def _kind(c: Comparison) -> VerdictKind:
    a_length, b_length = len(c.a.tokens), len(c.b.tokens)
    if not a_length or not b_length:
        return VerdictKind.EMPTY
    if not c.shared:
        return VerdictKind.NOTHING_SHARED
    if not c.reused and c.block_size > 1:
        return VerdictKind.UNDER_BLOCK
    if c.shared == a_length == b_length:
        return VerdictKind.EQUAL
    if c.shared == a_length:
        return VerdictKind.CONTINUES
    if c.shared == b_length:
        return VerdictKind.SHORTENED
    return VerdictKind.ONLY_TEMPLATE if _only_template_shared(c) else VerdictKind.ORDINARY


def _only_template_shared(c: Comparison) -> bool:
    return all(token.part == "template" for token in c.b.tokens[: c.shared])


def _ordinary(c: Comparison) -> str:
    return f"{_reuses(c)}. {_first_difference(c)}; {_recomputed(c)}."


def _nothing_shared(c: Comparison) -> str:
    return f"{_reuses(c)}: nothing is shared. {_first_difference(c)}; {_recomputed(c)}."


def _only_template(c: Comparison) -> str:
    return (
        f"Only the chat template is shared ({_count(c.shared, 'token')}), nothing that a person "
        f"wrote. {_reuses(c)}. {_first_difference(c)}; {_recomputed(c)}."
    )


def _equal(c: Comparison) -> str:
    same = _count(c.shared, "token")
    return f"B has the same {same} as A. {_reuses(c)}: {_last_token(c)}{_blocks(c)}."


def _shortened(c: Comparison) -> str:
    return f"B is the beginning of A. {_reuses(c)}: {_last_token(c)}{_blocks(c)}."


def _continues(c: Comparison) -> str:
    tokens = f"{c.shared:,} tokens"
    reused = {1: "the only token", 2: "both tokens"}.get(c.shared, f"all {tokens}")
    if c.reused < c.shared:
        reused = f"{c.reused:,} of the {tokens}"
    new = len(c.b.tokens) - c.shared
    return (
        f"B continues A: {reused} of A {_are(c.reused)} reused and {_count(new, 'new token')} "
        f"{_are(new)} computed{_blocks(c)}."
    )


def _empty(c: Comparison) -> str:
    if not c.b.tokens:
        return f"B {_is_empty(c.b)}: there is nothing to compute."
    n = len(c.b.tokens)
    return (
        f"A {_is_empty(c.a)}, so there is nothing to reuse: {_count(n, 'token')} of B "
        f"{_are(n)} computed."
    )


def _under_block(c: Comparison) -> str:
    owner = " of the chat template" if _only_template_shared(c) else ""
    shared = f"{_count(c.shared, 'leading token')}{owner} {_are(c.shared)} shared"
    only = f"only whole blocks of {_count(c.block_size, 'token')} are reused"
    why = f"but {only}" if c.shared < c.block_size else f"but {_last_token(c)}"
    difference = f" {_first_difference(c)}." if c.cut else ""
    return f"{_reuses(c)}: {shared}, {why}.{difference}"


_SENTENCES: dict[VerdictKind, Callable[[Comparison], str]] = {
    VerdictKind.ORDINARY: _ordinary,
    VerdictKind.NOTHING_SHARED: _nothing_shared,
    VerdictKind.ONLY_TEMPLATE: _only_template,
    VerdictKind.EQUAL: _equal,
    VerdictKind.CONTINUES: _continues,
    VerdictKind.SHORTENED: _shortened,
    VerdictKind.EMPTY: _empty,
    VerdictKind.UNDER_BLOCK: _under_block,
}


def _reuses(c: Comparison) -> str:
    return f"B reuses {c.reused:,} of {_count(len(c.b.tokens), 'token')}"


def _first_difference(c: Comparison) -> str:
    """`The first difference is token 3, " SF" against " NYC"`, A's token first."""
    a, b = c.a.tokens[c.shared].text, c.b.tokens[c.shared].text
    alike = a is not None and b is not None and looks_like(a, b)
    only_looks = ", which only looks the same" if alike else ""
    against = f"{_token(c.a, c.shared)} against {_token(c.b, c.shared)}"
    return f"The first difference is token {c.shared + 1:,}, {against}{only_looks}"


def _recomputed(c: Comparison) -> str:
    """What becomes of B from the first difference on, and of shared tokens that fill no block."""
    rest = len(c.b.tokens) - c.shared
    if rest == 1:
        return f"that token alone is recomputed{_blocks(c)}"
    same = sum(state.state is State.SAME_RECOMPUTED for state in c.states)
    reads = "it reads" if same == 1 else "they read"
    although = f", {same:,} of them although {reads} the same" if same else ""
    return f"the {rest:,} tokens from there on are recomputed{although}{_blocks(c)}"


def _last_token(c: Comparison) -> str:
    lost = sum(state.why == "last_token" for state in c.states) - 1
    block = f", and with it the other {_count(lost, 'token')} of its block" if lost else ""
    return f"the last token is always computed, for the reply is predicted from it{block}"


def _blocks(c: Comparison) -> str:
    """A clause on the shared tokens that the block rule takes away, where there are any."""
    lost = sum(state.why == "block" for state in c.states)
    tokens, fill = _count(lost, "shared token"), "fills" if lost == 1 else "fill"
    return f"; {tokens} {fill} no whole block of {c.block_size:,}" if lost else ""


def _token(prompt: Tokenized, at: int) -> str:
    """A token in quotes; one that holds a part of a character with its bytes."""
    token = prompt.tokens[at]
    if token.text is not None:
        return quoted(token.text)
    whole = next(group for group in character_groups(prompt) if at < group.stop)
    return f"a part of {quoted(whole.text)} ({_count(len(token.data), 'byte')})"


def _looks_identical(c: Comparison, differs: tuple[Lookalike, ...]) -> Iterator[Finding]:
    if not differs:
        return
    whole = differs[-1].kind is LookalikeKind.TRAILING_SPACE or looks_like(c.a.text, c.b.text)
    where = "The prompts look identical but differ" if whole else "Where they part, they look alike"
    shown = "; ".join(lookalike.describe() for lookalike in differs[:3])
    more = f"; and {len(differs) - 3:,} more such differences" if len(differs) > 3 else ""
    chat = any(token.part == "template" for token in c.b.tokens)
    counted = " (characters are counted in the chat as it is sent)" if chat else ""
    yield Finding(FindingKind.LOOKS_IDENTICAL, f"{where}: {shown}{more}{counted}.")


def _split_character(c: Comparison) -> Iterator[Finding]:
    if c.cut is None:
        return
    shared = c.cut.byte - len(c.b.text[: c.cut.character].encode())
    if shared:
        character = c.b.text[c.cut.character]
        yield Finding(
            FindingKind.SPLIT_CHARACTER,
            f"The cut falls inside the character {quoted(character)}: of its "
            f"{len(character.encode())} bytes, A's prompt has the first {shared} as well.",
        )


def _retokenized(c: Comparison) -> Iterator[Finding]:
    """Where a token at the cut lies wholly in text that both have, what follows changed it."""
    if c.cut is None:
        return
    agree = common_prefix(c.a.text, c.b.text)
    agree_bytes = len(c.b.text[:agree].encode())
    at_cut = (c.a.tokens[c.shared], c.b.tokens[c.shared])
    if any(token.byte + len(token.data) <= agree_bytes for token in at_cut):
        yield Finding(
            FindingKind.RETOKENIZED,
            f"The texts agree for {_count(agree, 'character')}, but the tokens only for "
            f"{c.cut.character:,}: what comes next changes how the text before it is cut into "
            f"tokens, {_token(c.a, c.shared)} in A against {_token(c.b, c.shared)} in B.",
        )


def _dropped(which: str, prompt: Tokenized) -> Iterator[Finding]:
    if not prompt.dropped:
        return
    first, n = prompt.dropped[0], len(prompt.dropped)
    them, place = "it" if n == 1 else "them", "" if n == 1 else "the first "
    yield Finding(
        FindingKind.DROPPED,
        f"The model has no token for {_count(n, 'byte')} of {which}, {place}in "
        f"{name(prompt.text[first.character])} at character {first.character + 1:,}: it never "
        f"sees {them}.",
    )


def _is_empty(prompt: Tokenized) -> str:
    return "has no tokens" if prompt.text else "is empty"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _are(n: int) -> str:
    return "is" if n == 1 else "are"
