"""Two token sequences → how much is shared, where it is cut, and a state for every token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import compress, count
from operator import ne

from prefix_engine.tokenizer import Tokenized


class State(StrEnum):
    """What happens to a token of B when A is in the cache."""

    REUSED = "reused"
    MATCHED_RECOMPUTED = "matched_recomputed"
    FIRST_DIFFERENCE = "first_difference"
    SAME_RECOMPUTED = "same_recomputed"
    DIFFERENT = "different"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class TokenState:
    """A state, with the reason ("block" or "last_token") of a matched token that is recomputed, and
    how many positions a recomputed same token moved from A to B (0: it stands where it stood)."""

    state: State
    why: str | None = None
    moved: int | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """The first token of B that differs from A, and where it begins to differ; all 0-based.

    `byte` counts UTF-8 bytes of B's text. It lies inside the character with index `character`
    (code points) where the tokens are cut inside one.
    """

    token: int
    character: int
    byte: int


@dataclass(frozen=True)
class Comparison:
    """What a request B reuses of a cached prompt A.

    `shared` leading tokens are the same; `reused` of them stay after the rules for blocks and for
    the last token; `computed` tokens of B are the rest. `cut` is None where A and B have no two
    different tokens at one position: equal, empty, or one begins the other. `states` has an entry
    for each token of B.
    """

    a: Tokenized
    b: Tokenized
    block_size: int
    shared: int
    reused: int
    computed: int
    cut: Cut | None
    states: tuple[TokenState, ...]


def compare(a: Tokenized, b: Tokenized, block_size: int = 1) -> Comparison:
    """Compare a prompt B with a prompt A whose KV is in the cache."""
    a_ids, b_ids = a.ids, b.ids
    shared = common_prefix(a_ids, b_ids)
    reused = reusable(shared, len(b_ids), block_size)
    differs = shared < min(len(a_ids), len(b_ids))
    first = b.tokens[shared] if differs else None
    partner = {b_at + shared: a_at + shared for a_at, b_at in align(a_ids[shared:], b_ids[shared:])}
    return Comparison(
        a=a,
        b=b,
        block_size=block_size,
        shared=shared,
        reused=reused,
        computed=len(b_ids) - reused,
        cut=Cut(shared, first.character, first.byte) if first else None,
        states=tuple(
            _matched(at, len(b_ids), shared, reused, block_size)
            if at < shared
            else _after_cut(at, shared, len(a_ids), partner.get(at))
            for at in range(len(b_ids))
        ),
    )


def common_prefix(a: Sequence[object], b: Sequence[object]) -> int:
    """How many leading items are the same."""
    return next(compress(count(), map(ne, a, b)), min(len(a), len(b)))


def reusable(shared: int, n: int, block_size: int = 1) -> int:
    """How many of `shared` common leading tokens a prompt of `n` tokens reuses.

    Whole blocks only, and never the last token: its logits are what the request is for. Source:
    `get_computed_blocks` in vLLM's v1/core/kv_cache_manager.py.
    """
    if block_size < 1:
        raise ValueError(f"a block has at least 1 token, not {block_size}")
    return block_size * max(0, min(shared // block_size, (n - 1) // block_size))


# Bits of the table below: 32 MiB, about 16,000 x 16,000 tokens
_LARGEST_TABLE = 2**28


def align(a: Sequence[int], b: Sequence[int]) -> list[tuple[int, int]]:
    """Positions (in a, in b) of the most tokens that both have in the same order, last pair first.

    A longest common subsequence. A row of its table is one integer with a bit for each token of b,
    so that any two prompts take time as any other: 4,096 tokens each, no matter how repetitive, a
    few milliseconds, where difflib needs from 0.1 s to minutes. Beyond 16,000 tokens each only the
    common end is aligned. Source: Hyyrö, Bit-parallel LCS-length computation revisited (2004).
    """
    end = common_prefix(a[::-1], b[::-1])
    pairs = [(len(a) - k, len(b) - k) for k in range(1, end + 1)]
    a, b = a[: len(a) - end], b[: len(b) - end]
    if len(a) * len(b) > _LARGEST_TABLE:
        return pairs
    where: dict[int, int] = {}
    for at, token in enumerate(b):
        where[token] = where.get(token, 0) | 1 << at
    row = all_ones = (1 << len(b)) - 1
    rows = []
    for token in a:
        same = row & where.get(token, 0)
        row = (row + same | row - same) & all_ones
        rows.append(row)
    # a 0 in row i at j says: with token j of b the subsequence with a[: i + 1] gets longer
    i, j = len(a) - 1, len(b) - 1
    while i >= 0 and j >= 0:
        if a[i] == b[j]:
            pairs.append((i, j))
            i, j = i - 1, j - 1
        elif rows[i] >> j & 1:
            j -= 1
        else:
            i -= 1
    return pairs


def _matched(at: int, n: int, shared: int, reused: int, block_size: int) -> TokenState:
    if at < reused:
        return TokenState(State.REUSED)
    # of the tokens in whole shared blocks, only the last-token rule takes any away
    in_whole_block = at < shared - shared % block_size
    why = "last_token" if in_whole_block or at == n - 1 else "block"
    return TokenState(State.MATCHED_RECOMPUTED, why=why)


def _after_cut(at: int, shared: int, a_length: int, partner: int | None) -> TokenState:
    if at == shared < a_length:
        return TokenState(State.FIRST_DIFFERENCE)
    if partner is not None:
        return TokenState(State.SAME_RECOMPUTED, moved=at - partner)
    return TokenState(State.DIFFERENT if at < a_length else State.NEW)
