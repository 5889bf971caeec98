"""Traces of real request streams: read, checked, replayed through a prefix index of a given size.

The format is that of the Mooncake traces (Qin et al., "Mooncake: Trading More Storage for Less
Computation", FAST '25; github.com/kvcache-ai/Mooncake, FAST25-release/traces): a JSON object a
line, one line a request, with `timestamp` (ms), `input_length` and `output_length` (tokens) and
`hash_ids`, an id for each block of 512 tokens of the input. Equal ids mean equal blocks after equal
blocks, so no text is needed to know what is shared. Requests are replayed in the order of their
lines, each one stored before the next; what the replies would add is not in a trace.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from prefix_engine.cache import RadixCache, count_tokens
from prefix_engine.errors import PrefixEngineError

BLOCK_TOKENS = 512
"""Tokens of the block that one id of a trace stands for."""

Eviction = Literal["leaf", "flat"]
"""leaf: the radix tree of this project. flat: a list of blocks, least recently used first."""

OnStep = Callable[[int, int], None]
"""Called now and then with (requests replayed, requests in all); may raise to stop."""

STEP_REQUESTS = 256
END = -1  # no block's id: stands after the last block, where that one may be found as well


class BadTrace(PrefixEngineError):
    """A file that is no trace, or is larger than allowed; the message names the line."""


@dataclass(frozen=True)
class Limits:
    """What a trace may have; more is refused as soon as it is seen."""

    lines: int = 200_000
    line_characters: int = 100_000
    blocks: int = 5_000_000


Count = Annotated[int, Field(ge=0, le=10_000_000)]
BlockId = Annotated[int, Field(ge=0, lt=2**63)]
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@checked(frozen=True, slots=True, config=ConfigDict(strict=True))
class TraceRequest:
    """One request: `input_length` tokens in ceil(input_length / 512) blocks, the last one filled
    only in part where that does not come out even; `timestamp` in ms."""

    timestamp: Milliseconds
    input_length: Annotated[int, Field(ge=1, le=10_000_000)]
    output_length: Count
    hash_ids: tuple[BlockId, ...]

    @property
    def whole_blocks(self) -> tuple[int, ...]:
        return self.hash_ids[: self.input_length // BLOCK_TOKENS]


@dataclass(frozen=True)
class Trace:
    """The requests of a trace, in order; at least one."""

    requests: tuple[TraceRequest, ...]

    @property
    def input_tokens(self) -> int:
        return sum(request.input_length for request in self.requests)

    @property
    def block_references(self) -> int:
        return sum(len(request.hash_ids) for request in self.requests)

    @property
    def distinct_blocks(self) -> int:
        return len({block for request in self.requests for block in request.hash_ids})


@dataclass(frozen=True)
class Replay:
    """What a replay found. A budget of None is one without a limit.

    `requests_hit` reused anything; `requests_refused` had more blocks than the whole budget: the
    tree stores nothing of them, the flat list what is left of them.
    """

    budget_blocks: int | None
    eviction: Eviction
    partial_last_block: bool
    requests: int
    requests_hit: int
    requests_refused: int
    input_tokens: int
    hit_tokens: int

    @property
    def hit_rate(self) -> float:
        """Reused tokens over input tokens, 0 to 1."""
        return self.hit_tokens / self.input_tokens


def read_trace(lines: Iterable[str | bytes], limits: Limits | None = None) -> Trace:
    """Read a trace, a request a line; empty lines are passed over. Fields besides the four are
    left alone. Raises `BadTrace`, naming the line, at the first one that is wrong or too much."""
    limits = limits or Limits()
    requests: list[TraceRequest] = []
    blocks = 0
    for number, line in enumerate(lines, 1):
        if number > limits.lines:
            raise BadTrace(f"The trace has more than {limits.lines:,} lines, the limit here.")
        if len(line) > limits.line_characters:
            raise BadTrace(f"Line {number:,} is longer than {limits.line_characters:,} characters.")
        if not line.strip():
            continue
        requests.append(_read_request(line, number))
        blocks += len(requests[-1].hash_ids)
        if blocks > limits.blocks:
            raise BadTrace(
                f"Up to line {number:,} the trace has more than {limits.blocks:,} blocks, the "
                "limit here."
            )
    if not requests:
        raise BadTrace("The trace has no requests: it needs one JSON object a line.")
    return Trace(tuple(requests))


_REQUEST = TypeAdapter(TraceRequest)


def _read_request(line: str | bytes, number: int) -> TraceRequest:
    try:
        request = _REQUEST.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        what = f"{where}: {first['msg']}" if where else first["msg"]
        raise BadTrace(f"Line {number:,} is no request of a trace: {what}.") from error
    needed = -(-request.input_length // BLOCK_TOKENS)
    if len(request.hash_ids) != needed:
        raise BadTrace(
            f"Line {number:,}: {request.input_length:,} tokens are {needed:,} blocks of "
            f"{BLOCK_TOKENS}, but hash_ids has {len(request.hash_ids):,}."
        )
    return request


def ceiling(
    trace: Trace, *, partial_last_block: bool = False, on_step: OnStep | None = None
) -> Replay:
    """What an index without a limit finds: more can't be had in this order of requests."""
    return replay(trace, None, partial_last_block=partial_last_block, on_step=on_step)


def replay(
    trace: Trace,
    budget_blocks: int | None,
    *,
    eviction: Eviction = "leaf",
    partial_last_block: bool = False,
    on_step: OnStep | None = None,
) -> Replay:
    """Look every request up, then store it, in an index that is empty at first.

    With b = 512, s shared leading blocks and n tokens, a request reuses `b * min(s, (n - 1) // b)`
    tokens of the whole blocks stored. With `partial_last_block` the last block counts although it
    may not be full, as in figures that take a trace's ids as they are: `min(b * s, n - 1)`.
    What `on_step` raises stops it.
    """
    index = _INDEXES[eviction](budget_blocks)
    hit_tokens = requests_hit = requests_refused = 0
    for done, request in enumerate(trace.requests):
        if on_step is not None and done % STEP_REQUESTS == 0:
            on_step(done, len(trace.requests))
        ids = request.hash_ids
        found = index.find((*ids, END) if partial_last_block else ids)
        reused = min(found * BLOCK_TOKENS, request.input_length - 1)
        hit_tokens += reused
        requests_hit += reused > 0
        requests_refused += not index.store(ids if partial_last_block else request.whole_blocks)
    return Replay(
        budget_blocks=budget_blocks,
        eviction=eviction,
        partial_last_block=partial_last_block,
        requests=len(trace.requests),
        requests_hit=requests_hit,
        requests_refused=requests_refused,
        input_tokens=trace.input_tokens,
        hit_tokens=hit_tokens,
    )


def hit_curve(
    trace: Trace,
    budgets: Iterable[int | None],
    *,
    eviction: Eviction = "leaf",
    partial_last_block: bool = False,
    on_step: OnStep | None = None,
) -> Iterator[Replay]:
    """One replay for each budget, made when it is asked for; stop asking, and no more are."""
    for budget in budgets:
        yield replay(
            trace,
            budget,
            eviction=eviction,
            partial_last_block=partial_last_block,
            on_step=on_step,
        )


class _Index(ABC):
    """Blocks in an order; of the last id asked for it is never told, as of a last token."""

    @abstractmethod
    def find(self, ids: Sequence[int]) -> int:
        """How many leading blocks are stored, `len(ids) - 1` at most."""

    @abstractmethod
    def store(self, ids: Sequence[int]) -> bool:
        """Make these the most recently used; False if there is no room for all of them at once."""


class _LeafIndex(_Index):
    """The project's own index, with one id for a token: it counts blocks instead."""

    def __init__(self, budget_blocks: int | None) -> None:
        self._cache = RadixCache(budget_tokens=budget_blocks)

    def find(self, ids: Sequence[int]) -> int:
        with self._cache.match(ids) as lease:
            return lease.tokens

    def store(self, ids: Sequence[int]) -> bool:
        return not self._cache.insert(ids, count_tokens).refused


class _FlatIndex(_Index):
    """Every block by itself. A request's last block ages first, so that a run goes from its end, as
    in vLLM's free queue; still a run may lose its beginning, and what follows is then lost too."""

    def __init__(self, budget_blocks: int | None) -> None:
        self._budget = budget_blocks
        self._order: OrderedDict[int, None] = OrderedDict()

    def find(self, ids: Sequence[int]) -> int:
        found = 0
        while found < len(ids) - 1 and ids[found] in self._order:
            found += 1
        return found

    def store(self, ids: Sequence[int]) -> bool:
        for block in reversed(ids):
            self._order[block] = None
            self._order.move_to_end(block)
        while self._budget is not None and len(self._order) > self._budget:
            self._order.popitem(last=False)
        return self._budget is None or len(ids) <= self._budget


_INDEXES: dict[Eviction, type[_LeafIndex] | type[_FlatIndex]] = {
    "leaf": _LeafIndex,
    "flat": _FlatIndex,
}
