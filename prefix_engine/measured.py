"""A result with all that it depends on: when, which model, which machine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from prefix_engine.errors import PrefixEngineError
from prefix_engine.machine import Machine, describe_machine
from prefix_engine.model.info import ModelInfo

if TYPE_CHECKING:
    from prefix_engine.engine import Engine

T = TypeVar("T")


class BadRecord(PrefixEngineError):
    """A file that holds no such record; the message says where it goes wrong."""


@dataclass(frozen=True)
class Measured(Generic[T]):
    """What was found, on which date (UTC, ISO 8601), by which model, on which machine."""

    date: str
    model: ModelInfo
    machine: Machine
    result: T


def stamp(engine: Engine, result: T) -> Measured[T]:
    """The result as one of now, of this engine's model and of this machine."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return Measured(date, engine.model.info, describe_machine(), result)


def to_json(measured: Measured[Any]) -> str:
    """Readable JSON of a record made of frozen dataclasses, tuples, enums, numbers and text."""
    kind: Any = type(measured.result)
    return _adapter(kind).dump_json(measured, indent=1).decode()


def from_json(text: str | bytes, kind: type[T]) -> Measured[T]:
    """What `to_json` wrote of a result of that kind. Raises `BadRecord`."""
    try:
        read: Measured[T] = _adapter(cast(Any, kind)).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BadRecord(
            f"This is no record of a {kind.__name__}: {where}: {first['msg']}"
        ) from error
    return read


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(Measured[kind])
