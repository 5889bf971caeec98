from __future__ import annotations

from dataclasses import replace

from prefix_engine.record import Exactness

EXACT = Exactness(5, True, 0.0, True, 0.0, True)


def test_exact_is_said_only_of_equal_bits_in_kv_and_logits() -> None:
    assert EXACT.sentence.startswith("Exact: ")
    for other in (replace(EXACT, kv_equal=False), replace(EXACT, logits_equal=False)):
        assert other.sentence.startswith("Not all the bits")


def test_a_small_difference_is_told_without_an_exponent() -> None:
    other = replace(EXACT, logits_equal=False, max_abs_logit_diff=3.29e-05)
    assert "the logits differ by at most 0.00003" in other.sentence
    assert "the reused KV has the same bits" in other.sentence


def test_another_first_token_is_told() -> None:
    other = replace(EXACT, logits_equal=False, max_abs_logit_diff=0.1, same_first_token=False)
    assert "the first token is another one" in other.sentence


def test_nothing_is_called_exact_where_nothing_was_reused() -> None:
    assert "Exact" not in replace(EXACT, reused=0).sentence
