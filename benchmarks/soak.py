"""Does memory stay flat? `python -m benchmarks.soak`: 10,000 random requests to one engine.

Each comes from a visitor of its own and takes its turn. Prompts share beginnings or don't, in many
namespaces, over a cache that is small enough to evict all the time; some requests are stopped half
way, refused as too long, go on to a reply, or are asked in a room; namespaces are cleared, rooms
opened and ended. Prints the resident memory as it goes; exits 1 if it grew.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Sequence
from contextlib import closing

import psutil

from benchmarks.common.texts import english
from prefix_engine.engine import Engine
from prefix_engine.errors import PromptTooLong, TextTooLong
from prefix_engine.loading import load_engine
from prefix_engine.room import Room, Rooms
from prefix_engine.settings import MIB, Settings
from prefix_engine.turns import ComputeSlot, Visit
from prefix_engine.watch import Watch

WARM_UP = 0.2
"""The part of the requests during which buffers still find their size."""
SAMPLE_EVERY = 50
SHOWN = 20
MAX_PROMPT_TOKENS = 256
NAMESPACES = 6
SYSTEM_PROMPTS = 12
SYSTEM_CHARACTERS, OWN_CHARACTERS = 250, 60


class Stopped(Exception):
    """A visitor who goes away."""


class Requests:
    """Random requests, the same for the same seed."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self._engine = engine
        self._dice = random.Random(seed)
        self._text = english()
        self._systems = [self._cut(SYSTEM_CHARACTERS) for _ in range(SYSTEM_PROMPTS)]
        self._slot = ComputeSlot()
        self._rooms = Rooms(self._forget)
        self._room = self._open_room()

    def serve_one(self, number: int) -> None:
        """One request, as it comes."""
        own = self._cut(self._dice.randrange(1, OWN_CHARACTERS))
        with closing(self._slot.visit(f"visitor {number}")) as visit:
            if self._dice.random() < 0.15:
                self._ask_in_room(visit, own)
                return
            with visit.turn():
                self._serve(self._dice.choice(self._systems) + own)

    def _serve(self, prompt: str) -> None:
        engine, dice = self._engine, self._dice
        namespace = f"namespace {dice.randrange(NAMESPACES)}"
        what = dice.random()
        if what < 0.03:
            engine.cache.clear(namespace)
        elif what < 0.06:
            list(engine.generate(prompt, namespace=namespace, max_new_tokens=3))
        elif what < 0.10:
            self._stopped(prompt, namespace)
        elif what < 0.12:
            self._too_long(namespace)
        else:
            engine.prefill(prompt, namespace=namespace, store=dice.random() < 0.8)

    def _ask_in_room(self, visit: Visit, question: str) -> None:
        if self._dice.random() < 0.05:
            self._room.end(self._room.host_key)
            self._room = self._open_room()
        if self._dice.random() < 0.05:
            self._room.salt(self._room.host_key, not self._room.board.salted)
        self._room.ask(visit.visitor, question, watch=Watch(visit.turn))

    def _open_room(self) -> Room:
        return self._rooms.open(self._dice.choice(self._systems), self._engine, "host")

    def _forget(self, namespace: str) -> bool:
        self._engine.cache.clear(namespace)
        return True

    def _stopped(self, prompt: str, namespace: str) -> None:
        def stop(done: int, of: int) -> None:
            raise Stopped

        try:
            self._engine.prefill(prompt, namespace=namespace, on_step=stop)
        except Stopped:
            return
        raise AssertionError("a request went on after its visitor had gone")

    def _too_long(self, namespace: str) -> None:
        try:
            length = self._dice.choice((10, 20)) * MAX_PROMPT_TOKENS
            self._engine.prefill(self._cut(length), namespace=namespace)
        except (PromptTooLong, TextTooLong):
            return
        raise AssertionError("a prompt over the limit was taken")

    def _cut(self, characters: int) -> str:
        start = self._dice.randrange(len(self._text) - characters)
        return self._text[start : start + characters]


def growth_mb(samples_mb: Sequence[float]) -> float:
    """From the first quarter of the samples to the last, by their medians: one sample more or less
    says nothing."""
    quarter = max(len(samples_mb) // 4, 1)
    return statistics.median(samples_mb[-quarter:]) - statistics.median(samples_mb[:quarter])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit-mb", type=float, default=20.0, help="growth that is allowed (20)")
    options = parser.parse_args(arguments)
    engine = load_engine(Settings(max_prompt_tokens=MAX_PROMPT_TOKENS, kv_budget_bytes=32 * MIB))
    requests, process = Requests(engine, options.seed), psutil.Process()
    samples_mb: list[float] = []
    for number in range(1, options.requests + 1):
        requests.serve_one(number)
        if number % SAMPLE_EVERY == 0 and number > WARM_UP * options.requests:
            samples_mb.append(process.memory_info().rss / 1e6)
        if number % max(options.requests // SHOWN, 1) == 0:
            engine.cache.check_integrity()
            stats = engine.cache.stats
            print(
                f"{number:>7,} requests: {process.memory_info().rss / 1e6:,.1f} MB resident, "
                f"{stats.held_bytes / 1e6:.1f} MB of KV, {stats.evicted_tokens:,} tokens evicted",
                flush=True,
            )
    grown = growth_mb(samples_mb)
    flat = grown <= options.limit_mb
    print(f"Growth after the warm-up: {grown:+.1f} MB: {'flat' if flat else 'NOT FLAT'}")
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
