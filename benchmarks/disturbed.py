"""How many prefills are marked as disturbed, beside none, one and two programs that compute.

`python -m benchmarks.disturbed` prints a table. While nothing else runs, no prefill should be
marked; with a program for each processor, all of them. The numbers of programs take turns, so that
other work on this machine hits them alike.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from prefix_engine.engine import Engine
from prefix_engine.loading import load_engine
from prefix_engine.settings import Settings
from prefix_engine.stopwatch import Timing

PROGRAMS = (0, 1, 2)
COMPUTED_TOKENS = (1, 8, 64, 256)
PREFIX_TOKENS = 300
ROUNDS = 3
PREFILLS = 5
"""Of each length in each round."""
NAMESPACE = "disturbed"
BUSY = "print('busy', flush=True)\nwhile True: pass"

Found = dict[tuple[int, int], list[Timing]]
"""By how many other programs ran and how many tokens were computed."""


@contextmanager
def running(programs: int) -> Iterator[None]:
    """So many other programs that never rest, for the block."""
    command = [sys.executable, "-c", BUSY]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(programs)]
    try:
        for one in started:
            assert one.stdout is not None
            one.stdout.readline()
        yield
    finally:
        for one in started:
            one.kill()
            one.communicate()


def measure(engine: Engine) -> Found:
    """The timings of hits that compute a few tokens or many behind the same stored prefix."""
    found: Found = defaultdict(list)
    engine.prefill(_text(PREFIX_TOKENS), namespace=NAMESPACE)
    for _ in range(ROUNDS):
        for programs in PROGRAMS:
            with running(programs):
                for computed in COMPUTED_TOKENS:
                    prompt = _text(PREFIX_TOKENS + computed)
                    found[programs, computed] += [
                        engine.prefill(prompt, namespace=NAMESPACE, store=False).timing
                        for _ in range(PREFILLS)
                    ]
    return found


def _text(tokens: int) -> str:
    return "a" + " a" * (tokens - 1)


def main() -> None:
    print("programs  computed  TTFT, ms  CPU ÷ wall  unloaded  marked")
    for (programs, computed), timings in measure(load_engine(Settings())).items():
        ttft_ms = statistics.median(timing.total_s for timing in timings) * 1e3
        share = statistics.median(timing.cpu_over_wall for timing in timings)
        unloaded = statistics.median(timing.unloaded_cpu_over_wall for timing in timings)
        marked = sum(timing.disturbed for timing in timings)
        print(
            f"{programs:8}{computed:10}{ttft_ms:10.0f}{share:12.2f}{unloaded:10.2f}"
            f"  {marked} of {len(timings)}"
        )


if __name__ == "__main__":
    main()
