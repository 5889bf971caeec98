from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from prefix_engine.compare import common_prefix, reusable
from prefix_engine.lessons.served import Served, ServedTrial, Stream
from prefix_engine.lessons.workload_verdict import (
    after,
    first_requests,
    option,
    options,
    outcome,
    times_sooner,
)
from prefix_engine.lessons.workloads import (
    FOLDER,
    ORDER,
    BadWorkload,
    Turn,
    Workload,
    WorkloadRuns,
    load_workloads,
    read_workload,
    run_workload,
)
from prefix_engine.measured import from_json
from prefix_engine.tokenizer import Message, VocabularyTokenizer
from tests.tiny_engine import tiny_engine

WORKLOADS = load_workloads()
RECORDED = FOLDER.parent / "recorded" / "where_it_pays.json"
LARGEST_PROMPT = 2048
SHARED_AT_LEAST = 1000


def workload(**changes: Any) -> Workload:
    turns = (
        Turn(name="1", user="Hello", reply="Good day"),
        Turn(name="2", user="Well?", reply="Well."),
        Turn(name="3", user="Bye"),
    )
    fields = {"title": "T", "sends": "s", "shared": "s", "system": " Be kind.\n", "turns": turns}
    return Workload(**({"grows": True} | fields | changes))


# ---- the prompts


def test_a_growing_workload_sends_everything_again() -> None:
    first, second, third = workload().prompts
    assert first == (Message("system", "Be kind."), Message("user", "Hello"))
    assert second == (*first, Message("assistant", "Good day"), Message("user", "Well?"))
    assert third == (*second, Message("assistant", "Well."), Message("user", "Bye"))


def test_another_sends_each_question_behind_the_same_system_message() -> None:
    system = Message("system", "Be kind.")
    assert workload(grows=False).prompts == tuple(
        (system, Message("user", text)) for text in ("Hello", "Well?", "Bye")
    )


def test_the_fingerprint_changes_with_any_prompt_and_with_nothing_else() -> None:
    one = workload()
    assert one.sha256 == workload(title="Another").sha256
    assert one.sha256 != workload(system="Be brief.").sha256
    assert one.sha256 != workload(grows=False).sha256


# ---- the files


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("title = ", "not TOML"),
        ("title = 'x'", "Field required"),
        ("{}", "not TOML"),
    ],
)
def test_a_file_that_is_no_workload_is_refused_by_its_name(
    tmp_path: Path, content: str, what: str
) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadWorkload, match=what) as raised:
        read_workload(path)
    assert "bad.toml" in str(raised.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("grows = true", "grows = 1"),
        lambda text: text.replace("grows = true", "grows = true\nextra = 1"),
        lambda text: text.replace("user = ", "users = ", 1),
        lambda text: text[: text.index("[[turns]]")],
    ],
)
def test_a_field_that_is_wrong_missing_or_unknown_is_refused(
    tmp_path: Path, change: Callable[[str], str]
) -> None:
    text = (FOLDER / "agent.toml").read_text(encoding="utf-8")
    path = tmp_path / "agent.toml"
    path.write_text(text, encoding="utf-8")
    read_workload(path)
    path.write_text(change(text), encoding="utf-8")
    with pytest.raises(BadWorkload):
        read_workload(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadWorkload, match="can't be read"):
        load_workloads(tmp_path)


@pytest.mark.parametrize("name", ORDER)
def test_the_sizes_matter_and_fit(tokenizer: VocabularyTokenizer, name: str) -> None:
    ids = [tokenizer.encode(prompt) for prompt in WORKLOADS[name].prompts]
    assert max(map(len, ids)) <= LARGEST_PROMPT
    for at, later in enumerate(ids[1:], 1):
        assert max(common_prefix(later, earlier) for earlier in ids[:at]) >= SHARED_AT_LEAST


@pytest.mark.parametrize("name", [name for name in ORDER if WORKLOADS[name].grows])
def test_a_growing_conversation_begins_with_the_tokens_of_the_one_before(
    tokenizer: VocabularyTokenizer, name: str
) -> None:
    ids = [tokenizer.encode(prompt) for prompt in WORKLOADS[name].prompts]
    for earlier, later in pairwise(ids):
        assert later[: len(earlier)] == earlier


def test_the_code_that_is_asked_about_works() -> None:
    module: dict[str, Any] = {"__name__": "intervals"}
    exec(WORKLOADS["code"].system.split("```python\n")[1].split("```")[0], module)
    intervals = module["IntervalSet"]([(1, 2), (2, 3), (8, 9)])
    assert list(intervals) == [(1, 3), (8, 9)]
    intervals.remove(1.5, 2)
    assert list(intervals) == [(1, 1.5), (2, 3), (8, 9)]
    assert (1 in intervals, 1.5 in intervals, 3 in intervals) == (True, False, False)
    assert intervals.gaps(0, 4) == [(0, 1), (1.5, 2), (3, 4)]
    assert (intervals.overlaps(3, 8), intervals.overlaps(2.5, 3.5)) == (False, True)
    assert list(intervals.shifted(1))[-1] == (9, 10)
    assert intervals.total() == 2.5


# ---- a run


def test_a_run_has_a_request_for_each_turn_and_knows_its_prompts() -> None:
    run = run_workload(tiny_engine(), "small", workload(), rounds=1)
    assert (run.workload, run.sha256) == ("small", workload().sha256)
    first, second, third = run.stream.requests
    assert (second.reused, third.reused) == (first.tokens, second.tokens)


def test_the_recorded_runs_are_those_of_the_prompts_of_today(
    tokenizer: VocabularyTokenizer,
) -> None:
    runs = from_json(RECORDED.read_bytes(), WorkloadRuns).result.runs
    assert [run.workload for run in runs] == list(ORDER)
    for run in runs:
        assert run.sha256 == WORKLOADS[run.workload].sha256
        ids = [tokenizer.encode(prompt) for prompt in WORKLOADS[run.workload].prompts]
        assert [one.tokens for one in run.stream.requests] == list(map(len, ids))
        for at, one in enumerate(run.stream.requests):
            shared = max((common_prefix(ids[at], earlier) for earlier in ids[:at]), default=0)
            assert one.shared == shared
            assert one.reused == reusable(shared, len(ids[at]), run.stream.block_size)


@pytest.mark.parametrize("name", ORDER)
def test_the_recorded_runs_were_made_on_a_quiet_machine(name: str) -> None:
    """Else the page opens with times that say nothing: run `make record` on a quiet machine."""
    recorded = from_json(RECORDED.read_bytes(), WorkloadRuns)
    stream = next(run.stream for run in recorded.result.runs if run.workload == name)
    assert not stream.was_busy(recorded.machine.threads)
    assert all(one.has_sound_pair for one in stream.requests)


# ---- what is said of it


def served(tokens: int, reused: int, ttft_s: float, cold_s: float, rounds: int = 5) -> Served:
    trials = tuple(
        ServedTrial(n, reused, ttft_s, cold_s, 2.0, 2.0, 0.0) for n in range(1, rounds + 1)
    )
    return Served("one", "", tokens, reused, reused, trials)


GROWN = Stream((served(100, 0, 1.0, 1.0), served(150, 100, 0.5, 1.5), served(200, 150, 0.5, 2.0)))


def test_a_stream_so_far_ends_with_the_request_shown_last() -> None:
    assert first_requests(GROWN, 2).requests == GROWN.requests[:2]
    assert after(GROWN, 1) == (
        "Request 1 of 3 sends 100 tokens; none of them was in the cache, all were computed."
    )
    assert after(GROWN, 2).endswith("100 of them came from the cache, 50 were computed. "
                                    "Hit rate so far: 40%.")  # fmt: skip


def test_how_much_sooner_is_the_median_over_requests_that_reused() -> None:
    assert times_sooner(GROWN) == 3.5
    assert times_sooner(first_requests(GROWN, 1)) is None


def test_a_big_win_is_at_least_twice_as_soon_and_beyond_chance() -> None:
    assert outcome(workload(), GROWN, False)[0] is True
    slow = replace(GROWN, requests=(GROWN.requests[0], served(150, 100, 1.0, 1.5)))
    assert outcome(workload(grows=False), slow, False)[0] is False
    few = replace(GROWN, requests=(GROWN.requests[0], served(150, 100, 0.5, 1.5, rounds=4)))
    assert outcome(workload(grows=False), few, False)[0] is None


def test_a_busy_machine_can_not_tell_whatever_its_times_say() -> None:
    held, sentence = outcome(workload(), GROWN, busy=True)
    assert held is None
    assert "as soon as" not in sentence and "busy" in sentence


def test_how_much_sooner_is_told_of_undisturbed_runs_alone() -> None:
    disturbed = served(200, 150, 0.5, 50.0)
    trials = tuple(replace(trial, cold_disturbed=True) for trial in disturbed.trials)
    odd = replace(GROWN, requests=(*GROWN.requests[:2], replace(disturbed, trials=trials)))
    assert times_sooner(odd) == 3.0


def test_a_conversation_that_does_not_reuse_all_of_the_one_before_does_not_bear_it_out() -> None:
    part = replace(GROWN, requests=(*GROWN.requests[:2], served(200, 149, 0.5, 2.0)))
    held, sentence = outcome(workload(), part, False)
    assert held is False and "In 1 of 2 cases" in sentence
    assert outcome(workload(grows=False), part, False)[0] is True


def test_the_truth_is_among_the_options_once_and_none_are_alike() -> None:
    for one in (*GROWN.requests, served(100, 99, 1.0, 1.0), served(100, 50, 1.0, 1.0)):
        offered = options(one)
        assert offered.count(option(one.reused, one)) == 1
        assert len(set(offered)) == len(offered) >= 3
