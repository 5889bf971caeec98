"""A class at one server: `python -m benchmarks.load --sessions 100`, `--waves 20`, `--press 30`,
`--ask 30`, `--stream 6`.

Starts a server of the app on a free port of this machine and waits until its model is loaded. Then
so many sessions open the page at once, each over a websocket as a browser does; with `--waves` new
ones again and again, to see whether memory grows with who has gone. With `--press`, so many press
Run within ten seconds, on a preset, and wait for their own figures; with `--ask`, so many join a
room that a host has opened, and ask within ten seconds; with `--stream`, so many serve a workload
on the page "Where it pays", whose KV all together has no room in the cache.
Prints how long it took, what went wrong and how much memory the server had; exits 1 if any session
erred, was served out of order, or if the memory went over the limit, which ends the server.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from websockets.exceptions import WebSocketException

from benchmarks.common.memory_limit import memory_limit
from benchmarks.common.room_load import ask, member, opened_room
from benchmarks.common.serving import Served, serve
from benchmarks.common.session import PageError, finished, painted, shows, visit

T = TypeVar("T")

RUN = "Run"
STREAMS, RUN_STREAM = "where_it_pays", "Run it here"
FIRST_ROUND = "Round 1: "
MEASURED = "Measured here on"
PRESS_WITHIN_S = 10.0
LOADING_PATIENCE_S = 300.0
OUT_OF_ORDER_S = 1.0
"""Who pressed so much later than another may not be served before them."""


@dataclass(frozen=True)
class Visit:
    """Seconds from opening the page to the first thing on it and to its end."""

    painted_s: float
    shown_s: float


@dataclass(frozen=True)
class Press:
    """When Run was pressed, and the seconds from then to the first trial that counts and to the
    figures. Several presses share one clock."""

    at_s: float
    first_round_s: float
    figures_s: float

    @property
    def served_s(self) -> float:
        return self.at_s + self.first_round_s


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    with (
        memory_limit(int(options.limit_mb * 1e6)) as limit,
        serve(options.script, before=limit.before) as served,
    ):
        limit.watch(served.process.pid)
        print(f"At most {options.limit_mb:,.0f} MB of memory, kept by {limit.how}")
        try:
            loaded_s = asyncio.run(wait_for_model(served.port))
        except (WebSocketException, OSError, TimeoutError) as error:
            print(f"The model was never loaded: {type(error).__name__} {error}")
            return 1
        print(f"Model loaded {loaded_s:.1f} s after the first visit")
        _tell_memory(served)
        wrong: list[str] = []
        for _ in range(options.waves):
            visits, more = asyncio.run(open_pages(served.port, options))
            wrong += more
            _tell_visits(visits)
            _tell_memory(served)
        presses: list[Press] = []
        if options.press:
            presses, more = asyncio.run(press_run(served.port, options))
            wrong += more
            wrong += _tell_presses(presses)
            _tell_memory(served)
        if options.ask:
            answers_s, more = asyncio.run(ask_in_a_room(served.port, options))
            wrong += more
            print(f"{len(answers_s)} members of a room asked within {PRESS_WITHIN_S:g} s, s")
            _tell("answered", answers_s)
            _tell_memory(served)
        if options.stream:
            served_s, more = asyncio.run(serve_streams(served.port, options))
            wrong += more
            print(f"{len(served_s)} sessions served a workload at once, s: median, worst")
            _tell("all figures", served_s)
        if served.process.poll() is not None:
            wrong.append("the server was killed: its memory went over the limit")
        else:
            _tell_memory(served)
            print(f"  at most {limit.peak_bytes() / 1e6:,.0f} MB counted against the limit")
    print(f"Errors: {len(wrong)}")
    for line in sorted(set(wrong)):
        print(f"  {wrong.count(line)} × {line}")
    return 1 if wrong else 0


async def wait_for_model(port: int) -> float:
    """Open the page again and again until Run can be pressed; the seconds that took."""
    began = time.monotonic()
    async with asyncio.timeout(LOADING_PATIENCE_S), visit(port) as session:
        while not session.can_press(RUN):
            await session.run()
            await session.until(finished)
            await asyncio.sleep(0.2)
    return time.monotonic() - began


async def open_pages(port: int, options: argparse.Namespace) -> tuple[list[Visit], list[str]]:
    """All sessions at once; the visits that went well, and what went wrong."""

    async def open_page() -> Visit:
        began = time.monotonic()
        async with asyncio.timeout(options.patience), visit(port, _query(options)) as session:
            await session.run()
            painted_s = await session.until(painted) - began
            return Visit(painted_s, await session.until(finished) - began)

    return await _all(open_page() for _ in range(options.sessions))


async def press_run(port: int, options: argparse.Namespace) -> tuple[list[Press], list[str]]:
    """Open the pages, then press Run on one after another; a result is the session's own."""
    everybody = asyncio.Barrier(options.press)

    async def press(number: int) -> Press:
        async with asyncio.timeout(options.patience), visit(port, _query(options)) as session:
            await session.run()
            await session.until(finished)
            await everybody.wait()
            await asyncio.sleep(PRESS_WITHIN_S * number / options.press)
            at_s = time.monotonic()
            await session.run(RUN)
            first_round_s = await session.until(shows(FIRST_ROUND)) - at_s
            return Press(at_s, first_round_s, await session.until(shows(MEASURED)) - at_s)

    return await _all(press(number) for number in range(options.press))


async def ask_in_a_room(port: int, options: argparse.Namespace) -> tuple[list[float], list[str]]:
    """Join, then ask one after another; the seconds from each one's asking to the answer."""
    everybody = asyncio.Barrier(options.ask)

    async def join_and_ask(code: str, number: int) -> float:
        async with asyncio.timeout(options.patience), member(port, code) as session:
            await everybody.wait()
            await asyncio.sleep(PRESS_WITHIN_S * number / options.ask)
            return await ask(session, f"This is question {number}. What is your answer?")

    async with opened_room(port) as code:
        return await _all(join_and_ask(code, number) for number in range(options.ask))


async def serve_streams(port: int, options: argparse.Namespace) -> tuple[list[float], list[str]]:
    """Open the page of the workloads, then serve one, all at the same time; the seconds that took.
    A page that has no result then says why."""
    everybody = asyncio.Barrier(options.stream)

    async def stream() -> float:
        async with asyncio.timeout(options.patience), visit(port, page_name=STREAMS) as session:
            await session.run()
            await session.until(finished)
            await everybody.wait()
            began = time.monotonic()
            await session.run(RUN_STREAM)
            ended = await session.until(finished)
            if not session.shown(MEASURED):
                raise PageError(f"no figures: {session.complaint}")
            return ended - began

    return await _all(stream() for _ in range(options.stream))


def out_of_order(presses: Sequence[Press]) -> int:
    """How many were served before somebody who had pressed clearly earlier."""
    return sum(
        any(
            one.at_s > other.at_s + OUT_OF_ORDER_S and one.served_s < other.served_s
            for other in presses
        )
        for one in presses
    )


async def _all(works: Iterable[Coroutine[Any, Any, T]]) -> tuple[list[T], list[str]]:
    results = await asyncio.gather(*works, return_exceptions=True)
    wrong = [f"{type(one).__name__}: {one}" for one in results if isinstance(one, BaseException)]
    return [one for one in results if not isinstance(one, BaseException)], wrong


def _tell_visits(visits: Sequence[Visit]) -> None:
    print(f"{len(visits)} sessions opened the page at once, s: median, worst")
    _tell("first paint", [one.painted_s for one in visits])
    _tell("whole page", [one.shown_s for one in visits])


def _tell_presses(presses: Sequence[Press]) -> list[str]:
    """Print the times; what is wrong with them."""
    print(f"{len(presses)} sessions pressed {RUN} within {PRESS_WITHIN_S:g} s, s: median, worst")
    _tell("first round", [one.first_round_s for one in presses])
    _tell("all figures", [one.figures_s for one in presses])
    unfair = out_of_order(presses)
    print(f"  served out of order: {unfair}")
    return ["a session was served before one that had pressed earlier"] * unfair


def _tell_memory(served: Served) -> None:
    if served.process.poll() is None:
        now, most = served.resident_bytes / 1e6, served.peak_bytes / 1e6
        print(f"  resident memory: {now:,.0f} MB now, {most:,.0f} at most", flush=True)


def _tell(name: str, seconds: Sequence[float]) -> None:
    if seconds:
        print(f"  {name}: {statistics.median(seconds):.1f}, {max(seconds):.1f}")


def _query(options: argparse.Namespace) -> str:
    return f"preset={options.preset}&trials={options.trials}&reply={options.reply}"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    add = parser.add_argument
    add("--sessions", type=int, default=100, help="how many open the page at once (100)")
    add("--waves", type=int, default=1, help="how often they do, gone in between (1)")
    add("--press", type=int, default=0, help=f"how many of them press {RUN} (0)")
    add("--ask", type=int, default=0, help="how many join a room and ask there (0)")
    add("--stream", type=int, default=0, help="how many serve a workload (0)")
    add("--preset", default="timestamp", help="the preset that is run (timestamp)")
    add("--trials", type=int, default=1, help="trials an arm (1)")
    add("--reply", type=int, default=0, help="tokens of a reply (0)")
    add("--patience", type=float, default=600.0, help="seconds after which a session failed (600)")
    add("--limit-mb", type=float, default=1000.0, help="most resident memory, in MB (1,000)")
    add("--script", default="app.py", help="what is served (app.py)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
