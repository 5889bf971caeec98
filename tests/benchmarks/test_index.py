from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import index
from benchmarks.common.random_prompts import (
    OWN_TOKENS,
    SYSTEM_TOKENS,
    VOCABULARY,
    Prompts,
    altered,
    fresh,
)
from benchmarks.common.results import Spread
from prefix_engine.cache import RadixCache


def test_prompts_share_system_prompts_and_nothing_else_but_by_chance() -> None:
    prompts = Prompts()
    made = [prompts.next() for _ in range(400)]
    assert len(set(made)) == 400
    assert {len(ids) for ids in made} == {SYSTEM_TOKENS + OWN_TOKENS}
    assert len({ids[:SYSTEM_TOKENS] for ids in made}) == 100
    assert len({ids[: SYSTEM_TOKENS + 3] for ids in made}) == 400


def test_what_is_looked_up_has_the_same_ids_as_integers_of_its_own() -> None:
    ids = Prompts().next()
    own = fresh(ids)
    assert tuple(own) == ids
    assert all(a is not b for a, b in zip(own, ids, strict=True) if a > 256)
    other = altered(ids, 3)
    assert [i for i, (a, b) in enumerate(zip(other, ids, strict=True)) if a != b] == [3]
    assert other[3] == VOCABULARY


def test_each_kind_of_lookup_finds_what_its_name_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "LOOKUPS", 10)
    found = [cost.found for cost in index.lookups_by_stored((100, 1_000))]
    assert found == [SYSTEM_TOKENS + OWN_TOKENS, SYSTEM_TOKENS, 0] * 2


def test_a_tree_keeps_its_size_while_evictions_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[RadixCache] = []

    def remembered() -> RadixCache:
        made.append(RadixCache())
        return made[0]

    monkeypatch.setattr(index, "EVICTIONS", 50)
    monkeypatch.setattr(index, "RadixCache", remembered)
    assert len(index.evictions(200, in_use=20).seconds.all_s) == 50
    tokens = 100 * SYSTEM_TOKENS + 200 * OWN_TOKENS
    assert made[0].stats.evicted_tokens >= 50 * OWN_TOKENS
    assert abs(made[0].stats.stored_tokens - tokens) < 0.2 * tokens
    made[0].check_integrity()


def test_a_run_with_a_trace_shows_both_ways_of_counting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(index, "LOOKUPS", 8)
    monkeypatch.setattr(index, "EVICTIONS", 60)
    monkeypatch.setattr(index, "LENGTHS", (100,))
    request = {"timestamp": 0, "input_length": 600, "output_length": 1, "hash_ids": [0, 1]}
    trace, results = tmp_path / "trace.jsonl", tmp_path / "made" / "index.json"
    trace.write_text(f"{json.dumps(request)}\n" * 2)
    options = ["--most-prompts", "100", "--trace", str(trace), "--json", str(results)]
    assert index.main([*options, "--partial-last-block"]) == 0
    shown = capsys.readouterr().out
    assert "42.67%" in shown and "49.92%" in shown  # 512 and 599 of 1,200 tokens
    written = json.loads(results.read_text())
    assert written["benchmark"] == "index" and written["machine"]["versions"]["torch"]
    rates = [
        run["replay"]["hit_tokens"]
        for run in written["result"]["trace"]
        if run["replay"]["budget_blocks"] is None
    ]
    assert rates == [512, 512, 599, 599]


@pytest.mark.parametrize("content", [None, "not a trace"])
def test_a_trace_that_can_not_be_read_is_told_in_a_line(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trace.jsonl"
    if content is not None:
        path.write_text(content)
    assert index.main(["--trace", str(path)]) == 1
    told = capsys.readouterr()
    assert not told.out and len(told.err.splitlines()) == 1


def test_a_spread_has_the_median_and_the_quartiles() -> None:
    assert Spread.of([5.0, 1.0, 2.0, 3.0, 4.0]) == Spread(3.0, 2.0, 4.0, (5.0, 1.0, 2.0, 3.0, 4.0))
    assert Spread.of([7.0]) == Spread(7.0, 7.0, 7.0, (7.0,))
