"""What is said of one user and many, and that every run is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prefix_engine.lessons.crowd import Crowd
from prefix_engine.lessons.held import PARTLY
from prefix_engine.lessons.served import Stream
from prefix_engine.measured import from_json
from ui.lessons.crowd_chart import ttft_chart
from ui.lessons.crowd_words import many_in_words, outcome, speed_in_words, unmeasured

RECORDED = Path(__file__).parents[3] / "assets/recorded/one_user_many_users.json"


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    return from_json(RECORDED.read_bytes(), Crowd).result


def test_users_apart_are_not_told_to_be_as_one_alone(crowd: Crowd) -> None:
    told = many_in_words(crowd)
    assert "they reuse 0%: nobody finds what another one stored." in told
    assert "alone" not in told


def test_the_outcome_says_first_where_the_footnote_holds(crowd: Crowd) -> None:
    held, told = outcome(crowd)
    assert held == PARTLY
    holds, fails = told.index("It holds for the demo"), told.index("It does not hold for")
    assert holds == 0 < fails


def test_the_medians_say_of_how_many_runs(crowd: Crowd) -> None:
    runs = len(crowd.found[0].trials)
    assert f"{runs} run{'' if runs == 1 else 's'} of each request" in speed_in_words(crowd)
    assert f"over the {len(crowd.found)} requests" in speed_in_words(crowd)


def test_medians_of_disturbed_runs_are_told_as_such(crowd: Crowd) -> None:
    def disturbed(stream: Stream) -> Stream:
        first, second, *others = stream.requests
        trials = tuple(replace(trial, cold_disturbed=True) for trial in second.trials)
        return replace(stream, requests=(first, replace(second, trials=trials), *others))

    arms = tuple(replace(arm, stream=disturbed(arm.stream)) for arm in crowd.arms)
    worse = replace(crowd, arms=arms)
    count = sum(not one.has_sound_medians for one in worse.found)
    assert f"Of {count} of these requests the machine disturbed every run" in speed_in_words(worse)
    assert count > 0 and "disturbed every run" not in speed_in_words(crowd)


def test_every_run_is_a_dot_and_a_row_with_its_processor_time(crowd: Crowd) -> None:
    chart = ttft_chart(crowd)
    trials = [t for arm in crowd.arms for one in arm.stream.requests for t in one.trials]
    dots = [trace for trace in chart.figure.data if not trace.name.endswith("median")]
    assert sum(len(trace.x) for trace in dots) == 2 * len(trials)
    rows = chart.table[chart.table["run"] != "median"]
    assert len(rows) == len(trials)
    assert all(", " in told for told in rows["CPU ÷ wall"])


def test_users_that_are_not_measured_are_told(crowd: Crowd) -> None:
    told = unmeasured(7, crowd)
    assert told.startswith("7 users are not measured yet: run it here.")
    assert f"{crowd.users} users" in told
