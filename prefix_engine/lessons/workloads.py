"""Streams of requests as they are met in practice, written for this project, and their runs."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prefix_engine.chat import Message
from prefix_engine.errors import PrefixEngineError
from prefix_engine.lessons.served import Stream
from prefix_engine.lessons.stream import Asked, serve
from prefix_engine.watch import Watch

if TYPE_CHECKING:
    from prefix_engine.engine import Engine

FOLDER = Path(__file__).parents[2] / "assets" / "workloads"
ORDER = ("agent", "rag", "code", "chat")


class BadWorkload(PrefixEngineError):
    """A workload's file can't be used as it is; the message says which one and why."""


Text = Annotated[str, Field(pattern=r"\S")]


class Turn(BaseModel):
    """What a request adds: a question or a tool's result; `reply` is what was answered to it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Text
    user: Text
    reply: str = ""


class Workload(BaseModel):
    """A stream of chat requests behind one `system` message.

    Where it `grows`, a request holds all turns before its own, with their replies; else its own
    only. `sends` and `shared` say in plain words what is sent and what of it is the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    title: Text
    sends: Text
    shared: Text
    grows: bool
    system: Text
    turns: Annotated[tuple[Turn, ...], Field(strict=False, min_length=2)]

    @property
    def requests(self) -> tuple[Asked, ...]:
        return tuple(map(Asked, (turn.name for turn in self.turns), self.prompts))

    @property
    def sha256(self) -> str:
        """A fingerprint of all prompts: a recorded run of others is stale."""
        prompts = [[asdict(message) for message in prompt] for prompt in self.prompts]
        return hashlib.sha256(json.dumps(prompts).encode()).hexdigest()

    @property
    def prompts(self) -> tuple[tuple[Message, ...], ...]:
        prompts = []
        before: tuple[Message, ...] = (Message("system", self.system.strip()),)
        for turn in self.turns:
            prompt = (*before, Message("user", turn.user))
            prompts.append(prompt)
            if self.grows:
                before = (*prompt, Message("assistant", turn.reply))
        return tuple(prompts)


@dataclass(frozen=True)
class WorkloadRun:
    """One workload as it was served; `sha256` tells which prompts it had."""

    workload: str
    sha256: str
    stream: Stream


@dataclass(frozen=True)
class WorkloadRuns:
    """Runs of several workloads."""

    runs: tuple[WorkloadRun, ...]


def load_workloads(folder: Path = FOLDER) -> dict[str, Workload]:
    """All workloads by id (their file's name). Raises `BadWorkload`."""
    return {name: read_workload(folder / f"{name}.toml") for name in ORDER}


def read_workload(path: Path) -> Workload:
    """One workload: a TOML file with a key for each field. Raises `BadWorkload`."""
    try:
        return Workload.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadWorkload(f"{path} can't be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadWorkload(f"{path}: {where}: {first['msg']}.") from error
    except ValueError as error:
        raise BadWorkload(f"{path} is not TOML in UTF-8: {error}.") from error


def run_workload(
    engine: Engine, name: str, workload: Workload, rounds: int, watch: Watch | None = None
) -> WorkloadRun:
    """Serve a workload's requests; raises what `serve` raises."""
    stream = serve(engine, workload.requests, rounds, watch)
    return WorkloadRun(name, workload.sha256, stream)
