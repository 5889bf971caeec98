"""What an unloaded machine gives is learned from several prefills, for each class of lengths."""

from __future__ import annotations

import pytest

from prefix_engine.unloaded import IN_A_ROW, UnloadedShares


def taught(*shares: float, computed: int = 64, grows: bool = True) -> UnloadedShares:
    made = UnloadedShares(grows)
    for share in shares:
        made.learn(computed, share)
    return made


def test_nothing_is_known_before_enough_prefills() -> None:
    assert taught(*[1.8] * (IN_A_ROW - 1)).share(64) == 0.0
    assert taught(*[1.8] * IN_A_ROW).share(64) == 1.8


def test_neither_lucky_nor_disturbed_ones_decide() -> None:
    assert taught(1.8, 0.2, 1.9, 0.3, 1.7).share(64) == 1.7
    assert taught(1.8, 9.0, 1.9, 9.0, 1.7).share(64) == 1.9


def test_a_machine_that_is_busy_later_lowers_nothing() -> None:
    assert taught(*[1.8] * 5, *[0.9] * 50).share(64) == 1.8


def test_a_machine_that_was_busy_at_the_start_is_known_better_later() -> None:
    assert taught(*[0.9] * 5, *[1.8] * 2).share(64) == 0.9
    assert taught(*[0.9] * 5, *[1.8] * 3).share(64) == 1.8


def test_a_long_prefill_is_not_what_a_short_one_is_held_against() -> None:
    made = taught(*[1.9] * 5, computed=512)
    assert made.share(8) == 0.0
    for _ in range(5):
        made.learn(8, 1.5)
    assert (made.share(8), made.share(15), made.share(512)) == (1.5, 1.5, 1.9)


def test_a_length_that_was_only_seen_disturbed_is_held_against_shorter_ones() -> None:
    made = taught(*[1.6] * 5, computed=1)
    for _ in range(5):
        made.learn(7, 0.7)
    assert made.share(7) == 1.6


def test_with_a_device_beside_the_processors_each_length_stands_for_itself() -> None:
    """Where waiting costs no processor time, the longer ones get less."""
    made = taught(*[0.9] * 5, computed=8, grows=False)
    for _ in range(5):
        made.learn(512, 0.2)
    assert (made.share(8), made.share(512), made.share(64)) == (0.9, 0.2, 0.0)


@pytest.mark.parametrize("computed", [64, 127, 128, 4096])
def test_a_longer_one_gets_at_least_what_a_shorter_one_does(computed: int) -> None:
    assert taught(*[1.7] * 5).share(computed) == 1.7


def test_lengths_of_one_class_are_learned_together() -> None:
    made = UnloadedShares()
    for computed in (64, 80, 100, 120, 127):
        made.learn(computed, 1.6)
    assert made.share(64) == 1.6
