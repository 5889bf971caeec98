"""Two prompts through blocks of several sizes."""

from __future__ import annotations

import random

from prefix_engine.compare import reusable
from prefix_engine.lessons.lens import BLOCK_SIZES, look_through


def test_a_block_that_is_not_shared_to_its_end_is_lost() -> None:
    lens = look_through(range(108), [*range(103), -1, -2])
    assert lens.shared == 103
    assert [view.reused for view in lens.views] == [103, 96, 96, 64, 0, 0]
    assert [view.lost for view in lens.views] == [0, 7, 7, 39, 103, 103]
    assert "From blocks of 128 on it reuses nothing" in lens.sentence


def test_the_index_finds_what_the_rule_says() -> None:
    dice = random.Random(5)
    for _ in range(40):
        shared, more_a, more_b = dice.randint(0, 300), dice.randint(0, 40), dice.randint(1, 40)
        a = [*range(shared), *([-1] * more_a)]
        b = [*range(shared), *([-2] * more_b)]
        found = [view.reused for view in look_through(a, b).views]
        assert found == [reusable(shared, len(b), size) for size in BLOCK_SIZES]


def test_an_exact_repeat_of_whole_blocks_gives_one_of_them_up() -> None:
    lens = look_through(range(64), range(64))
    assert [view.reused for view in lens.views] == [63, 48, 32, 0, 0, 0]


def test_the_sentence_tells_what_the_largest_block_loses() -> None:
    assert "shares no token" in look_through([1], [2]).sentence
    assert "Blocks of 64 lose 44 of them" in look_through(range(300), [*range(300), -1]).sentence
    assert "reuse as much" in look_through(range(256), [*range(256), -1]).sentence
