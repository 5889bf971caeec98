from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from prefix_engine.export import from_json, to_json
from prefix_engine.record import Run
from prefix_engine.run import run
from prefix_engine.speed import Arm
from prefix_engine.stopwatch import Timing
from prefix_engine.tokenizer import Message, Prompt
from prefix_engine.unloaded import UnloadedShares
from tests.tiny_engine import (
    BYTES_PER_TOKEN,
    DROPPED,
    tiny_cache,
    tiny_engine,
)

pytestmark = pytest.mark.usefixtures("one_thread")

SHARED = "You are a helpful assistant. "
A, B = SHARED + "Weather in SF?", SHARED + "Time in NYC?"
SYSTEM = Message("system", "Be brief.")


@pytest.fixture(autouse=True)
def nothing_is_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else the machine does meanwhile."""
    monkeypatch.setattr(UnloadedShares, "share", lambda *_: 0.001)


def made(a: Prompt = A, b: Prompt = B, block_size: int = 1, budget: int | None = None) -> Run:
    engine = tiny_engine(tiny_cache(block_size, budget))
    return run(engine, a, b, rounds=1, reply_tokens=3)


def through_text(found: Run) -> Any:
    return json.loads(json.dumps(to_json(found)))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (A, B),
        (A, A),
        ("", B),
        (A, ""),
        ("", ""),
        ("café au lait", "cafè au lait"),
        (f"a bell {DROPPED} rings", f"a bell {DROPPED}{DROPPED} tolls"),
        ("one\r\ntwo", "one\ntwo"),
        ("The id is 7. " + SHARED, "The id is 81. " + SHARED),
        ((SYSTEM, Message("user", "Hello")), (SYSTEM, Message("user", "World"))),
        ((Message("user", "<|e|>"),), "<|s|>user"),
    ],
)
def test_a_run_comes_back_as_it_was(a: Prompt, b: Prompt) -> None:
    found = made(a, b)
    assert from_json(through_text(found)) == found


def test_a_run_in_blocks_comes_back_as_it_was() -> None:
    found = made(block_size=8)
    assert found.comparison.reused == 24
    assert from_json(through_text(found)) == found


def test_a_run_without_room_for_a_comes_back_as_it_was() -> None:
    found = made(budget=3)
    data = through_text(found)
    assert (data["a_refused"], data["reused"], data["shared"]) == (True, 0, len(SHARED))
    assert data["computed"] == len(B)
    assert from_json(data) == found


def test_the_comparison_is_worked_out_anew_from_the_tokens() -> None:
    found = made()
    data = through_text(found)
    data["b"]["states"] = ["reused"] * len(B)
    data["shared"] = data["reused"] = 0
    data["verdict"] = data["cut"] = None
    assert from_json(data) == found


def test_the_object_holds_what_was_asked_of_it() -> None:
    found = made()
    data = through_text(found)
    assert data["shared"] == data["reused"] == len(SHARED)
    assert data["computed"] == len(B) - len(SHARED)
    assert data["cut"] == {"token": len(SHARED), "character": len(SHARED), "byte": len(SHARED)}
    assert data["kv_bytes_per_token"] == BYTES_PER_TOKEN
    assert data["kv_bytes_reused"] == BYTES_PER_TOKEN * len(SHARED)
    assert data["kv_bytes_computed"] == BYTES_PER_TOKEN * (len(B) - len(SHARED))
    assert data["model"]["label"] == "tiny" and data["model"]["precision"] == "f32"
    assert data["model"]["weights_sha256"] == "00"
    assert data["machine"]["threads"] == 1
    assert {"python", "torch", "tiktoken"} <= data["machine"]["versions"].keys()
    assert data["a"]["prompt"] == A and data["b"]["prompt"] == B
    assert data["verdict"]["sentence"] == found.verdict.sentence
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", data["date"])


def test_each_token_has_id_text_and_bytes_and_each_of_b_a_state() -> None:
    data = through_text(made())
    assert len(data["a"]["tokens"]) == len(A)
    assert len(data["b"]["tokens"]) == len(data["b"]["states"]) == len(B)
    for token, letter in zip(data["b"]["tokens"], B, strict=True):
        assert token["text"] == letter
        assert bytes.fromhex(token["bytes"]) == letter.encode()
        assert type(token["id"]) is int
    assert data["b"]["states"][:30] == ["reused"] * len(SHARED) + ["first_difference"]
    assert "states" not in data["a"]


def test_a_token_that_holds_a_part_of_a_character_has_no_text() -> None:
    data = through_text(made("é", "è"))
    texts = [(token["text"], token["bytes"]) for token in data["b"]["tokens"]]
    assert texts == [(None, "c3"), (None, "a8")]
    assert data["cut"] == {"token": 1, "character": 0, "byte": 1}


def test_without_a_difference_there_is_no_cut() -> None:
    assert through_text(made(SHARED, B))["cut"] is None


def test_bytes_without_a_token_are_listed() -> None:
    data = through_text(made("x", f"é{DROPPED}y"))
    assert data["b"]["dropped"] == [{"character": 1, "byte": 2, "bytes": "07"}]
    assert data["a"]["dropped"] == []


def test_trials_have_arm_ttft_and_stages_that_add_up() -> None:
    data = through_text(made())
    assert sorted(trial["arm"] for trial in data["trials"]) == ["cold", "control", "hit"]
    assert [trial["round"] for trial in data["discarded"]] == [0, 0, 0]
    for trial in data["trials"] + data["discarded"]:
        assert trial["ttft_s"] > 0
        assert sum(trial["stages"].values()) == pytest.approx(trial["ttft_s"])
        names = ["tokenize", "lookup", "load", "prefill", "pick", "other"]
        assert list(trial["stages"]) == names
        assert trial["reused"] == (len(SHARED) if trial["arm"] == "hit" else 0)
        assert type(trial["disturbed"]) is bool
    medians = {trial["arm"]: trial["ttft_s"] for trial in data["trials"]}
    assert data["median_ttft_s"] == medians


def test_exactness_has_every_figure_with_its_type() -> None:
    exact = through_text(made())["exact"]
    assert exact["reused"] == len(SHARED)
    for name in ("kv_equal", "logits_equal", "same_first_token"):
        assert type(exact[name]) is bool
    assert type(exact["max_abs_logit_diff"]) is float
    assert type(exact["max_abs_kv_diff"]) is float


def test_where_nothing_was_run_nothing_is_claimed() -> None:
    data = through_text(made(A, ""))
    assert (data["exact"], data["trials"], data["discarded"], data["replies"]) == (None, [], [], [])
    assert data["speed"]["kind"] == "too_few_runs" and data["speed"]["test"] is None
    assert data["median_ttft_s"] == {"cold": None, "control": None, "hit": None}


def test_a_speed_verdict_is_told_with_its_test() -> None:
    found = made()
    timed = {Arm.COLD: 4.0, Arm.CONTROL: 2.0, Arm.HIT: 1.0}
    template = found.trials[0]
    trials = tuple(
        replace(template, round=number, arm=arm, timing=Timing(seconds + number / 100, seconds, {}))
        for number in range(6)
        for arm, seconds in timed.items()
    )
    data = through_text(replace(found, trials=trials))
    assert data["speed"]["kind"] == "faster"
    assert "in 25 of 25 pairings" in data["speed"]["sentence"]
    assert data["speed"]["test"] == {"less": 25.0, "pairs": 25, "p": pytest.approx(1 / 252)}


def test_replies_are_told_with_their_times() -> None:
    cold, hit = through_text(made())["replies"]
    assert (cold["arm"], hit["arm"]) == ("cold", "hit")
    assert cold["ids"] == hit["ids"] and len(cold["ids"]) == 3
    assert len(hit["later_s"]) == 2 and hit["ttft_s"] > 0


def test_another_format_is_refused() -> None:
    data = through_text(made())
    with pytest.raises(ValueError, match="first-difference run 0"):
        from_json({**data, "format": "first-difference run 0"})


@pytest.mark.parametrize("missing", ["format", "a", "b", "trials", "model", "exact"])
def test_data_that_lacks_something_is_refused(missing: str) -> None:
    data = through_text(made())
    del data[missing]
    with pytest.raises(KeyError, match=missing):
        from_json(data)


@pytest.mark.parametrize("text", ["[]", "null", '"a"', "3"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_json(json.loads(text))
