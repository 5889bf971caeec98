"""Time to first token beside other runtimes: `python -m benchmarks.ttft`; a run takes a while.

The same token ids of real English, the same weights, two threads each; all runtimes take turns in
random order within every round, so that a disturbance of the machine hits them alike. Timed is from
the ids in hand to the first token id out. A prefix that is shared lies in each runtime's KV before;
what it does to get ready for the next request is not timed. See `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open

from benchmarks.common.places import find_gguf
from benchmarks.common.results import Spread, add_json_option, header, report, write
from benchmarks.common.texts import english
from benchmarks.peers.base import Answer, Peer, PeerMissing
from benchmarks.peers.ceilings import Ceilings, Work, measure_ceilings
from benchmarks.peers.engine import ENGINE, FAST, LONG_WAITS, OWN, SUFFIX_ONLY, EnginePeer
from benchmarks.peers.llamacpp import LlamaCppPeer
from benchmarks.peers.stock import StockPeer
from benchmarks.peers.table import CaseResult, Result, show
from benchmarks.peers.targets import judge
from benchmarks.peers.worker import Environ, Worker
from prefix_engine.model.geometry import LlamaGeometry
from prefix_engine.model.info import Precision
from prefix_engine.model.precision import DTYPES, choose_precision
from prefix_engine.model.weights import LocalWeights, ensure_weights
from prefix_engine.tokenizer import VocabularyTokenizer
from prefix_engine.vocabulary import Vocabulary

THREADS = 2
MOST_TOKENS = 2304
PACKAGES = ("transformers", "llama-cpp-python", "numpy")

OPENMP_DEFAULT = {"GOMP_SPINCOUNT": "300000", "OMP_WAIT_POLICY": None}
PEERS_OWN = {
    **OPENMP_DEFAULT,
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024",
    "LRU_CACHE_CAPACITY": "1024",
    "MALLOC_ARENA_MAX": "16",
}
"""What a peer would have, had this project not set these variables for itself."""
"""libgomp's own number where nothing is set, and no policy. `prefix_engine` sets short waits when
it is imported, for the app's sake; the peers must not be slowed by that."""


@dataclass(frozen=True)
class Case:
    """`new` tokens after `shared` ones that are in the cache; timed `rounds` times."""

    shared: int
    new: int
    rounds: int

    @property
    def name(self) -> str:
        return f"{self.shared}+{self.new}" if self.shared else f"cold-{self.new}"


CASES = (
    Case(0, 64, 9),
    Case(0, 256, 7),
    Case(0, 1024, 5),
    Case(0, 2048, 3),
    *(
        Case(shared, new, rounds)
        for shared in (256, 1024, 2048)
        for new, rounds in ((1, 15), (16, 11), (64, 9))
    ),
)


@dataclass(frozen=True)
class Contestant:
    """One setting of one runtime."""

    worker: Worker
    setting: str

    def hold(self, ids: Sequence[int]) -> None:
        self.worker.hold(self.setting, ids)

    def answer(self, ids: Sequence[int]) -> Answer:
        return self.worker.answer(self.setting, ids)


def time_cases(
    contestants: Sequence[Contestant],
    cases: Sequence[Case],
    ids: Sequence[int],
    between: Callable[[Case], None],
) -> list[dict[str, list[Answer]]]:
    """The answers of each case, by setting; `between` is called before each case."""
    dice = random.Random(0)
    held: tuple[int, ...] | None = None
    timed = []
    for case in cases:
        between(case)
        prefix, prompt = tuple(ids[: case.shared]), list(ids[: case.shared + case.new])
        if prefix != held:
            for one in contestants:
                one.hold(prefix)
            held = prefix
        for one in contestants:
            one.answer(prompt)  # a round that is thrown away
        answers: dict[str, list[Answer]] = {one.setting: [] for one in contestants}
        for _ in range(case.rounds):
            for one in dice.sample(contestants, len(contestants)):
                answers[one.setting].append(one.answer(prompt))
        timed.append(answers)
    return timed


def case_result(
    case: Case, answers: dict[str, list[Answer]], work: Work, ceilings: Ceilings
) -> CaseResult:
    seconds = {name: Spread.of([a.seconds for a in made]) for name, made in answers.items()}
    medians = {name: spread.median_s for name, spread in seconds.items()}
    peers = {name: median for name, median in medians.items() if name not in OWN}
    fastest = min(peers, key=lambda name: peers[name]) if peers else None
    least_s = work.least_s(ceilings)
    return CaseResult(
        case=case.name,
        shared=case.shared,
        new=case.new,
        seconds=seconds,
        first_ids={name: statistics.mode(a.first_id for a in x) for name, x in answers.items()},
        fastest_peer=fastest,
        ratios={name: m / peers[fastest] for name, m in medians.items()} if fastest else {},
        roofline_s=least_s,
        roofline_share=least_s / medians[ENGINE] if ENGINE in medians else None,
        verdicts=judge(case.name, case.shared, case.new, medians),
    )


def start_workers(
    weights: LocalWeights, precision: Precision, names: Sequence[str], stack: ExitStack
) -> tuple[list[Contestant], dict[str, str]]:
    """Start the runtimes one after another; those that can't be had, with the reason."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="first-difference-")))
    ways: dict[str, tuple[Callable[..., Peer], tuple[object, ...], Environ]] = {
        "engine": (EnginePeer, (precision, MOST_TOKENS, (ENGINE, SUFFIX_ONLY)), {}),
        "fast": (EnginePeer, (precision, MOST_TOKENS, (FAST,)), {}),
        "long-waits": (
            EnginePeer,
            (precision, MOST_TOKENS, (LONG_WAITS,)),
            OPENMP_DEFAULT,
        ),
        "transformers": (StockPeer, (weights.safetensors, precision), PEERS_OWN),
        "llama.cpp": (
            LlamaCppPeer,
            (find_gguf(), folder, MOST_TOKENS, THREADS),
            PEERS_OWN,
        ),
    }
    contestants: list[Contestant] = []
    missing: dict[str, str] = {}
    for name in names:
        make, arguments, environ = ways[name]
        try:
            environ = {**environ, "OMP_NUM_THREADS": str(THREADS)}
            worker = stack.enter_context(Worker(make, arguments, environ))
        except PeerMissing as reason:
            missing[name] = str(reason)
            _tell(f"{name} is missing: {reason}")
            continue
        contestants += [Contestant(worker, setting) for setting in worker.settings]
    return contestants, missing


def measure(names: Sequence[str], cases: Sequence[Case]) -> Result:
    precision = choose_precision().chosen
    weights = ensure_weights()
    with safe_open(weights.safetensors, framework="pt") as file:
        geometry = LlamaGeometry.from_metadata(file.metadata())
    dtype = DTYPES[precision]
    ids = VocabularyTokenizer(Vocabulary.read(weights.vocabulary)).encode(english())
    torch.set_num_threads(THREADS)
    ceilings = measure_ceilings(dtype)

    def between(case: Case) -> None:
        nonlocal ceilings
        ceilings = ceilings.best_of(measure_ceilings(dtype))
        _tell(f"{case.name}, {case.rounds} rounds")

    with ExitStack() as stack:
        contestants, missing = start_workers(weights, precision, names, stack)
        exact = next((one.worker.exact() for one in contestants if one.setting == ENGINE), None)
        timed = time_cases(contestants, cases, ids, between)
    works = [Work.of(geometry, case.shared, case.new, dtype.itemsize) for case in cases]
    return Result(
        model=weights.label,
        weights_sha256=weights.gguf_sha256,
        precision=precision,
        exact=exact,
        threads=THREADS,
        missing=missing,
        ceilings=ceilings,
        cases=[
            case_result(case, answers, work, ceilings)
            for case, answers, work in zip(cases, timed, works, strict=True)
        ],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    names = ("engine", "fast", "long-waits", "transformers", "llama.cpp")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ttft", description=__doc__)
    parser.add_argument(
        "--cases", metavar="NAME,…", help=f"of {', '.join(case.name for case in CASES)}"
    )
    parser.add_argument("--rounds", type=int, help="instead of each case's own number")
    parser.add_argument("--peers", metavar="NAME,…", help=f"of {', '.join(names)}")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    chosen = _among(parser, options.peers, names)
    wanted = _among(parser, options.cases, [case.name for case in CASES])
    cases = [
        Case(case.shared, case.new, options.rounds or case.rounds)
        for case in CASES
        if case.name in wanted
    ]
    made = report("ttft", measure(chosen, cases), PACKAGES)
    print(header(made))
    show(made.result)
    write(made, options.json)
    return 0


def _among(
    parser: argparse.ArgumentParser, given: str | None, names: Sequence[str]
) -> Sequence[str]:
    chosen = given.split(",") if given else list(names)
    for name in chosen:
        if name not in names:
            parser.error(f"{name!r} is none of {', '.join(names)}")
    return chosen


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
