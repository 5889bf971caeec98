"""Some requests and a price rule → what it costs with prompt caching and without it, call by call.

Money is `Decimal`, exact. A prefix that has outlived its lifetime is written again; one below the
minimum is neither written nor read; only whole steps of the granularity are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from itertools import accumulate
from math import floor
from typing import Literal

from prefix_engine.lessons.prices import Rule
from prefix_engine.lessons.served import Stream

HORIZON = 1_000
"""As many calls are tried to find out whether caching pays at all."""


@dataclass(frozen=True)
class Call:
    """One request: `tokens` in its prompt, of which the leading `shared` stood in an earlier call
    and the leading `kept` are marked for the cache, and `output` tokens of its answer."""

    tokens: int
    shared: int
    kept: int
    output: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.shared <= self.tokens or not 0 <= self.kept <= self.tokens:
            raise ValueError(f"shared and kept are parts of the prompt: {self}")


@dataclass(frozen=True)
class Traffic:
    """Calls in their order, each `gap_s` seconds after the one before it."""

    calls: tuple[Call, ...]
    gap_s: int


@dataclass(frozen=True)
class Shape:
    """`requests` calls that share a prefix and go on with novel tokens of their own."""

    prefix: int
    novel: int
    output: int
    requests: int
    gap_s: int

    @property
    def traffic(self) -> Traffic:
        """The shared prefix is marked for the cache, and nothing after it."""
        first = Call(self.prefix + self.novel, 0, self.prefix, self.output)
        later = replace(first, shared=self.prefix)
        return Traffic((first, *[later] * (self.requests - 1))[: self.requests], self.gap_s)


def traffic_of(stream: Stream, gap_s: int) -> Traffic:
    """A measured stream: each whole prompt is marked for the cache, as automatic caching does."""
    calls = tuple(Call(one.tokens, one.shared, one.tokens) for one in stream.requests)
    return Traffic(calls, gap_s)


class Verdict(StrEnum):
    """What caching does to a bill."""

    PAYS = "pays"
    SAME = "changes nothing"
    COSTS = "costs more"


@dataclass(frozen=True)
class Charge:
    """One call as billed: prompt tokens read from the cache, written to it, and neither; its input
    cost, and what it would be without caching."""

    read: int
    written: int
    plain: int
    cost: Decimal
    without: Decimal


@dataclass(frozen=True)
class Bill:
    """All charges of some traffic under one rule, in the rule's unit, the calls `gap_s` seconds
    apart. `expired` counts the calls that found the cached prefix outlived; `output_cost` is the
    same with caching and without, None where its price is not known."""

    rule: Rule
    charges: tuple[Charge, ...]
    expired: int
    output_cost: Decimal | None
    gap_s: int

    @property
    def assumes_kept(self) -> bool:
        """Whether something was read of which it is not known how long it is kept."""
        return self.rule.lifetime_s is None and self.read > 0

    @property
    def cost(self) -> Decimal:
        """Of the input, with caching."""
        return sum((charge.cost for charge in self.charges), Decimal(0))

    @property
    def without(self) -> Decimal:
        """Of the input, without caching."""
        return sum((charge.without for charge in self.charges), Decimal(0))

    @property
    def verdict(self) -> Verdict:
        if self.cost == self.without:
            return Verdict.SAME
        return Verdict.PAYS if self.cost < self.without else Verdict.COSTS

    @property
    def cumulative(self) -> tuple[tuple[Decimal, Decimal], ...]:
        """After each call: the cost with caching, and without."""
        return tuple(
            zip(
                accumulate(charge.cost for charge in self.charges),
                accumulate(charge.without for charge in self.charges),
                strict=True,
            )
        )

    @property
    def pays_from(self) -> int | None:
        """The call from which on all calls so far have cost less with caching; 1 is the first."""
        dearer = [n for n, (cost, without) in enumerate(self.cumulative, 1) if cost >= without]
        first = (dearer[-1] if dearer else 0) + 1
        return first if first <= len(self.charges) else None

    @property
    def read(self) -> int:
        return sum(charge.read for charge in self.charges)

    @property
    def written(self) -> int:
        return sum(charge.written for charge in self.charges)

    @property
    def plain(self) -> int:
        return sum(charge.plain for charge in self.charges)


def make_bill(rule: Rule, traffic: Traffic) -> Bill:
    """Raises `PriceError` where the rule lacks a price."""
    store = _Store(rule, traffic.gap_s)
    charges = tuple(_charge(rule, call, *store.serve(call)) for call in traffic.calls)
    output = sum(call.output for call in traffic.calls)
    price = rule.output_token_price
    output_cost = None if price is None else output * price
    return Bill(rule, charges, store.expired, output_cost, traffic.gap_s)


def break_even(write: Decimal, read: Decimal) -> int | None:
    """The first N with write + read * (N - 1) < N, the cost of N calls over one prefix in prefixes:
    written once and then read, against computed N times. None where a hit is no cheaper."""
    return floor((write - read) / (1 - read)) + 1 if read < 1 else None


def _charge(rule: Rule, call: Call, read: int, written: int) -> Charge:
    plain = call.tokens - read - written
    cost = read * rule.cached_price + written * rule.written_price + plain * rule.plain_price
    return Charge(read, written, plain, cost, call.tokens * rule.plain_price)


class _Store:
    """What the API has cached, as far as the bill depends on it."""

    def __init__(self, rule: Rule, gap_s: int) -> None:
        self._rule, self._gap_s = rule, gap_s
        self._now_s = -gap_s
        self._since_s: int | None = None
        self._units: set[int] = set()
        self.expired = 0

    def serve(self, call: Call) -> tuple[int, int]:
        """How many tokens are read from the cache and how many are written."""
        self._now_s += self._gap_s
        self._drop_outlived()
        shared = call.shared if self._since_s is not None else 0
        if self._rule.whole_units:
            shared, found = self._longest_unit(shared), shared
            self._units |= {found, call.tokens}
        read = self._cacheable(shared)
        written = max(0, self._cacheable(call.kept) - read)
        if written or (read and self._rule.renewed):
            self._since_s = self._now_s
        return read, written

    def _drop_outlived(self) -> None:
        lifetime_s, since_s = self._rule.lifetime_s, self._since_s
        if lifetime_s and since_s is not None and self._now_s - since_s > lifetime_s:
            self._since_s = None
            self._units.clear()
            self.expired += 1

    def _longest_unit(self, shared: int) -> int:
        """Told by lengths alone: what is shared with one call may be a unit of another."""
        return max((unit for unit in self._units if unit <= shared), default=0)

    def _cacheable(self, tokens: int) -> int:
        if tokens < (self._rule.minimum_tokens or 1):
            return 0
        return tokens - tokens % (self._rule.granularity_tokens or 1)


@dataclass(frozen=True)
class Change:
    """One number of a shape, changed alone, and the verdict it leads to."""

    what: Literal["prefix", "gap_s", "requests"]
    value: int
    verdict: Verdict


@dataclass(frozen=True)
class Missed:
    """Calls after the first whose `shared` beginning is below a rule's minimum: so many of so many,
    and the longest of all those beginnings."""

    minimum_tokens: int
    calls: int
    of: int
    longest_tokens: int


def what_would_change(rule: Rule, shape: Shape) -> tuple[Change, ...]:
    """The nearest single changes that turn "pays" into something else, or something else into
    "pays": a prefix about the minimum, a gap about the lifetime, calls about the break-even."""
    pays = _pays(rule, shape.traffic)
    changes = []
    for what, value in _candidates(rule, shape, pays):
        changed = replace(shape, **{what: value})
        verdict = make_bill(rule, changed.traffic).verdict
        if (verdict is Verdict.PAYS) is not pays:
            changes.append(Change(what, value, verdict))
    return tuple(changes)


def gap_that_changes(rule: Rule, traffic: Traffic) -> Change | None:
    """The gap nearest to the lifetime that turns the verdict, where all else is as measured."""
    if not rule.lifetime_s:
        return None
    pays = _pays(rule, traffic)
    gap_s = rule.lifetime_s + 1 if pays else rule.lifetime_s
    verdict = make_bill(rule, replace(traffic, gap_s=gap_s)).verdict
    return Change("gap_s", gap_s, verdict) if (verdict is Verdict.PAYS) is not pays else None


def missed_minimum(rule: Rule, traffic: Traffic) -> Missed | None:
    """Which minimum length the shared beginnings miss; None where all reach it."""
    later = [call.shared for call in traffic.calls[1:]]
    minimum = rule.minimum_tokens or 0
    short = sum(shared < minimum for shared in later)
    return Missed(minimum, short, len(later), max(later)) if short else None


def _pays(rule: Rule, traffic: Traffic) -> bool:
    return make_bill(rule, traffic).verdict is Verdict.PAYS


def _candidates(
    rule: Rule, shape: Shape, pays: bool
) -> Iterator[tuple[Literal["prefix", "gap_s", "requests"], int]]:
    if rule.minimum_tokens:
        yield "prefix", rule.minimum_tokens - 1 if pays else rule.minimum_tokens
    if rule.lifetime_s:
        yield "gap_s", rule.lifetime_s + 1 if pays else rule.lifetime_s
    long = make_bill(rule, replace(shape, requests=HORIZON).traffic).pays_from
    if long is not None and (long > 1 or not pays):
        yield "requests", long - 1 if pays else long


def bills(rules: Sequence[Rule], traffic: Traffic) -> tuple[Bill, ...]:
    """One for each rule that has all its prices."""
    return tuple(make_bill(rule, traffic) for rule in rules if not rule.lacks)


def outcome(made: Sequence[Bill]) -> tuple[bool, str]:
    """Whether hits are billed cheaper under every chosen rule, and how little that says."""
    cheaper = sum(bill.rule.cached_price < bill.rule.plain_price for bill in made)
    smaller = sum(bill.cost < bill.without for bill in made)
    return cheaper == len(made), (
        f"{cheaper} of {len(made)} rules price a hit below a fresh input token. These rules were "
        "chosen because they price caching, so that says nothing about other APIs. The whole bill "
        f"of these requests is smaller under {smaller} of them{_assuming(made)}."
    )


def _assuming(made: Sequence[Bill]) -> str:
    count = sum(bill.assumes_kept and bill.cost < bill.without for bill in made)
    if not count:
        return ""
    return (
        f"; under {count} only if a prefix is kept from one request to the next, for how long is "
        "not in the file"
    )
