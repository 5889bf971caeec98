from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from benchmarks import ttft
from benchmarks.peers import ceilings
from benchmarks.peers.base import Answer, Peer, PeerMissing
from benchmarks.peers.ceilings import Ceilings, Work
from benchmarks.peers.engine import ENGINE, FAST, SUFFIX_ONLY, EnginePeer
from benchmarks.peers.stock import NAME as TRANSFORMERS
from benchmarks.peers.targets import judge
from benchmarks.peers.worker import Worker
from benchmarks.ttft import Case, Contestant, time_cases
from prefix_engine.model.geometry import LlamaGeometry
from tests.tiny_engine import GEOMETRY, tiny_engine, tiny_tensors

pytestmark = pytest.mark.usefixtures("one_thread")


class Slow(Peer):
    """Takes a second for each token that is not held; tells the environment as first id."""

    settings = ("slow", "slower")

    def __init__(self, variable: str) -> None:
        self._told = int(os.environ[variable])
        self._held: dict[str, Sequence[int]] = {}

    def hold(self, setting: str, ids: Sequence[int]) -> None:
        self._held[setting] = ids

    def answer(self, setting: str, ids: Sequence[int]) -> Answer:
        held = self._held[setting]
        assert list(held) == list(ids[: len(held)]), "another prefix is held"
        return Answer(len(ids) - len(held), self._told)


class Missing(Slow):
    def __init__(self, variable: str) -> None:
        raise PeerMissing("it is not here")


class Dying(Slow):
    def __init__(self, variable: str) -> None:
        os._exit(7)


SET = {"FIRST_DIFFERENCE_TEST": "41"}


def test_a_worker_has_its_own_environment_and_leaves_ours_alone() -> None:
    with Worker(Slow, ["FIRST_DIFFERENCE_TEST"], SET) as worker:
        assert worker.settings == ("slow", "slower")
        worker.hold("slow", [1, 2])
        assert worker.answer("slow", [1, 2, 3]) == Answer(1, 41)
    assert "FIRST_DIFFERENCE_TEST" not in os.environ


def test_a_worker_lacks_what_must_not_be_set_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_DIFFERENCE_TEST", "40")
    with pytest.raises(RuntimeError, match="KeyError: 'FIRST_DIFFERENCE_TEST'"):
        Worker(Slow, ["FIRST_DIFFERENCE_TEST"], {"FIRST_DIFFERENCE_TEST": None})
    assert os.environ["FIRST_DIFFERENCE_TEST"] == "40"


def test_the_peers_do_not_inherit_the_short_waits_of_the_app() -> None:
    assert os.environ["OMP_WAIT_POLICY"] == "passive"  # set by prefix_engine
    assert ttft.OPENMP_DEFAULT["OMP_WAIT_POLICY"] is None
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        assert int(ttft.PEERS_OWN[name] or 0) > int(os.environ[name])  # set by prefix_engine
    assert ttft.OPENMP_DEFAULT["GOMP_SPINCOUNT"] != os.environ["GOMP_SPINCOUNT"]


def test_a_fault_in_a_worker_is_told_with_its_traceback_and_the_worker_goes_on() -> None:
    with Worker(Slow, ["FIRST_DIFFERENCE_TEST"], SET) as worker:
        worker.hold("slow", [9])
        with pytest.raises(RuntimeError, match=r"(?s)Traceback.*another prefix is held"):
            worker.answer("slow", [1, 2])
        assert worker.answer("slow", [9, 2]).seconds == 1


@pytest.mark.parametrize(
    ("kind", "reason"), [(Missing, "it is not here"), (Dying, "ended with status 7")]
)
def test_a_peer_that_can_not_be_made_is_missing_with_the_reason(
    kind: type[Peer], reason: str
) -> None:
    with pytest.raises(PeerMissing, match=reason):
        Worker(kind, ["FIRST_DIFFERENCE_TEST"], SET)


def test_every_setting_answers_every_case_with_just_its_prefix_held() -> None:
    cases = [Case(0, 4, 2), Case(3, 1, 3), Case(3, 2, 3), Case(0, 1024, 1)]
    begun: list[str] = []
    with Worker(Slow, ["FIRST_DIFFERENCE_TEST"], SET) as worker:
        both = [Contestant(worker, setting) for setting in worker.settings]
        timed = time_cases(both, cases, range(2000), lambda case: begun.append(case.name))
    assert begun == ["cold-4", "3+1", "3+2", "cold-1024"]
    assert [
        {name: [answer.seconds for answer in made] for name, made in answers.items()}
        for answers in timed
    ] == [{name: [case.new] * case.rounds for name in worker.settings} for case in cases]


class Noting(Peer):
    """Notes who is asked, in this process."""

    settings = ("one", "two", "three")

    def __init__(self) -> None:
        self.asked: list[str] = []

    def hold(self, setting: str, ids: Sequence[int]) -> None:
        self.asked.append("hold")

    def answer(self, setting: str, ids: Sequence[int]) -> Answer:
        self.asked.append(setting)
        return Answer(float(len(self.asked)), 0)


def test_each_round_has_an_order_of_its_own_and_the_first_one_is_thrown_away() -> None:
    peer = Noting()
    contestants = [Contestant(peer, setting) for setting in peer.settings]  # type: ignore[arg-type]
    (timed,) = time_cases(contestants, [Case(0, 4, 9)], range(9), lambda case: None)
    asked = [name for name in peer.asked if name != "hold"]
    rounds = [tuple(asked[i : i + 3]) for i in range(0, len(asked), 3)]
    assert len(rounds) == 10 and all(sorted(one) == sorted(peer.settings) for one in rounds)
    assert len(set(rounds[1:])) > 1
    discarded = {float(i) for i in range(1, 7)}  # three holds, then a round
    assert not discarded & {a.seconds for answers in timed.values() for a in answers}


def test_ratios_are_of_the_fastest_setting_that_is_not_this_engine() -> None:
    answers = {
        name: [Answer(seconds, 0)]
        for name, seconds in {ENGINE: 1.0, SUFFIX_ONLY: 0.5, "peer": 4.0, "other": 2.0}.items()
    }
    made = ttft.case_result(Case(0, 4, 1), answers, Work(1.0, 1.0), Ceilings(4.0, 4.0))
    assert made.fastest_peer == "other"
    assert made.ratios == {ENGINE: 0.5, SUFFIX_ONLY: 0.25, "peer": 2.0, "other": 1.0}
    assert made.roofline_share == 0.25


def test_a_ceiling_is_what_a_product_and_a_reading_take(monkeypatch: pytest.MonkeyPatch) -> None:
    took = iter([2.0, 0.5])
    monkeypatch.setattr(ceilings, "_shortest", lambda work: next(took))
    monkeypatch.setattr(ceilings, "SIDE", 100)
    found = ceilings.measure_ceilings(torch.float32)
    assert found.flop_per_s == 100 * 100 * (2 * 100) / 2.0  # each number: 100 products, 100 sums
    assert found.read_bytes_per_s == ceilings.READ_BYTES / 0.5


def test_the_engine_peer_reuses_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr("benchmarks.peers.engine.load_engine", lambda settings: tiny_engine())
    peer = EnginePeer("f32", 100, (ENGINE, SUFFIX_ONLY))
    ids = [10 + i * 7 % 90 for i in range(50)]
    found = set()
    for held in (0, 20, 49):
        for setting in peer.settings:
            peer.hold(setting, ids[:held])
            found |= {peer.answer(setting, ids).first_id for _ in range(2)}
    assert len(found) == 1
    peer.hold(ENGINE, ids[:20])
    with pytest.raises(AssertionError, match="reused 19 tokens of 20"):
        peer.answer(ENGINE, [*ids[:19], 5, 6])


def test_stock_transformers_gets_the_converted_weights_and_crops_back(
    tmp_path: Path,
) -> None:
    from safetensors.torch import save_file

    from benchmarks.peers.stock import StockPeer

    path = tmp_path / "tiny.safetensors"
    save_file(tiny_tensors(), path, metadata=GEOMETRY.to_metadata())
    peer, engine = StockPeer(path, "f32"), tiny_engine()
    ids = [10 + i * 7 % 90 for i in range(50)]
    slab = engine.model.new_slab(50)
    expected = int(engine.model.forward(ids, slab, 0).argmax())
    for held in (0, 20, 49):
        peer.hold(TRANSFORMERS, ids[:held])
        assert [peer.answer(TRANSFORMERS, ids).first_id for _ in range(3)] == [expected] * 3


def test_the_least_work_is_that_of_the_matrices_and_of_the_pairs_of_tokens() -> None:
    one = LlamaGeometry(
        layers=1,
        heads=2,
        kv_heads=1,
        head_dim=3,
        hidden=6,
        intermediate=10,
        vocabulary=100,
        context_length=64,
        rope_base=1e4,
        norm_eps=1e-5,
    )
    weights = 6 * 6 + 2 * 6 * 3 + 6 * 6 + 3 * 6 * 10  # query, key and value, output; the MLP
    work = Work.of(one, shared=5, new=2, bytes_per_number=4)
    pairs = 6 + 7
    assert work.flop == 2 * (2 * weights + 600) + 2 * 2 * 6 * pairs
    assert work.read_bytes == 4 * (weights + 600 + 2 * 3 * 5)
    assert work.least_s(Ceilings(work.flop, 1e12)) == 1
    assert work.least_s(Ceilings(1e12, work.read_bytes / 3)) == 3


MEDIANS = {ENGINE: 0.9, SUFFIX_ONLY: 0.85, TRANSFORMERS: 2.0}
LLAMA = {"llama.cpp Q4_0": 1.0, "llama.cpp BF16 flash": 0.8}


def judged(shared: int, new: int, medians: dict[str, float]) -> list[tuple[object, ...]]:
    verdicts = judge("case", shared, new, medians)
    return [(v.against, v.fastest, v.limit, v.met) for v in verdicts]


def test_a_target_is_held_against_the_fastest_setting_of_the_peer() -> None:
    assert judged(0, 256, MEDIANS | LLAMA) == [
        ("llama.cpp", "llama.cpp BF16 flash", 0.75, False),
        ("transformers", "transformers", 0.85, True),
    ]
    assert judged(256, 1, MEDIANS | LLAMA) == [
        ("llama.cpp", "llama.cpp BF16 flash", 2.0, True),
        ("llama.cpp", None, 1.3, None),
        ("transformers", "transformers", 0.5, True),
        ("its suffix alone", SUFFIX_ONLY, 1.10, True),
    ]
    assert [limit for _, _, limit, _ in judged(2048, 16, MEDIANS | LLAMA)] == [0.90, 1.10]
    assert [limit for _, _, limit, _ in judged(2048, 64, MEDIANS | LLAMA)] == [0.70, 1.10]
    assert judged(0, 64, MEDIANS | LLAMA) == []


def test_the_fast_mode_has_a_target_of_its_own() -> None:
    verdict = judge("case", 256, 1, {**MEDIANS, **LLAMA, FAST: 1.0})[1]
    assert (verdict.whose, verdict.limit, verdict.ratio) == (FAST, 1.3, 1.0 / 0.8)


def test_a_target_against_a_missing_peer_is_not_judged() -> None:
    assert judged(0, 256, MEDIANS) == [
        ("llama.cpp", None, 0.75, None),
        ("transformers", "transformers", 0.85, True),
    ]
    assert "not judged" in str(judge("cold-256", 0, 256, MEDIANS)[0])


@pytest.mark.parametrize("option", ["--cases=cold-3", "--peers=engine,other"])
def test_an_unknown_case_or_peer_is_refused(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        ttft.main([option])
    assert "is none of" in capsys.readouterr().err
