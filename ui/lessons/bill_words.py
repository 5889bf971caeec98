"""A bill in words: amounts, verdicts, what a rule says and who says so."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from prefix_engine.lessons.billing import Bill, Change, Missed, Verdict, break_even
from prefix_engine.lessons.prices import Evidence, Rule
from ui.wording import requests, tokens

EVIDENCE_GLYPH = {Evidence.VERIFIED: "✔", Evidence.THIRD_PARTY: "◐", Evidence.UNVERIFIED: "?"}
EVIDENCE_MEANING = {
    Evidence.VERIFIED: "read in a stored copy of the vendor's own page, which may have changed "
    "since",
    Evidence.THIRD_PARTY: "read in a stored copy of somebody else's page",
    Evidence.UNVERIFIED: "pages disagree, are old, or could not be read",
}
VERDICT_GLYPH = {Verdict.PAYS: "✓", Verdict.SAME: "=", Verdict.COSTS: "✗"}

FACTS = {
    "input_price": "input price",
    "output_price": "output price",
    "read": "read",
    "read_price": "read price",
    "write": "write",
    "minimum_tokens": "minimum length",
    "granularity_tokens": "granularity",
    "lifetime_s": "lifetime",
    "renewed": "renewed by reading",
    "storage_price_hour": "storage rent",
    "whole_units": "only whole stored units",
    "usage_field": "usage field",
    "count_includes_cached": "prompt count includes what was read",
}
"""The facts of a rule, by their names in the file, as a person calls them."""

TERMS = (
    "input_price",
    "read",
    "read_price",
    "write",
    "storage_price_hour",
    "minimum_tokens",
    "granularity_tokens",
    "lifetime_s",
    "whole_units",
)
"""The facts that a bill depends on most."""

ASSUMED = {
    "read": "not known: no bill",
    "write": "not known: no bill",
    "minimum_tokens": "none read: taken as none",
    "granularity_tokens": "none read: taken as 1 token",
    "lifetime_s": "not read: taken as never ending",
    "renewed": "not read: taken as no",
}
"""What a bill takes in place of a fact that the file does not hold."""

_DIGITS = Decimal(10) ** -12


def money(amount: Decimal, unit: str) -> str:
    """Every digit of it, with its unit: 0.05125 USD; with ≈ where it has more than 12 decimals."""
    kept = amount.quantize(_DIGITS, ROUND_HALF_EVEN)
    about = "" if kept == amount else "≈ "
    return f"{about}{kept.normalize() + 0:,f} {unit}"


def mark(evidence: Evidence) -> str:
    return f"{EVIDENCE_GLYPH[evidence]} {evidence}"


def saving(bill: Bill) -> str:
    """The input's cost with caching against without: "57.3% less"."""
    if bill.without == 0 or bill.cost == bill.without:
        return "the same"
    percent = abs(bill.without - bill.cost) * 100 / bill.without
    shown = "under 0.1" if percent < Decimal("0.1") else f"{percent:,.1f}"
    return f"{shown}% {'less' if bill.cost < bill.without else 'more'}"


def effect(bill: Bill) -> str:
    """The verdict in a few words, for a table."""
    if bill.verdict is Verdict.SAME:
        return str(bill.verdict)
    start = f" from {ordinal(bill.pays_from)} request" if bill.pays_from else ""
    return f"{bill.verdict}{start}: {saving(bill)}{if_kept(bill)}"


def if_kept(bill: Bill) -> str:
    """The condition of a bill under a rule whose lifetime is not in the file."""
    return f", if kept for {seconds(bill.gap_s)}" if bill.assumes_kept else ""


def evidence_legend() -> str:
    return "; ".join(f"{mark(one)}: {meaning}" for one, meaning in EVIDENCE_MEANING.items())


def headline(bill: Bill) -> str:
    """What caching does to this bill, and from which call on."""
    rule, calls = bill.rule, len(bill.charges)
    costs = f"{money(bill.cost, rule.unit)} instead of {money(bill.without, rule.unit)}"
    if bill.verdict is Verdict.SAME:
        return f"{rule.label}: caching changes nothing. {_why_nothing(bill)}"
    if bill.verdict is Verdict.COSTS:
        return (
            f"{rule.label}: caching costs more: {costs} for the input of {requests(calls)}, "
            f"{saving(bill)}. {_why_more(bill)}"
        )
    return (
        f"{rule.label}: caching pays from {ordinal(bill.pays_from or calls)} request on. "
        f"The input of {requests(calls)} costs {costs}: {saving(bill)}{if_kept(bill)}."
    )


def _why_nothing(bill: Bill) -> str:
    minimum = bill.rule.minimum_tokens
    if bill.written == 0 and minimum:
        return f"No prefix here reaches the minimum of {tokens(minimum)}, so nothing is cached."
    if bill.read == 0:
        return "Nothing was read from the cache, and writing costs no more than input."
    return "What reading saves and what writing costs extra are the same."


def _why_more(bill: Bill) -> str:
    if bill.read == 0:
        expired = f"; it had expired {_times(bill.expired)}" if bill.expired else ""
        return f"The prefix was written, at a higher price, and never read{expired}."
    return "Too little was read to earn back what writing cost extra."


def usage(bill: Bill) -> str:
    """What the usage fields would add up to, and how each API counts them."""
    counts = (
        f"Over all requests: {tokens(bill.read)} read from the cache, {bill.written:,} written to "
        f"it, {bill.plain:,} neither."
    )
    if bill.expired:
        counts += f" The prefix had expired {_times(bill.expired)} and was written again."
    return f"{counts} {_reported(bill)}".rstrip()


def _reported(bill: Bill) -> str:
    rule = bill.rule
    if rule.usage_field is None:
        return ""
    report = f"The API reports what was read as {rule.usage_field}"
    if not bill.read and not bill.written:
        return f"{report}."
    if rule.count_includes_cached is None:
        return f"{report}."
    if rule.count_includes_cached:
        return (
            f"{report}; its prompt count, {bill.read + bill.written + bill.plain:,}, includes it."
        )
    return f"{report}; its prompt count, {bill.plain:,}, leaves it out, and what was written too."


def output(bill: Bill) -> str:
    """What the answers cost, which caching does not change."""
    if bill.output_cost is None:
        return "The price of output is not in the file: the answers are not in this bill."
    if bill.output_cost == 0:
        return "No answers are counted."
    return f"The answers cost {money(bill.output_cost, bill.rule.unit)} more, cached or not."


def change(one: Change) -> str:
    """One sentence: this number instead of yours, and the verdict then."""
    then = {
        Verdict.PAYS: "caching pays",
        Verdict.SAME: "caching changes nothing",
        Verdict.COSTS: "caching costs more",
    }[one.verdict]
    if one.what == "prefix":
        return f"With a shared prefix of {tokens(one.value)}, {then}."
    if one.what == "gap_s":
        return f"With {seconds(one.value)} between requests, {then}."
    return f"With {requests(one.value)}, {then}."


def missed(one: Missed) -> str:
    """How the shared beginnings fall short of a minimum length."""
    if one.calls < one.of:
        return (
            f"{one.calls} of {one.of} later requests share less than the minimum of "
            f"{tokens(one.minimum_tokens)}, so they read nothing."
        )
    return (
        f"The longest beginning that is shared here has {tokens(one.longest_tokens)}: "
        f"{one.minimum_tokens - one.longest_tokens:,} short of the minimum of "
        f"{tokens(one.minimum_tokens)}."
    )


def terms(rule: Rule) -> str:
    """What the learner has to know of a rule before guessing what it makes of a bill."""
    told = [name for name in TERMS if getattr(rule, name) or name == "lifetime_s"]
    named = [f"{FACTS[name]} {fact(rule, name)}" for name in told]
    return f"The rule: {'; '.join(named)}."


def pays_from(number: int | None) -> str:
    """From which request on caching has cost less; None: from none."""
    return f"from {ordinal(number)} request on" if number else "never with these requests"


def options(bill: Bill) -> tuple[str, ...]:
    """What `pays_from` may be guessed to be: the truth among others, each once."""
    calls = len(bill.charges)
    numbers = {1, 2, 3, 10, bill.pays_from or 1}
    return (*(pays_from(n) for n in sorted(numbers) if n <= calls), pays_from(None))


def fact(rule: Rule, name: str) -> str:
    """One fact of a rule with its unit; what is taken in its place where it is not known."""
    value = getattr(rule, name)
    if value is None:
        return ASSUMED.get(name, "not read")
    match name:
        case "read" | "write":
            return f"{value} × input"
        case "input_price" | "output_price" | "read_price":
            return f"{money(value, rule.unit)} for a million tokens"
        case "storage_price_hour":
            return f"{money(value, rule.unit)} for a million tokens and an hour"
        case "minimum_tokens" | "granularity_tokens":
            return tokens(value)
        case "lifetime_s":
            return seconds(value)
        case "usage_field":
            return str(value)
    return "yes" if value else "no"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def formula(write: Decimal, read: Decimal) -> str:
    """The break-even of one prefix, as a formula and in words."""
    costs = f"N requests over one prefix cost {write} + {read} × (N − 1) prefixes with caching, N"
    first = break_even(write, read)
    pays = f"smaller from {ordinal(first)} request on" if first else "never smaller"
    return f"{costs} without: {pays}."


def unverified(rule: Rule) -> str:
    return ", ".join(FACTS[name] for name in FACTS if name in rule.unverified)


def seconds(count: int) -> str:
    """45 seconds, 5 minutes, 2 hours; the largest unit that leaves no rest."""
    for size, name in ((3600, "hour"), (60, "minute")):
        if count and count % size == 0:
            return f"{count // size:,} {name}{'' if count == size else 's'}"
    return f"{count:,} second{'' if count == 1 else 's'}"


def ordinal(number: int) -> str:
    """the 1st, the 2nd, the 3rd, the 11th."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"the {number:,}{'th' if number % 100 in (11, 12, 13) else ending}"
