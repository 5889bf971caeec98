"""Has a hit the bits of a cold run? Many pairs of real text, through the whole engine.

A case is a prompt B: a stretch of some document, of log-uniform length. It is computed cold once;
then, in a fresh namespace, prompts that leave B at one place after another are stored, B itself is,
and all but a last such prompt are evicted. After each of these steps B is answered from the cache:
a pair.
All of B's keys and values, and all of its logits, must have the bits of the cold run. Beside it,
stock transformers, going on after a `DynamicCache` of what is shared.

    python -m benchmarks.exactness --pairs 1000 --peer-pairs 100 --resume build/exactness.jsonl

Each finished case is written to the file that `--resume` names, and not computed again. The last
line says how many pairs were equal; the exit status is 1 unless all were.
"""

from __future__ import annotations

import argparse
import hashlib
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

import prefix_engine
from benchmarks.common.cases import Case, Texts, make_cases
from benchmarks.common.documents import find_documents
from prefix_engine.engine import Engine, Prefill, Request
from prefix_engine.loading import load_engine
from prefix_engine.settings import MIB, Settings

PACKAGE = Path(prefix_engine.__file__).parent
CODE = ("engine.py", "tokenizer.py", "cache/*.py", "model/*.py")
"""What pairs are a check of; where it has changed, finished ones are no longer one."""

REPLY_TOKENS = 12
NAMESPACE = "exactness"
BUDGET_BYTES = 2048 * MIB
PAIRS_A_CASE = 5
LONG = 3000
SLACK = 2 * 64
"""Tokens that a prompt may have beyond the longest one, for its tail."""


class Route(StrEnum):
    """How B's beginning came into the cache."""

    REPLY = "an earlier turn and the reply that was generated to it"
    OTHER = "a prompt that ends otherwise"
    BRANCH = "one more prompt that ends otherwise, going on after what those before it left"
    REPEAT = "B itself, so that one token is computed"
    EVICTED = "one more prompt that ends otherwise, after which all others were evicted"


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
    """The pairs of one case; transformers is asked for `asked` of them, others in each case."""

    def __init__(
        self, engine: Engine, texts: Texts, case: Case, peer: Peer | None = None, asked: int = 0
    ) -> None:
        self._engine = engine
        self._texts = texts
        self._case = case
        self._peer = peer
        self._asked = asked
        self._with_reply = case.number % 4 == 3
        self._own = case.tokens // 2 if self._with_reply else case.tokens

    def pairs(self) -> Iterator[Pair]:
        """A case's pairs: in every fourth case the first one goes on after a reply."""
        b = self._first_turn() if self._with_reply else self._part(self._own)
        with self._engine.request(b, read=False, store=False) as cold:
            for i, (route, cut) in enumerate(self._steps()):
                self._prepare(route, cut, b)
                turn = (i - self._case.number) % PAIRS_A_CASE
                yield self._compare(route, b, cold, asked=turn < self._asked)

    def _steps(self) -> list[tuple[Route, int]]:
        before = [Route.OTHER, Route.BRANCH] + [Route.BRANCH] * (not self._with_reply)
        *cuts, last = self._choose_cuts(len(before) + 1)
        return [
            *([(Route.REPLY, self._own)] if self._with_reply else []),
            *zip(before, sorted(cuts), strict=True),
            (Route.REPEAT, self._own),
            (Route.EVICTED, last),
        ]

    def _first_turn(self) -> str:
        """Half of the text, answered and kept; returns it with the reply and what comes next."""
        self._engine.cache.clear()
        turn = self._part(self._own)
        steps = self._engine.generate(turn, namespace=NAMESPACE, max_new_tokens=REPLY_TOKENS)
        return turn + "".join(step.text for step in steps) + self._case.tail

    def _prepare(self, route: Route, cut: int, b: str) -> None:
        cache = self._engine.cache
        if route is Route.OTHER:
            cache.clear()
        if route in (Route.OTHER, Route.BRANCH, Route.EVICTED):
            newest = self._keep(self._part(cut) + self._case.tail)
        if route is Route.REPEAT:
            self._keep(b)
        if route is Route.EVICTED:
            cache.evict(cache.stats.stored_tokens - newest)

    def _compare(self, route: Route, b: str, cold: Request, asked: bool) -> Pair:
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
                peer_equal=self._ask_peer(hit.prefill) if asked else None,
            )

    def _ask_peer(self, hit: Prefill) -> bool | None:
        return self._peer.is_exact(hit.ids, hit.reused) if self._peer else None

    def _keep(self, prompt: str) -> int:
        """Store a prompt; returns its tokens."""
        return len(self._engine.prefill(prompt, namespace=NAMESPACE).ids)

    def _part(self, tokens: int) -> str:
        return self._texts.cut(self._case.document, self._case.start, tokens)

    def _choose_cuts(self, count: int) -> list[int]:
        """Where to leave the text: how many tokens come after a cut is log-uniform, too."""
        dice = random.Random(self._case.number)
        cuts: list[int] = []
        while len(cuts) < count:
            after = round(math.exp(dice.uniform(0, math.log(self._own - 1))))
            if after > 1 and self._own - after not in cuts:  # one token after it: the repeat
                cuts.append(self._own - after)
        return cuts


class Peer:
    """Stock transformers over the same weights, in the same precision."""

    def __init__(self, settings: Settings) -> None:
        from benchmarks.peers.stock import stock_network
        from prefix_engine.model.precision import choose_precision
        from prefix_engine.model.weights import ensure_weights

        precision = choose_precision(settings.precision).chosen
        self._network: Any = stock_network(ensure_weights().safetensors, precision)
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


def digest(parts: Iterable[bytes]) -> str:
    """The SHA-256 of all parts, one after another."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()


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
            "exact": info.exact,
            "torch": torch.__version__,
            "code_sha256": digest(
                one.read_bytes() for name in CODE for one in sorted(PACKAGE.glob(name))
            ),
            "texts_sha256": digest(one.text.encode() for one in texts.documents),
        },
    )
    names = {case.document.name for case in cases}
    print(f"{info.label}, {info.precision}, {torch.get_num_threads()} threads: {info.exact}")
    print(f"{len(names)} documents:", *sorted(names), sep="\n  ")
    peer = Peer(settings) if options.peer_pairs else None
    for case in cases:
        if case.number not in journal.finished:
            began = time.perf_counter()
            asked = (options.peer_pairs + len(cases) - 1 - case.number) // len(cases)
            made = list(Check(engine, texts, case, peer, asked).pairs())
            journal.add(made)
            _tell(case, made, time.perf_counter() - began)
    pairs = journal.pairs[: options.pairs]
    long = sum(pair.tokens >= LONG for pair in pairs)
    prompts = len({pair.case for pair in pairs})
    distinct = len({(pair.case, pair.reused) for pair in pairs})
    print(f"{prompts} prompts, {distinct} distinct cuts, {long} pairs of {LONG:,} tokens and more")
    print(
        *(f"{route} {count}" for route, count in Counter(p.route for p in pairs).items()), sep=", "
    )
    print(summary(pairs))
    return 0 if all(pair.equal for pair in pairs) else 1


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exactness", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--pairs", type=_positive, default=40, metavar="N")
    parser.add_argument("--peer-pairs", type=int, default=0, metavar="N")
    parser.add_argument("--max-tokens", type=int, default=4096, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--threads", type=int, metavar="N", help="what torch chooses, if not given")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="keep finished cases there")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


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
