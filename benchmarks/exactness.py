"""Has a hit the bits of a cold run? Many pairs of real text, through the whole engine.

A case is a prompt B: a stretch of some document, of log-uniform length. It is computed cold once;
then, in a fresh namespace for each route, something that shares its beginning is stored, and B is
answered from the cache. All of B's keys and values, and all of its logits, must have the bits of
that cold run. Beside it, stock transformers, going on after a `DynamicCache` of what is shared.

    python -m benchmarks.exactness --pairs 1000 --peer-pairs 100 --resume build/exactness.jsonl

Each finished case is written to the file that `--resume` names, and not computed again. The last
line says how many pairs were equal; the exit status is 1 unless all were.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.common.cases import Case, Texts, make_cases
from benchmarks.common.documents import find_documents
from prefix_engine.engine import Engine, Prefill, Request
from prefix_engine.loading import load_engine
from prefix_engine.settings import MIB, Settings

REPLY_TOKENS = 12
NAMESPACE = "exactness"
BUDGET_BYTES = 2048 * MIB
PAIRS_A_CASE = 4
LONG = 3000
SLACK = 2 * 64
"""Tokens that a prompt may have beyond the longest one, for its tail."""


class Route(StrEnum):
    """How B's beginning came into the cache."""

    REPEAT = "B itself, so that one token is computed"
    REPLY = "an earlier turn and the reply that was generated to it"
    OTHER = "a prompt that ends otherwise"
    BRANCHES = "two prompts that leave B at different places"
    EVICTED = "B itself, of which a part was evicted"


@dataclass(frozen=True)
class Pair:
    """What became of one hit; `peer_equal` is None where transformers was not asked."""

    case: int
    document: str
    route: str
    tokens: int
    reused: int
    kv_equal: bool
    logits_equal: bool
    peer_equal: bool | None

    @property
    def equal(self) -> bool:
        return self.kv_equal and self.logits_equal


class Check:
    """The pairs of one case."""

    def __init__(self, engine: Engine, texts: Texts, case: Case, peer: Peer | None) -> None:
        self._engine = engine
        self._texts = texts
        self._case = case
        self._peer = peer
        self._dice = random.Random(case.number)

    def pairs(self) -> Iterator[Pair]:
        """A case's four pairs: every fourth case has a generated reply in place of a repeat."""
        first = Route.REPLY if self._case.number % 4 == 3 else Route.REPEAT
        b = self._first_turn() if first is Route.REPLY else self._part(self._case.tokens)
        with self._engine.request(b, read=False, store=False) as cold:
            for route in (first, Route.OTHER, Route.BRANCHES, Route.EVICTED):
                # a reply is in the cache already, others start from nothing
                if route is not Route.REPLY:
                    self._engine.cache.clear()
                    self._store(route, b)
                yield self._compare(route, b, cold)

    def _first_turn(self) -> str:
        """Half of the text, answered and kept; returns it with the reply and what comes next."""
        self._engine.cache.clear()
        turn = self._part(max(1, self._case.tokens // 2))
        steps = self._engine.generate(turn, namespace=NAMESPACE, max_new_tokens=REPLY_TOKENS)
        return turn + "".join(step.text for step in steps) + self._case.tail

    def _store(self, route: Route, b: str) -> None:
        cut = self._cut()
        if route is Route.OTHER:
            self._keep(self._part(cut) + self._case.tail)
        if route is Route.BRANCHES:
            self._keep(self._part(max(1, cut // 2)) + self._case.tail)
            self._keep(self._part(cut) + "\n" + self._case.tail)
        if route is Route.EVICTED:
            self._keep(self._part(cut) + self._case.tail)
        if route in (Route.REPEAT, Route.EVICTED):
            self._keep(b)
        if route is Route.EVICTED:
            self._engine.cache.evict(self._engine.cache.stats.stored_tokens - cut)

    def _compare(self, route: Route, b: str, cold: Request) -> Pair:
        with self._engine.request(b, namespace=NAMESPACE, store=False) as hit:
            n = len(hit.prefill.ids)
            kv = zip(hit.slab.kv.unbind(1), cold.slab.kv.unbind(1), strict=True)
            return Pair(
                case=self._case.number,
                document=self._case.document.name,
                route=route.name,
                tokens=n,
                reused=hit.prefill.reused,
                kv_equal=all(same_bits(one[:, :, :n], other[:, :, :n]) for one, other in kv),
                logits_equal=same_bits(hit.prefill.logits, cold.prefill.logits),
                peer_equal=self._ask_peer(hit.prefill),
            )

    def _ask_peer(self, hit: Prefill) -> bool | None:
        return self._peer.is_exact(hit.ids, hit.reused) if self._peer else None

    def _keep(self, prompt: str) -> None:
        self._engine.prefill(prompt, namespace=NAMESPACE)

    def _part(self, tokens: int) -> str:
        return self._texts.cut(self._case.document, self._case.start, tokens)

    def _cut(self) -> int:
        """Where to leave B: the number of tokens after it is log-uniform, too."""
        after = math.exp(self._dice.uniform(0, math.log(self._case.tokens - 1)))
        return max(1, self._case.tokens - round(after))


class Peer:
    """Stock transformers over the same weights, in the same precision."""

    def __init__(self, settings: Settings) -> None:
        from benchmarks.peers.stock import stock_network
        from prefix_engine.model.precision import choose_precision
        from prefix_engine.model.weights import ensure_weights

        weights = ensure_weights(choose_precision(settings.precision).chosen)
        self._network: Any = stock_network(weights.safetensors)
        self._cold: tuple[tuple[int, ...], Tensor, Any] | None = None

    @torch.inference_mode()
    def is_exact(self, ids: tuple[int, ...], reused: int) -> bool:
        """Whether going on after a prefix, prefilled in one pass, gives a cold run's bits."""
        if self._cold is None or self._cold[0] != ids:
            self._cold = (ids, *self._run(ids, None))
        _, cold_logits, cold = self._cold
        past = self._run(ids[:reused], None)[1] if reused else None
        logits, hit = self._run(ids[reused:], past)
        layers = zip(hit.layers, cold.layers, strict=True)
        return same_bits(logits, cold_logits) and all(
            same_bits(one.keys, other.keys) and same_bits(one.values, other.values)
            for one, other in layers
        )

    def _run(self, ids: Sequence[int], past: Any) -> tuple[Tensor, Any]:
        output = self._network(
            torch.tensor([ids]), past_key_values=past, use_cache=True, logits_to_keep=1
        )
        return output.logits[0, -1], output.past_key_values


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of the same numbers are the same to the bit: -0 is not 0."""
    bits = torch.int16 if one.dtype.itemsize == 2 else torch.int32
    return torch.equal(one.contiguous().view(bits), other.contiguous().view(bits))


class Journal:
    """The finished cases, one pair a line after a line that says what they are pairs of."""

    def __init__(self, path: Path | None, setup: dict[str, Any]) -> None:
        """Raises ValueError if the file holds pairs of another setup."""
        self._path = path
        self.pairs: list[Pair] = []
        lines = path.read_text("utf-8").splitlines() if path and path.exists() else []
        if lines and json.loads(lines[0]) != setup:
            raise ValueError(f"{path} holds pairs of another setup: {lines[0]}")
        # the last line may have been cut short
        whole = [line for line in lines[1:] if line.endswith("}")]
        pairs = [Pair(**json.loads(line)) for line in whole]
        counted = Counter(pair.case for pair in pairs)
        self.finished = {case for case, count in counted.items() if count == PAIRS_A_CASE}
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(setup) + "\n", encoding="utf-8")
        self.add(pair for pair in pairs if pair.case in self.finished)

    def add(self, pairs: Iterable[Pair]) -> None:
        more = list(pairs)
        self.pairs += more
        if self._path:
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(asdict(pair)) + "\n" for pair in more)


def summary(pairs: Sequence[Pair]) -> str:
    """The last line: a pair is equal if all its keys, values and logits are."""
    peer = [pair.peer_equal for pair in pairs if pair.peer_equal is not None]
    return (
        f"equal bits: {sum(pair.equal for pair in pairs)} of {len(pairs)} "
        f"(stock transformers: {sum(peer)} of {len(peer)})"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the pairs that are asked for. Returns 0 if all were equal, else 1."""
    options = _options().parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    settings = replace(
        Settings.from_environment(),
        max_prompt_tokens=options.max_tokens + SLACK,
        kv_budget_bytes=BUDGET_BYTES,
        kv_budget_each_bytes=BUDGET_BYTES,
    )
    engine = load_engine(settings)
    texts = Texts(engine.tokenizer, find_documents())
    cases = make_cases(texts, -(-options.pairs // PAIRS_A_CASE), options.max_tokens, options.seed)
    info = engine.model.info
    journal = Journal(
        options.resume,
        {
            "pairs": options.pairs,
            "seed": options.seed,
            "max_tokens": options.max_tokens,
            "peer_pairs": options.peer_pairs,
            "threads": torch.get_num_threads(),
            "weights_sha256": info.weights_sha256,
            "precision": info.precision,
            "block_size": engine.cache.block_size,
        },
    )
    names = {case.document.name for case in cases}
    print(f"{info.label}, {info.precision}, {torch.get_num_threads()} threads: {info.exact}")
    print(f"{len(names)} documents:", *sorted(names), sep="\n  ")
    asked = [case for case in cases if case.number < -(-options.peer_pairs // PAIRS_A_CASE)]
    peer = Peer(settings) if asked else None
    for case in cases:
        if case.number not in journal.finished:
            began = time.perf_counter()
            made = list(Check(engine, texts, case, peer if case in asked else None).pairs())
            journal.add(made)
            _tell(case, made, time.perf_counter() - began)
    pairs = journal.pairs[: options.pairs]
    longest = sum(pair.tokens >= LONG for pair in pairs)
    print(f"{longest} pairs of {LONG:,} tokens and more")
    print(summary(pairs))
    return 0 if all(pair.equal for pair in pairs) else 1


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exactness", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--pairs", type=int, default=40, metavar="N")
    parser.add_argument("--peer-pairs", type=int, default=0, metavar="N")
    parser.add_argument("--max-tokens", type=int, default=4096, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--threads", type=int, metavar="N", help="what torch chooses, if not given")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="keep finished cases there")
    return parser


def _tell(case: Case, pairs: Sequence[Pair], seconds: float) -> None:
    print(
        f"{case.number:4d} {pairs[0].tokens:5,} tokens {seconds:6.1f} s",
        *(
            f"{pair.route.lower()} {pair.reused}{'' if pair.equal else ' DIFFERS'}"
            for pair in pairs
        ),
        case.document.name,
        sep=" | ",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
