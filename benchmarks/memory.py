"""How much memory is used: `python -m benchmarks.memory`.

First the KV that a cache really holds, over a random stream of prompts, against the bytes of the
distinct tokens in it. Then the resident memory of processes that load the engine as the app does,
beside Streamlit and Plotly, and run two prompts of 512 tokens and two of 2,048: in float32 as on a
processor without fast bfloat16, and in bfloat16; with the model converted before, and from an empty
cache folder, so that converting it counts. Resident memory is read from Linux's /proc. On a
processor without fast bfloat16 that precision takes many minutes at 2,048 tokens, which are left
out there.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from benchmarks.common.places import find_gguf
from benchmarks.common.results import add_json_option, header, report, write
from prefix_engine.cache import RadixCache
from prefix_engine.cache.storage import KVStorage, copy_out
from prefix_engine.model.base import KVShape, Slab
from prefix_engine.model.places import GGUF_VARIABLE
from prefix_engine.model.precision import measure_precision
from prefix_engine.model.weights import CACHE_VARIABLE
from prefix_engine.settings import PRECISION_VARIABLE

SMOLLM2_KV = KVShape(layers=30, kv_heads=3, head_dim=64, dtype=torch.bfloat16)
BUDGET_TOKENS, LONGEST_PROMPT, REQUESTS = 3_000, 600, 200
STORAGE_LIMIT = 1.05
NO_FAST_BF16 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
LIMITS_MB: dict[tuple[str, int], int] = {
    ("bf16", 512): 690,
    ("bf16", 2048): 900,
    ("f32", 512): 1000,
}


@dataclass(frozen=True)
class StorageUse:
    """The bytes held for KV over the bytes of the distinct tokens stored, after each request of a
    stream; 1 is none too many. `evicted_tokens` had to go for others meanwhile."""

    requests: int
    stored_tokens: int
    evicted_tokens: int
    worst_ratio: float


@dataclass(frozen=True)
class Resident:
    """A process after it has done `step`: what is resident now, and the most that ever was."""

    step: str
    now_mb: float
    peak_mb: float


@dataclass(frozen=True)
class AppMemory:
    """One process that did what the app does. `precision` is the one that was chosen in it."""

    case: str
    precision: str
    steps: list[Resident]


@dataclass(frozen=True)
class MemoryUse:
    storage: StorageUse
    apps: list[AppMemory]


def use_storage(cache: RadixCache, slab: Slab, requests: int, seed: int = 0) -> StorageUse:
    """Send a stream of prompts through an empty cache: some new, some that branch off or go on
    after earlier ones, in two namespaces. Prompts are as long as the slab at most."""
    dice = random.Random(seed)
    take = partial(copy_out, slab)
    sent: list[list[int]] = []
    worst = 0.0
    gc.freeze()  # what was there before is not listed, so it is neither counted nor looked through
    try:
        for _ in range(requests):
            ids = _next_prompt(dice, sent, slab.capacity)
            sent.append(ids)
            namespace = dice.choice(("one", "two"))
            with cache.match(ids, namespace):
                cache.insert(ids, take, namespace)
            stored = sum(len(node.ids) for node in cache.nodes()) * slab.shape.bytes_per_token
            worst = max(worst, held_bytes() / max(stored, 1))
    finally:
        gc.unfreeze()
    stats = cache.stats
    return StorageUse(requests, stats.stored_tokens, stats.evicted_tokens, worst)


def held_bytes() -> int:
    """The bytes of every storage of KV made since `gc.freeze()`, whoever holds it."""
    made = (found for found in gc.get_objects() if type(found) is KVStorage)
    return sum(storage.kv.untyped_storage().nbytes() for storage in made)


def _next_prompt(dice: random.Random, sent: Sequence[list[int]], most: int) -> list[int]:
    kept = dice.choice(sent) if sent and dice.random() < 0.8 else []
    kept = kept[: dice.randint(0, len(kept))]
    new = dice.randint(1, max(most // 3, 1))
    return (kept + [dice.randrange(49_152) for _ in range(new)])[:most]


def app_memory(case: str, environ: dict[str, str], tokens: Sequence[int]) -> AppMemory:
    """What `benchmarks.common.resident` tells of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.common.resident", *map(str, tokens)],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    return AppMemory(case, told["precision"], [Resident(**step) for step in told["steps"]])


def app_memories() -> Iterator[AppMemory]:
    """Four processes, one after another."""
    lengths = (512, 2048)
    ways = {
        "without fast bf16": ({PRECISION_VARIABLE: "auto", **NO_FAST_BF16}, lengths),
        "in bf16": (
            {PRECISION_VARIABLE: "bf16"},
            lengths if measure_precision().chosen == "bf16" else lengths[:1],
        ),
    }
    for way, (environ, tokens) in ways.items():
        _tell(way)
        yield app_memory(way, environ, tokens)
        _tell(f"{way}, converting")
        with tempfile.TemporaryDirectory(prefix="first-difference-") as empty:
            gguf = {CACHE_VARIABLE: empty, GGUF_VARIABLE: str(find_gguf())}
            yield app_memory(f"{way}, converting", environ | gguf, (512,))


def show(use: MemoryUse) -> None:
    held = use.storage
    print(
        f"\nKV held over the bytes of the distinct tokens: {held.worst_ratio:.3f} at worst "
        f"(at most {STORAGE_LIMIT}: {_met(held.worst_ratio <= STORAGE_LIMIT)}); {held.requests} "
        f"requests, {held.evicted_tokens:,} tokens evicted, {held.stored_tokens:,} stored at last"
    )
    for app in use.apps:
        print(f"\n{app.case}: computes in {app.precision}; resident MB now, and at most so far")
        for step in app.steps:
            tokens = int(step.step) if step.step.isdigit() else 0
            limit = LIMITS_MB.get((app.precision, tokens))
            name = f"two prompts of {tokens:,} tokens" if tokens else step.step
            verdict = f"  under {limit}: {_met(step.peak_mb < limit)}" if limit else ""
            print(f"  {name:30} {step.now_mb:7.0f} {step.peak_mb:7.0f}{verdict}")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _met(held: bool) -> str:
    return "met" if held else "NOT met"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    add_json_option(parser)
    options = parser.parse_args(arguments)
    bytes_per_token = SMOLLM2_KV.bytes_per_token
    cache = RadixCache(
        bytes_per_token=bytes_per_token, budget_bytes=BUDGET_TOKENS * bytes_per_token
    )
    storage = use_storage(cache, Slab(SMOLLM2_KV, LONGEST_PROMPT), REQUESTS)
    apps = list(app_memories()) if Path("/proc/self/status").exists() else []
    made = report("memory", MemoryUse(storage, apps))
    print(header(made))
    show(made.result)
    write(made, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
