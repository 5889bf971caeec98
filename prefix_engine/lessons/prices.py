"""What APIs charge for cached prompts: dated, sourced rules, read from a file edited by hand.

Numbers are `Decimal` from the file's own digits, so that a bill is exact.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, ValidationError, model_validator

from prefix_engine.errors import PrefixEngineError

PRICES = Path(__file__).parents[2] / "assets" / "prices.toml"

MILLION = Decimal(1_000_000)


class PriceError(PrefixEngineError):
    """The price file can't be used as it is; the message names the row and says what is wrong."""


class Evidence(StrEnum):
    """Who says so: a copy of the vendor's own page, somebody else's, or nobody to be checked."""

    VERIFIED = "verified"
    THIRD_PARTY = "third party"
    UNVERIFIED = "unverified"


Name = Annotated[str, Field(min_length=1)]
# not strict: a whole number of the file may stand for a Decimal
Amount = Annotated[Decimal, Field(ge=0, strict=False)]
Price = Annotated[Decimal, Field(gt=0, strict=False)]
Count = Annotated[int, Field(ge=1)]


class Rule(BaseModel):
    """How one API bills cached prompts; None where a fact is not known. assets/prices.toml says
    what each name means.

    `read` and `write` are in input tokens, prices in `currency` for a million tokens (without a
    currency: 1 for one input token), lifetimes in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: Name
    vendor: Name
    name: Name
    read_on: date
    source: Annotated[HttpUrl, Field(strict=False)]
    note: str = ""
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = None
    input_price: Price | None = None
    output_price: Price | None = None
    read: Amount | None = None
    read_price: Amount | None = None
    write: Amount | None = None
    minimum_tokens: Count | None = None
    granularity_tokens: Count | None = None
    lifetime_s: Count | None = None
    renewed: bool | None = None
    storage_price_hour: Price | None = None
    whole_units: bool = False
    usage_field: Name | None = None
    count_includes_cached: bool | None = None
    third_party: Annotated[frozenset[str], Field(strict=False)] = frozenset()
    unverified: Annotated[frozenset[str], Field(strict=False)] = frozenset()

    @model_validator(mode="after")
    def _facts_fit_together(self) -> Self:
        if (self.currency is None) != (self.input_price is None):
            raise ValueError("currency and input_price come together or not at all")
        if self.read is not None and self.read_price is not None:
            raise ValueError("give read or read_price, not both")
        for name in ("read_price", "output_price", "storage_price_hour"):
            if getattr(self, name) is not None and self.currency is None:
                raise ValueError(f"{name} is an amount of money: it needs a currency")
        if self.storage_price_hour is not None and self.lifetime_s is None:
            raise ValueError("storage_price_hour needs lifetime_s: rent is paid for a time")
        for name in sorted(self.third_party | self.unverified):
            if name not in type(self).model_fields or getattr(self, name) is None:
                raise ValueError(f"{name!r} is marked third_party or unverified, but is not given")
        if self.third_party & self.unverified:
            raise ValueError("a fact is marked third_party or unverified, not both")
        return self

    @property
    def label(self) -> str:
        return f"{self.vendor}: {self.name}"

    @property
    def unit(self) -> str:
        """What amounts are in: a currency, or the price of one uncached input token."""
        return self.currency or "input tokens"

    @property
    def evidence(self) -> Evidence:
        """That of the weakest fact."""
        if self.unverified:
            return Evidence.UNVERIFIED
        return Evidence.THIRD_PARTY if self.third_party else Evidence.VERIFIED

    def evidence_of(self, fact: str) -> Evidence:
        if fact in self.unverified:
            return Evidence.UNVERIFIED
        return Evidence.THIRD_PARTY if fact in self.third_party else Evidence.VERIFIED

    @property
    def lacks(self) -> tuple[str, ...]:
        """The prices without which no bill can be made."""
        reads = self.read is not None or self.read_price is not None
        return (() if reads else ("read",)) + (() if self.write is not None else ("write",))

    @property
    def plain_price(self) -> Decimal:
        """Of one uncached input token; so are the next two of one read or written."""
        return Decimal(1) if self.input_price is None else self.input_price / MILLION

    @property
    def cached_price(self) -> Decimal:
        if self.read_price is not None:
            return self.read_price / MILLION
        return self._known(self.read, "read") * self.plain_price

    @property
    def written_price(self) -> Decimal:
        """With the rent for a whole lifetime, where storage is rented."""
        price = self._known(self.write, "write") * self.plain_price
        if self.storage_price_hour is None or self.lifetime_s is None:
            return price
        return price + self.storage_price_hour / MILLION * self.lifetime_s / 3600

    @property
    def output_token_price(self) -> Decimal | None:
        return None if self.output_price is None else self.output_price / MILLION

    def _known(self, value: Decimal | None, name: str) -> Decimal:
        if value is None:
            raise PriceError(f"{self.label}: no bill can be made, {name} is not known.")
        return value


def load_prices(path: Path = PRICES) -> tuple[Rule, ...]:
    """All rules, in the order of the file. Raises `PriceError`."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise PriceError(f"{path.name} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise PriceError(f"{path.name} is not TOML in UTF-8: {error}.") from error
    rows = content.get("rule")
    if not isinstance(rows, list) or not rows or set(content) != {"rule"}:
        raise PriceError(f"{path.name} has to hold [[rule]] entries, at least one, and only those.")
    rules = tuple(_rule(row, f"{path.name}, rule {n}") for n, row in enumerate(rows, 1))
    twice = [name for name, times in Counter(rule.id for rule in rules).items() if times > 1]
    if twice:
        raise PriceError(f"{path.name}: more than one rule has the id {', '.join(twice)}.")
    return rules


def _rule(row: Any, where: str) -> Rule:
    if not isinstance(row, dict):
        raise PriceError(f"{where} is not a table of facts.")
    try:
        return Rule(**row)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        name = f" ({row['id']})" if "id" in row else ""
        raise PriceError(f"{where}{name}: {field + ': ' if field else ''}{message}.") from error
