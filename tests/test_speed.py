from __future__ import annotations

import pytest

from prefix_engine.ranktest import RankTest
from prefix_engine.speed import (
    Arm,
    SpeedKind,
    Trial,
    judge_speed,
    summarize,
    was_busy,
)
from prefix_engine.stopwatch import Timing

FAST = [1.0, 2.0, 3.0, 4.0, 6.0]
SLOW = [5.0, 7.0, 8.0, 9.0, 10.0]


def trial(arm: Arm = Arm.HIT, ttft_s: float = 1.0, share: float = 2.0, number: int = 1) -> Trial:
    """One trial that kept `share` processors busy, of 2 that it would have had undisturbed."""
    return Trial(number, arm, 0, Timing(ttft_s, share * ttft_s, {}, unloaded_cpu_over_wall=2.0))


def trials(hit: list[float], control: list[float]) -> list[Trial]:
    arms = ((Arm.HIT, hit), (Arm.CONTROL, control))
    return [
        trial(arm, ttft_s, number=i) for arm, all_s in arms for i, ttft_s in enumerate(all_s, 1)
    ]


def test_a_faster_hit_is_told_in_pairings() -> None:
    verdict = judge_speed(summarize(trials(FAST, SLOW)))
    assert verdict.kind is SpeedKind.FASTER
    assert "in 24 of 25 pairings the hit was faster" in verdict.sentence
    assert verdict.test == RankTest(less=24, pairs=25, p=2 / 252)


def test_a_slower_hit_is_no_measurable_difference() -> None:
    verdict = judge_speed(summarize(trials(SLOW, FAST)))
    assert verdict.kind is SpeedKind.NO_DIFFERENCE
    assert verdict.sentence.startswith("No measurable difference: in 1 of 25 pairings")


def test_no_measurable_difference_is_said_from_p_of_5_percent_on() -> None:
    # 21 of 25 pairings come by chance in 12 of 252 deals, 20 of 25 in 19 of 252
    clear = judge_speed(summarize(trials([1, 2, 3, 4, 9], [5, 6, 7, 8, 10])))
    unclear = judge_speed(summarize(trials([1, 2, 3, 4, 10], [5, 6, 7, 8, 9])))
    assert clear.test is not None and clear.test.p == pytest.approx(12 / 252)
    assert unclear.test is not None and unclear.test.p == pytest.approx(19 / 252)
    assert (clear.kind, unclear.kind) == (SpeedKind.FASTER, SpeedKind.NO_DIFFERENCE)


@pytest.mark.parametrize(("hits", "controls"), [(4, 5), (5, 4), (1, 1), (0, 5)])
def test_fewer_than_five_trials_in_an_arm_are_too_few_to_tell(hits: int, controls: int) -> None:
    verdict = judge_speed(summarize(trials(FAST[:hits], SLOW[:controls])))
    assert verdict.kind is SpeedKind.TOO_FEW
    assert verdict.sentence.startswith("Too few runs to tell")
    assert f": {min(hits, controls)} undisturbed" in verdict.sentence
    assert verdict.test is None


def test_cold_runs_take_no_part_in_the_verdict() -> None:
    ran = trials(FAST, SLOW)
    with_cold = [*ran, *(trial(Arm.COLD, 0.001, number=i) for i in range(1, 9))]
    assert judge_speed(summarize(with_cold)) == judge_speed(summarize(ran))


def test_round_0_is_in_no_summary() -> None:
    discarded = [trial(arm, 1000.0, number=0) for arm in Arm]
    assert summarize([*discarded, *trials(FAST, SLOW)]) == summarize(trials(FAST, SLOW))


def test_a_summary_has_median_and_spread() -> None:
    summary = summarize(trials(FAST, SLOW))[Arm.HIT]
    assert (summary.ttft_s, summary.median_s, summary.spread_s) == (tuple(FAST), 3.0, 5.0)


def test_an_arm_without_trials_has_no_median() -> None:
    summary = summarize([])[Arm.COLD]
    assert (summary.ttft_s, summary.median_s, summary.spread_s) == ((), None, None)


def test_summaries_come_in_the_order_cold_control_hit() -> None:
    assert list(summarize(trials(FAST, SLOW))) == [Arm.COLD, Arm.CONTROL, Arm.HIT]


@pytest.mark.parametrize(("share", "disturbed"), [(1.59, True), (1.61, False), (2.0, False)])
def test_a_trial_below_0_8_of_the_unloaded_share_is_left_out_and_counted(
    share: float, disturbed: bool
) -> None:
    odd = trial(share=share, ttft_s=50.0)
    assert odd.disturbed is disturbed
    summary = summarize([trial(share=2.0), odd])[Arm.HIT]
    assert summary.disturbed == int(disturbed)
    assert (50.0 in summary.ttft_s) is not disturbed


def test_trials_that_were_all_disturbed_alike_are_all_left_out() -> None:
    ran = [trial(share=1.0, number=number) for number in range(1, 9)]
    assert summarize(ran)[Arm.HIT].disturbed == 8
    assert judge_speed(summarize(ran)).kind is SpeedKind.TOO_FEW


def test_disturbed_trials_are_left_out_of_the_verdict() -> None:
    disturbed = [trial(Arm.HIT, 99.0, share=0.5, number=6), trial(Arm.CONTROL, 0.1, 0.5, 6)]
    with_them = judge_speed(summarize([*trials(FAST, SLOW), *disturbed]))
    assert with_them == judge_speed(summarize(trials(FAST, SLOW)))
    four_left = judge_speed(summarize([*trials(FAST[:4], SLOW), *disturbed]))
    assert four_left.kind is SpeedKind.TOO_FEW


def test_a_discarded_trial_is_not_counted_as_disturbed() -> None:
    assert not trial(number=0, share=0.1).disturbed


def test_a_machine_that_was_busy_throughout_is_noticed() -> None:
    assert was_busy([1.1, 1.0], threads=2)
    assert not was_busy([1.0, 1.5], threads=2)
    assert not was_busy([], threads=2)
