"""A class in a room: a host whose board looks again each second, and members who ask at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from benchmarks.common.session import Session, finished, shows, visit
from prefix_engine.board import NOTHING

PAGE = "room"
OPEN, ASK = "Open", "Ask"
QUESTION = "Your question"
PREDICTION = "**Predict.** How much of your request will be found in the cache?"
ANSWERED = "Your request is number"


@asynccontextmanager
async def opened_room(port: int) -> AsyncIterator[str]:
    """A room whose host looks on until the block ends; gives its code."""
    async with visit(port, page_name=PAGE) as host:
        await host.run()
        await host.until(finished)
        await host.run(OPEN)
        await host.until(finished)
        code = next(link for link in host.codes if "room=" in link).rpartition("room=")[2]
        looking = asyncio.create_task(_look_on(host))
        try:
            yield code
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking  # raises what went wrong on the host's page


async def _look_on(host: Session) -> None:
    while True:
        await host.until(finished)


@asynccontextmanager
async def member(port: int, code: str) -> AsyncIterator[Session]:
    """Somebody who has joined."""
    async with visit(port, f"room={code}", PAGE) as session:
        await session.run()
        await session.until(finished)
        yield session


async def ask(session: Session, question: str) -> float:
    """Type a question and predict, then ask; the seconds from then until it is answered."""
    session.fill(QUESTION, question)
    session.fill(PREDICTION, NOTHING)
    await session.run()
    await session.until(lambda _: session.can_press(ASK))
    began = time.monotonic()
    await session.run(ASK)
    return await session.until(shows(ANSWERED)) - began
