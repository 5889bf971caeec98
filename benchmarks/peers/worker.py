"""A runtime in a process of its own, asked one thing at a time.

Each brings an OpenMP pool; in one process they would wait for each other in busy loops. Here only
the one that is asked computes: the others wait for a pipe, and their threads have stopped spinning,
since whoever asks pauses a little before each question.
"""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.peers.base import Answer, Peer, PeerMissing

Environ = Mapping[str, str | None]
"""What to set; None where a variable must not be set at all."""

PAUSE_S = 0.05
END_S = 10


class Worker:
    """Runs a peer that `make` makes there; a context manager that ends the process.

    `make` and its arguments are pickled. `environ` is set before anything is imported there.
    Raises `PeerMissing` where the peer does, or if the process dies while it is made.
    """

    def __init__(
        self, make: Callable[..., Peer], arguments: Sequence[Any], environ: Environ
    ) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=serve, args=(theirs, make, tuple(arguments)))
        before = dict(os.environ)
        os.environ.update({name: value for name, value in environ.items() if value is not None})
        for name in (name for name, value in environ.items() if value is None):
            os.environ.pop(name, None)
        try:
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        theirs.close()
        try:
            self.settings: tuple[str, ...] = self._reply()
        except BaseException:
            self.end()
            raise

    def hold(self, setting: str, ids: Sequence[int]) -> None:
        self._ask("hold", setting, ids)

    def answer(self, setting: str, ids: Sequence[int]) -> Answer:
        time.sleep(PAUSE_S)
        found: Answer = self._ask("answer", setting, ids)
        return found

    def exact(self) -> str | None:
        """What the peer promises of a hit."""
        promise: str | None = self._ask("exact")
        return promise

    def end(self) -> None:
        self._pipe.close()
        self._process.join(END_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def _ask(self, method: str, *arguments: Any) -> Any:
        self._pipe.send((method, arguments))
        return self._reply()

    def _reply(self) -> Any:
        try:
            error, value = self._pipe.recv()
        except EOFError:
            self._process.join(END_S)
            raise PeerMissing(f"its process ended with status {self._process.exitcode}") from None
        if isinstance(error, PeerMissing):
            raise error
        if error is not None:
            raise RuntimeError(error)
        return value


def serve(pipe: Connection, make: Callable[..., Peer], arguments: tuple[Any, ...]) -> None:
    """The worker's side: make the peer, then answer until the pipe is closed."""
    try:
        peer = make(*arguments)
    except PeerMissing as missing:
        pipe.send((missing, None))
        return
    except Exception:
        pipe.send((traceback.format_exc(), None))
        return
    pipe.send((None, peer.settings))
    while True:
        try:
            method, given = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((None, getattr(peer, method)(*given)))
        except Exception:
            pipe.send((traceback.format_exc(), None))
