from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import exactness
from benchmarks.common.cases import Texts, make_cases
from benchmarks.common.documents import Document
from benchmarks.exactness import PAIRS_A_CASE, Check, Journal, Pair, Route, same_bits, summary
from prefix_engine.engine import Engine
from prefix_engine.loading import load_engine
from prefix_engine.settings import Settings
from tests.tiny_engine import tiny_engine

DOCUMENTS = [Document(name, " ".join(f"{name}{i * i}" for i in range(99))) for name in "abc"]
PAIR = Pair(0, "a", "REPEAT", 9, 8, kv_equal=True, logits_equal=True, peer_equal=None)
SETUP = {"pairs": 8}


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The built-in model, as the benchmark has it."""
    return load_engine(Settings(max_prompt_tokens=512))


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_a_hit_has_the_bits_of_a_cold_run_whatever_way_its_beginning_came(engine: Engine) -> None:
    if engine.model.info.exact != "bits":
        pytest.skip("on this machine a hit's difference is measured, not promised to be none")
    texts = Texts(engine.tokenizer, DOCUMENTS)
    case = replace(make_cases(texts, 1, 60, seed=1)[0], tokens=45, start=0)
    for number in (0, 3):  # with a repeat, and with a generated reply
        pairs = list(Check(engine, texts, replace(case, number=number)).pairs())
        assert [pair.route for pair in pairs if not pair.equal] == []
        assert all(0 < pair.reused < pair.tokens for pair in pairs)
    assert pairs[0].route == "REPLY" and pairs[0].reused > 45 // 2 + 1  # tokens of the reply, too


def test_the_routes_reuse_what_they_say() -> None:
    texts = Texts(tiny_engine().tokenizer, DOCUMENTS)
    for case in make_cases(texts, 8, 200, seed=0):
        pairs = list(Check(tiny_engine(), texts, case).pairs())
        routes = [pair.route for pair in pairs]
        reused = [pair.reused for pair in pairs]
        assert len(pairs) == PAIRS_A_CASE
        assert routes[-2:] == ["REPEAT", "EVICTED"] and reused[-2] == pairs[0].tokens - 1
        if case.number % 4 == 3:
            assert routes[:3] == ["REPLY", "OTHER", "BRANCH"]
            assert case.tokens // 2 <= reused[0] < pairs[0].tokens - 1
            assert reused[1] <= reused[2] < case.tokens // 2
        else:
            assert routes[:3] == ["OTHER", "BRANCH", "BRANCH"]
            assert 0 < reused[0] <= reused[1] <= reused[2] < case.tokens - 1
        assert 0 < reused[-1] < case.tokens


def test_a_case_leaves_its_text_at_as_many_places_as_it_has_pairs() -> None:
    texts = Texts(tiny_engine().tokenizer, DOCUMENTS)
    for case in make_cases(texts, 8, 200, seed=0):
        cuts = [cut for _, cut in Check(tiny_engine(), texts, case)._steps()]
        expected = PAIRS_A_CASE - (case.number % 4 == 3)  # a reply begins where the repeat ends
        assert len(set(cuts)) == expected


def test_the_peer_is_asked_for_another_pair_in_each_case() -> None:
    class Yes:
        def is_exact(self, ids: tuple[int, ...], reused: int) -> bool:
            return True

    texts = Texts(tiny_engine().tokenizer, DOCUMENTS)
    asked = []
    for case in make_cases(texts, 5, 100, seed=0):
        pairs = Check(tiny_engine(), texts, case, Yes(), asked=1).pairs()  # type: ignore[arg-type]
        asked.append([pair.peer_equal for pair in pairs].index(True))
    assert sorted(asked) == [0, 1, 2, 3, 4]


def test_stored_kv_that_was_altered_is_not_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny_engine()
    texts = Texts(engine.tokenizer, DOCUMENTS)
    prepare = exactness.Check._prepare

    @torch.inference_mode()
    def prepare_and_alter(self: Check, route: Route, cut: int, b: str) -> None:
        prepare(self, route, cut, b)
        with engine.cache.pin(engine.tokenizer.encode(b), exactness.NAMESPACE) as lease:
            lease.segments[0].kv[1, 1, 0, 0, 0] += 1.0  # type: ignore[attr-defined]

    monkeypatch.setattr(Check, "_prepare", prepare_and_alter)
    case = make_cases(texts, 1, 100, seed=0)[0]
    assert not any(pair.kv_equal for pair in Check(engine, texts, case).pairs())


def test_lengths_are_spread_evenly_over_a_logarithmic_scale() -> None:
    texts = Texts(tiny_engine().tokenizer, DOCUMENTS)
    lengths = sorted(case.tokens for case in make_cases(texts, 50, 512, seed=0))
    assert 32 <= lengths[0] < 40 and lengths[-1] > 450
    assert 120 < lengths[25] < 137  # the geometric mean of 32 and 512 is 128


def test_minus_nothing_is_another_number_of_bits_than_nothing() -> None:
    assert not same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert same_bits(torch.tensor([float("nan")]), torch.tensor([float("nan")]))


@pytest.mark.parametrize("kv_equal", [True, False])
def test_a_pair_counts_as_equal_if_all_of_it_is(kv_equal: bool) -> None:
    other = replace(PAIR, peer_equal=True, kv_equal=kv_equal, logits_equal=not kv_equal)
    asked = replace(PAIR, peer_equal=False)
    assert summary([PAIR, other, asked]) == "equal bits: 2 of 3 (stock transformers: 1 of 2)"


def test_a_journal_gives_back_the_cases_that_were_finished(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    whole = [replace(PAIR, reused=i) for i in range(PAIRS_A_CASE)]
    Journal(path, SETUP).add([*whole, replace(PAIR, case=1)])
    with path.open("a", encoding="utf-8") as file:
        file.write('{"case": 2, "docu')  # as a run that was killed leaves it
    again = Journal(path, SETUP)
    assert (again.pairs, again.finished) == (whole, {0})
    assert Journal(path, SETUP).pairs == whole


def test_a_journal_of_another_setup_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "pairs.jsonl", SETUP)
    with pytest.raises(ValueError, match="another setup"):
        Journal(tmp_path / "pairs.jsonl", {"pairs": 9})


@pytest.mark.parametrize(("equal", "status"), [(True, 0), (False, 1)])
def test_the_exit_status_tells_whether_all_were_equal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], equal: bool, status: int
) -> None:
    monkeypatch.setattr(exactness, "load_engine", lambda settings: tiny_engine())
    monkeypatch.setattr(exactness, "find_documents", lambda: DOCUMENTS)
    monkeypatch.setattr(exactness, "same_bits", lambda one, other: equal)
    assert exactness.main(["--pairs", "6", "--max-tokens", "60"]) == status
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"equal bits: {6 if equal else 0} of 6 (stock transformers: 0 of 0)"
