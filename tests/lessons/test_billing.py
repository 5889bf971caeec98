"""Price rules read from a file, and the bills made of them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prefix_engine.lessons.billing import (
    Call,
    Missed,
    Shape,
    Traffic,
    Verdict,
    bills,
    break_even,
    gap_that_changes,
    make_bill,
    missed_minimum,
    outcome,
    traffic_of,
    what_would_change,
)
from prefix_engine.lessons.prices import Evidence, PriceError, Rule, load_prices
from prefix_engine.lessons.served import Served, ServedTrial, Stream
from ui.lessons.bill_words import effect, headline

FACTS: dict[str, Any] = {
    "id": "x",
    "vendor": "X",
    "name": "one",
    "read_on": date(2026, 11, 24),
    "source": "https://example.org/prices",
}


def rule(**facts: Any) -> Rule:
    return Rule(**{**FACTS, "read": Decimal("0.1"), "write": Decimal("1.25"), **facts})


def shape(**numbers: int) -> Shape:
    return Shape(
        **{"prefix": 1_000, "novel": 100, "output": 0, "requests": 10, "gap_s": 0, **numbers}
    )


def price_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(text, encoding="utf-8")
    return path


ROW = """
[[rule]]
id = "a"
vendor = "A"
name = "one"
read_on = 2026-11-24
source = "https://example.org"
read = 0.1
write = 1.25
"""


@pytest.mark.parametrize(("write", "first"), [("1.25", 2), ("2", 3), ("1", 2)])
def test_a_cache_with_a_write_premium_pays_from_the_call_that_the_formula_says(
    write: str, first: int
) -> None:
    assert break_even(Decimal(write), Decimal("0.1")) == first
    assert make_bill(rule(write=Decimal(write)), shape().traffic).pays_from == first


def test_a_hit_as_dear_as_input_never_pays() -> None:
    assert break_even(Decimal("1.25"), Decimal(1)) is None
    bill = make_bill(rule(read=Decimal(1)), shape().traffic)
    assert bill.pays_from is None and bill.verdict is Verdict.COSTS


def test_amounts_are_exact() -> None:
    priced = rule(currency="USD", input_price=Decimal(5), output_price=Decimal(25))
    bill = make_bill(priced, shape(requests=3, output=7).traffic)
    # 1,000 x 6.25 + 2 x 1,000 x 0.5 + 3 x 100 x 5, and 3 x 7 x 25, for a million tokens each
    assert bill.cost == Decimal("0.00875")
    assert bill.without == Decimal("0.0165")
    assert bill.output_cost == Decimal("0.000525")
    assert (bill.read, bill.written, bill.plain) == (2_000, 1_000, 300)


def test_without_a_price_a_bill_is_told_in_input_tokens() -> None:
    bill = make_bill(rule(), shape(requests=2).traffic)
    assert (bill.rule.unit, bill.without, bill.cost) == ("input tokens", 2_200, Decimal(1_550))
    assert bill.output_cost is None


@pytest.mark.parametrize(("prefix", "cached"), [(1_023, False), (1_024, True)])
def test_a_prefix_below_the_minimum_is_neither_written_nor_read(prefix: int, cached: bool) -> None:
    bill = make_bill(rule(minimum_tokens=1_024), shape(prefix=prefix).traffic)
    assert (bill.read > 0, bill.written > 0) == (cached, cached)
    assert bill.verdict is (Verdict.PAYS if cached else Verdict.SAME)


def test_only_whole_steps_are_read_and_written() -> None:
    bill = make_bill(rule(granularity_tokens=128), shape(prefix=300, requests=2).traffic)
    assert (bill.written, bill.read, bill.plain) == (256, 256, 2 * (100 + 44))


@pytest.mark.parametrize(("gap_s", "expired"), [(300, 0), (301, 9)])
def test_a_prefix_that_outlived_its_lifetime_is_written_again(gap_s: int, expired: int) -> None:
    bill = make_bill(rule(lifetime_s=300, renewed=True), shape(gap_s=gap_s).traffic)
    assert bill.expired == expired
    assert bill.written == (1 + expired) * 1_000


def test_a_lifetime_that_reading_does_not_renew_runs_from_the_writing() -> None:
    bill = make_bill(rule(lifetime_s=300), shape(gap_s=100, requests=10).traffic)
    # written at 0, read at 100, 200, 300; written again at 400, read until 700; then at 800
    assert [charge.written > 0 for charge in bill.charges] == [n % 4 == 0 for n in range(10)]


def test_storage_is_rented_for_the_whole_lifetime_at_each_writing() -> None:
    rented = rule(
        currency="USD",
        input_price=Decimal("0.3"),
        write=Decimal(1),
        lifetime_s=7_200,
        storage_price_hour=Decimal(1),
    )
    bill = make_bill(rented, shape(requests=1, novel=0).traffic)
    assert bill.cost == Decimal("0.0003") + 2 * Decimal("0.001")


def test_whole_units_are_read_by_the_third_request_that_goes_on_otherwise() -> None:
    bill = make_bill(rule(whole_units=True), shape(requests=4).traffic)
    assert [charge.read for charge in bill.charges] == [0, 0, 1_000, 1_000]


def test_whole_units_are_read_at_once_by_a_request_that_continues_the_one_before() -> None:
    chat = Traffic((Call(100, 0, 100), Call(150, 100, 150), Call(220, 150, 220)), 0)
    bill = make_bill(rule(whole_units=True), chat)
    assert [charge.read for charge in bill.charges] == [0, 100, 150]


def test_a_measured_stream_writes_what_it_did_not_read() -> None:
    trial = ServedTrial(1, 0, 0.1, 0.1, 1.0, 1.0, 0.0)
    stream = Stream(
        (
            Served("one", "", 100, 0, 0, (trial,)),
            Served("two", "", 180, 99, 100, (trial,)),
        )
    )
    bill = make_bill(rule(), traffic_of(stream, 60))
    assert [(c.read, c.written, c.plain) for c in bill.charges] == [(0, 100, 0), (100, 80, 0)]


def test_a_rule_without_a_price_makes_no_bill() -> None:
    lacking = Rule(**{**FACTS, "write": Decimal(1)})
    assert lacking.lacks == ("read",)
    with pytest.raises(PriceError, match="X: one: no bill can be made, read is not known"):
        make_bill(lacking, shape().traffic)


def test_what_would_change_a_bill_that_pays() -> None:
    limited = rule(minimum_tokens=512, lifetime_s=300, renewed=True)
    changes = what_would_change(limited, shape(gap_s=60))
    assert [(one.what, one.value, one.verdict) for one in changes] == [
        ("prefix", 511, Verdict.SAME),
        ("gap_s", 301, Verdict.COSTS),
        ("requests", 1, Verdict.COSTS),
    ]


@pytest.mark.parametrize(
    ("numbers", "change"),
    [
        ({"prefix": 500}, ("prefix", 512)),
        ({"gap_s": 400}, ("gap_s", 300)),
        ({"requests": 1}, ("requests", 2)),
    ],
)
def test_what_would_make_a_bill_pay(numbers: dict[str, int], change: tuple[str, int]) -> None:
    limited = rule(minimum_tokens=512, lifetime_s=300, renewed=True)
    changes = what_would_change(limited, shape(**numbers))
    assert [(one.what, one.value, one.verdict) for one in changes] == [(*change, Verdict.PAYS)]


def test_the_gap_that_turns_the_verdict_of_measured_requests() -> None:
    limited = rule(lifetime_s=300, renewed=True)
    kept = gap_that_changes(limited, shape(gap_s=60).traffic)
    assert kept is not None
    assert (kept.what, kept.value, kept.verdict) == ("gap_s", 301, Verdict.COSTS)
    lost = gap_that_changes(limited, shape(gap_s=400).traffic)
    assert lost is not None and (lost.value, lost.verdict) == (300, Verdict.PAYS)


def test_no_gap_is_offered_where_none_turns_the_verdict() -> None:
    assert gap_that_changes(rule(), shape().traffic) is None
    below = rule(lifetime_s=300, minimum_tokens=2_000)
    assert gap_that_changes(below, shape().traffic) is None


def test_which_minimum_the_shared_beginnings_miss() -> None:
    traffic = Traffic((Call(900, 0, 900), Call(900, 800, 900), Call(1_500, 900, 1_500)), 0)
    assert missed_minimum(rule(minimum_tokens=850), traffic) == Missed(850, 1, 2, 900)
    assert missed_minimum(rule(minimum_tokens=1_024), traffic) == Missed(1_024, 2, 2, 900)
    assert missed_minimum(rule(minimum_tokens=800), traffic) is None
    assert missed_minimum(rule(), traffic) is None
    assert missed_minimum(rule(minimum_tokens=9), Traffic(traffic.calls[:1], 0)) is None


def test_rules_that_price_hits_lower_are_said_to_be_chosen_for_it() -> None:
    held, told = outcome(bills((rule(), rule(read=Decimal(1))), shape().traffic))
    assert not held
    assert told.startswith("1 of 2 rules price a hit below") and "were chosen because" in told


@pytest.mark.parametrize(
    ("facts", "requests", "assumes"),
    [
        ({}, 10, True),
        ({"lifetime_s": 300}, 10, False),
        ({"lifetime_s": 172_800}, 10, False),
        ({}, 1, False),
    ],
)
def test_a_hit_after_a_time_that_no_fact_covers_is_called_an_assumption(
    facts: dict[str, int], requests: int, assumes: bool
) -> None:
    bill = make_bill(rule(**facts), shape(requests=requests, gap_s=86_400).traffic)
    assert bill.assumes_kept is assumes
    assert ("under 1 only if a prefix is kept" in outcome((bill,))[1]) is assumes
    for told in (effect(bill), headline(bill)):
        assert ("if kept for 24 hours" in told) is assumes


def test_no_single_change_is_offered_where_two_are_needed() -> None:
    limited = rule(minimum_tokens=512, lifetime_s=300)
    assert what_would_change(limited, shape(prefix=500, gap_s=400)) == ()


def test_the_price_file_holds_dated_rules_with_their_sources() -> None:
    rules = load_prices()
    assert {one.vendor for one in rules} >= {"OpenAI", "Anthropic", "Google", "DeepSeek", "Groq"}
    assert all(one.source.scheme == "https" and one.read_on.year >= 2026 for one in rules)
    by_id = {one.id: one for one in rules}
    assert by_id["deepseek-v4-pro"].cached_price == Decimal("0.00000015")
    assert by_id["openai-gpt-4.1"].evidence_of("granularity_tokens") is Evidence.UNVERIFIED
    assert by_id["openai-gpt-4.1"].evidence_of("write") is Evidence.VERIFIED
    assert by_id["bedrock"].lacks == ("read", "write")


def test_a_rule_is_as_certain_as_its_weakest_fact() -> None:
    assert rule().evidence is Evidence.VERIFIED
    assert rule(third_party=["read"]).evidence is Evidence.THIRD_PARTY
    assert rule(third_party=["read"], unverified=["write"]).evidence is Evidence.UNVERIFIED


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rule = 3", r"has to hold \[\[rule\]\] entries"),
        ("", r"has to hold \[\[rule\]\] entries"),
        ("rule = [1]", "rule 1 is not a table"),
        ("[[rule", "is not TOML in UTF-8"),
        (ROW + ROW, "more than one rule has the id a"),
        (ROW + ROW.replace('"a"', '"b"').replace("1.25", '"x"'), r"rule 2 \(b\): write: "),
        (ROW + "reed = 0.1", r"rule 1 \(a\): reed: "),
        (ROW + "lifetime_s = 0", r"rule 1 \(a\): lifetime_s: "),
        (ROW.replace('id = "a"', ""), "rule 1: id: "),
        (ROW + 'currency = "USD"', "currency and input_price come together"),
        (ROW + "output_price = 1", "output_price is an amount of money"),
        (ROW + "read_price = 1", "read or read_price, not both"),
        (ROW + 'unverified = ["minimum_tokens"]', "'minimum_tokens' is marked"),
        (ROW + 'unverified = ["read"]\nthird_party = ["read"]', "not both"),
        (ROW.replace("0.1", "nan"), r"rule 1 \(a\): read: "),
    ],
)
def test_a_wrong_price_file_is_refused_with_the_row_and_the_reason(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(PriceError, match=says):
        load_prices(price_file(tmp_path, text))


def test_a_missing_price_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(PriceError, match="can't be read"):
        load_prices(tmp_path / "prices.toml")


def test_a_number_of_the_file_keeps_all_its_digits(tmp_path: Path) -> None:
    (one,) = load_prices(price_file(tmp_path, ROW.replace("0.1", "0.10000000000000000000001")))
    assert one.read == Decimal("0.10000000000000000000001")
