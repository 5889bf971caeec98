"""The tree after each request, driven by the tiny engine, whose tokens are single letters."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from prefix_engine.compare import common_prefix
from prefix_engine.errors import EmptyPrompt, NoRoomNow, PromptTooLong
from prefix_engine.lessons.growth import TURN_TOKENS, Growth, closest_pair, grow
from prefix_engine.lessons.growth_verdict import (
    NOTHING_GOES,
    first_eviction,
    first_to_go,
    memory,
    outcome,
    overall,
    what_happened,
)
from prefix_engine.lessons.held import PARTLY
from prefix_engine.lessons.pieces import Piece, PieceState
from prefix_engine.watch import Watch
from tests.tiny_engine import BYTES_PER_TOKEN, tiny_cache, tiny_engine

pytestmark = pytest.mark.usefixtures("one_thread")
ROOM = 1000


def grown(*texts: str, budget: int = ROOM, pinned: int | None = None) -> Growth:
    return grow(tiny_engine(), texts, budget, pinned)


def text_of(growth: Growth, piece: Piece) -> str:
    return "".join(growth.words(piece))


def tree(growth: Growth, number: int, *states: PieceState) -> set[tuple[str, tuple[int, ...]]]:
    """The text of each piece and the requests that begin with it."""
    return {
        (text_of(growth, piece), piece.requests)
        for piece in growth.steps[number - 1].pieces
        if not states or piece.state in states
    }


def test_prompts_that_begin_alike_share_a_node_and_part_where_they_differ() -> None:
    growth = grown("abcdef", "abxyz")
    assert tree(growth, 1) == {("abcdef", (1,))}
    assert tree(growth, 2) == {("ab", (1, 2)), ("cdef", (1,)), ("xyz", (2,))}
    split = [piece for piece in growth.steps[1].pieces if piece.split]
    assert [text_of(growth, piece) for piece in split] == ["cdef"]


def test_the_states_tell_what_the_latest_request_did() -> None:
    growth = grown("abcd", "abxy")
    assert tree(growth, 2, PieceState.REUSED) == {("ab", (1, 2))}
    assert tree(growth, 2, PieceState.NEW) == {("xy", (2,))}
    assert tree(growth, 2, PieceState.KEPT) == {("cd", (1,))}


def test_a_repeat_computes_its_last_token_although_it_is_stored() -> None:
    step = grown("abcd", "abcd").steps[1]
    assert (step.present, step.reused, step.computed, step.stored) == (4, 3, 1, 0)
    last = next(piece for piece in step.pieces if piece.stop == 4)
    assert last.state is PieceState.RECOMPUTED
    assert step.computed_again == 0


def test_what_was_used_longest_ago_goes_first_not_what_is_oldest() -> None:
    growth = grown("aaaa", "bbbb", "aaaa", "cccc", budget=8)
    assert tree(growth, 4, PieceState.EVICTED) == {("bbbb", (2,))}
    assert first_to_go(growth) == "Request 2"


def test_a_shared_beginning_outlives_the_end_of_the_older_prompt() -> None:
    growth = grown("abcd", "abxy", "zz", budget=6)
    assert tree(growth, 3, PieceState.EVICTED) == {("cd", (1,))}
    assert ("ab", (1, 2)) in tree(growth, 3, PieceState.KEPT)


def test_a_ghost_hangs_where_it_hung_even_if_the_same_request_split_its_node() -> None:
    growth = grown("abcdef", "abxyz", budget=7)
    step = growth.steps[1]
    (ghost,) = step.evicted
    assert (text_of(growth, ghost), ghost.start, ghost.split) == ("cdef", 2, True)
    parent = next(piece for piece in step.pieces if piece.id == ghost.parent)
    assert text_of(growth, parent) == "ab"


def test_a_pinned_prompt_stays_whatever_else_goes() -> None:
    texts = ("aaaa", "bbbb", "cccc", "aaaa")
    free, held = grown(*texts, budget=8), grown(*texts, budget=8, pinned=1)
    assert (free.steps[3].reused, held.steps[3].reused) == (0, 3)
    assert tree(held, 3, PieceState.EVICTED) == {("bbbb", (2,))}
    pinned = [piece.requests for piece in held.steps[2].pieces if piece.pinned]
    goes_next = [piece.requests for piece in held.steps[2].pieces if piece.next_to_go]
    assert (pinned, goes_next) == ([(1,)], [(3,)])


def test_a_request_without_room_is_answered_and_nothing_changes() -> None:
    growth = grown("aaaa", "bbbbbb", budget=8, pinned=1)
    step = growth.steps[1]
    assert step.refused and step.stored == 0 and step.computed == 6
    assert tree(growth, 2) == {("aaaa", (1,))}
    assert "not stored" in what_happened(growth, 2)


def test_what_eviction_cost_is_counted_without_the_last_token() -> None:
    texts = ("abcd", "zzzz", "abcd")
    assert grown(*texts, budget=4).computed_again == 3
    assert grown(*texts, budget=8).computed_again == 0


def test_bytes_held_are_those_of_the_tokens_in_the_tree() -> None:
    growth = grown("abcdef", "abxyz", "zzzz", "abcdef", budget=10)
    assert growth.numbers.bytes_per_token == BYTES_PER_TOKEN
    for step in growth.steps:
        kept = sum(piece.tokens for piece in step.pieces) - step.evicted_tokens
        assert step.stored_tokens == kept <= growth.budget_tokens
        assert step.held_bytes == kept * BYTES_PER_TOKEN


def test_random_requests_lose_no_token_and_the_next_to_go_goes_next() -> None:
    dice = random.Random(11)
    for _ in range(12):
        texts = ["".join(dice.choices("ab", k=dice.randint(1, 7))) for _ in range(8)]
        growth = grown(*texts, budget=dice.randint(7, 14))
        for number, (before, step) in enumerate(pairwise(growth.steps), 2):
            stored = before.stored_tokens + step.stored - step.evicted_tokens
            assert stored == step.stored_tokens
            assert step.reused == min(step.present, step.tokens - 1)
            marked = next(piece for piece in before.pieces if piece.next_to_go)
            leaf = growth.requests[marked.requests[0] - 1].ids[: marked.stop]
            untouched = common_prefix(growth.requests[number - 1].ids, leaf) <= marked.start
            if step.evicted and untouched:
                assert step.evicted[0].id == marked.id


def test_the_engines_own_cache_is_left_alone() -> None:
    engine = tiny_engine()
    engine.prefill("kept")
    grow(engine, ["kept", "other"], 5)
    assert engine.cache.stats.stored_tokens == 4
    assert engine.cache.peek(engine.tokenizer.encode("kept!")) == 4


def test_its_budget_is_lent_by_the_engines_own_cache_and_given_back() -> None:
    engine = tiny_engine(tiny_cache(budget_tokens=100))
    engine.prefill("x" * 80)
    lent: list[int] = []

    def tell(part: float, what: str) -> None:
        lent.append(engine.cache.stats.lent_tokens)
        assert engine.cache.stats.stored_tokens + lent[-1] <= 100

    grow(engine, ["abcd", "abxy"], 50, watch=Watch(tell=tell))
    assert lent == [50, 50]
    assert engine.cache.stats.lent_tokens == 0
    with pytest.raises(NoRoomNow, match="room for 51 tokens"):
        grow(engine, ["abcd"], 51)


def test_short_requests_take_one_turn_together_and_long_ones_their_own() -> None:
    def turns_of(*texts: str) -> int:
        taken = 0

        @contextmanager
        def turn() -> Iterator[None]:
            nonlocal taken
            taken += 1
            yield

        grow(tiny_engine(), texts, ROOM, watch=Watch(turn=turn))
        return taken

    assert turns_of(*(letter * 12 for letter in "abcdefgh")) == 1
    assert turns_of("a" * TURN_TOKENS, "b", "c" * TURN_TOKENS, "d") == 3


def test_bad_requests_are_named_before_anything_is_computed() -> None:
    told: list[str] = []
    watch = Watch(tell=lambda part, what: told.append(what))
    with pytest.raises(EmptyPrompt, match="Request 2 is empty"):
        grow(tiny_engine(), ["a", ""], ROOM, None, watch)
    with pytest.raises(PromptTooLong, match="Request 2 has 9 tokens; the limit is 8"):
        grow(tiny_engine(max_prompt_tokens=8), ["a", "b" * 9], ROOM, None, watch)
    assert told == []


def test_a_token_that_is_a_part_of_a_character_is_shown_as_its_byte() -> None:
    growth = grown("é o")
    assert growth.requests[0].words == ("⟨c3⟩", "⟨a9⟩", "·", "o")


def test_the_closest_pair_parts_rather_than_continues() -> None:
    assert closest_pair(grown("abcd", "abcdefgh", "abcxy", "zz")) == (1, 3)
    assert closest_pair(grown("abcd", "abcdefgh")) == (1, 2)


def test_the_sentence_holds_until_something_shared_had_to_go() -> None:
    texts = ("abcd", "zzzz", "abcd")
    assert outcome(grown(*texts))[0] is True
    held, told = outcome(grown(*texts, budget=4))
    assert held is False
    assert told.startswith(
        "In 0 of the 1 request that began like an earlier one it held. "
        "Request 3 found 3 tokens evicted"
    )
    assert outcome(grown("ab", "cd"))[0] is None


def test_the_outcome_counts_in_how_many_requests_it_held() -> None:
    held, told = outcome(grown("abcd", "abxy", "zzzz", "abcd", budget=8))
    assert held == PARTLY
    assert "In 1 of the 2 requests that began like an earlier one it held." in told
    assert "Request 4 found 1 token evicted" in told


def test_what_was_never_stored_is_not_called_evicted() -> None:
    _, told = outcome(grown("aaaa", "bbbbbb", "bbbbbb", budget=8, pinned=1))
    assert "Request 3 found 5 tokens evicted or never stored" in told


def test_repeats_compute_their_last_token_again_and_it_is_said() -> None:
    assert overall(grown("abcd", "abxy")).endswith("each shared beginning only once.")
    assert overall(grown("abcd", "abcd", "abc")).endswith(
        "each shared beginning only once. Requests 2 and 3 repeat an earlier one: "
        "the last token is computed again even so."
    )


def test_the_words_name_the_numbers() -> None:
    growth = grown("abcd", "abxy", "zz", budget=6)
    assert "10 tokens: 2 reused, 8 computed" in overall(growth)
    assert what_happened(growth, 2) == (
        "Request 2 reuses 2 of its 4 tokens and computes 2. "
        "A node is split after 2 tokens, where reuse stops."
    )
    assert "2 tokens had to go: the end of request 1." in what_happened(growth, 3)
    assert "takes the end of request 1, 2 tokens" in first_eviction(growth)
    assert first_to_go(grown("ab")) == NOTHING_GOES


def test_memory_counts_a_shared_beginning_once_and_the_prompts_apart() -> None:
    growth = grown("abcd", "abxy", "abcd")
    assert growth.whole_prompts(3) == (1, 2)
    assert f"{6 * BYTES_PER_TOKEN:,} bytes held for 6 tokens" in memory(growth, 3)
    assert f"would take {8 * BYTES_PER_TOKEN:,} bytes" in memory(growth, 3)
