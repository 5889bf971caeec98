"""The bill: dated price rules, and what requests cost under them, with caching and without."""

from __future__ import annotations

from decimal import Decimal

import streamlit as st

from prefix_engine.errors import PrefixEngineError
from prefix_engine.lessons.billing import Bill, bills, break_even, outcome, what_would_change
from prefix_engine.lessons.prices import Evidence, Rule, load_prices
from ui.chapter import (
    ask_to_predict,
    offer_json,
    open_page,
    show_chart,
    show_guess,
    show_limits,
    show_outcome,
)
from ui.lessons.bill_chart import bill_table, cost_chart, rule_table
from ui.lessons.bill_inputs import NAME, Asked, ask_for_traffic
from ui.lessons.bill_words import (
    change,
    evidence_legend,
    formula,
    headline,
    mark,
    ordinal,
    output,
    unverified,
    usage,
)
from ui.text import complain, page_theme, say

QUOTATION = (
    "A production API reuses one fixed system prompt across millions of requests, which is why "
    "pay-per-token APIs bill cache-hit tokens cheaper and feel near-instant on the boilerplate"
)
INTRO = (
    "An API that keeps the KV of a prompt's beginning can sell those tokens at a lower price: it "
    "**reads** them from its cache (a **hit**) in place of computing them. Some charge more than "
    "the usual price to **write** a prefix there first. Whether the bill gets smaller depends on "
    "your requests. Every amount on this page is calculated from price rules as they were read on "
    "the day beside them."
)
WRITE, READ = Decimal("1.25"), Decimal("0.1")
LIMITS = (
    "Only the price is tested here. How near to instant a hit feels is on the other pages, for the "
    "model that runs here.",
    "Prices change. Each rule carries the day on which it was read and where; nothing is looked "
    "up while you read this. Discounts, batch prices, price steps for long prompts, taxes and "
    "currency exchange are left out.",
    "A hit is calculated as certain. Real ones are not: some APIs promise none, and a request that "
    "reaches another server finds nothing.",
    "Tokens are the same for every rule here. Each vendor's own tokenizer counts the same text "
    "differently.",
    "The lower price says what vendors charge, not what a hit costs them.",
)


def main() -> None:
    engine = open_page("The bill", QUOTATION, INTRO)
    try:
        rules = load_prices()
        asked = ask_for_traffic(engine)
        if asked is not None:
            predict_then_reveal(rules, asked)
    except PrefixEngineError as error:
        complain(str(error))


def predict_then_reveal(rules: tuple[Rule, ...], asked: Asked) -> None:
    """The prediction, then everything about the chosen rule, then all rules side by side."""
    guess = ask_to_predict(
        "the-bill",
        f"Writing a prefix into a cache costs {WRITE} times the input price, reading it {READ} "
        "times, as in Anthropic's 5-minute cache. From which request on is caching cheaper in all?",
        ["the 1st", "the 2nd", "the 3rd", "the 10th"],
    )
    if guess is None:
        return
    show_guess(guess, ordinal(break_even(WRITE, READ) or 0))
    say(formula(WRITE, READ), key="predicted")
    made = {bill.rule.label: bill for bill in bills(rules, asked.traffic)}
    chosen = made[st.selectbox("Price rule", list(made), key="bill-rule")]
    show_bill(chosen)
    show_changes(chosen.rule, asked)
    with st.expander("The rule, fact by fact"):
        show_rule(chosen.rule)
    show_all(rules, list(made.values()))
    show_limits(LIMITS)
    with st.container(horizontal=True):
        st.download_button(
            "Bills as CSV", bill_table(list(made.values())).to_csv(), "the_bill.csv", "text/csv"
        )
        if asked.counted:
            offer_json(asked.counted, NAME)


def show_bill(bill: Bill) -> None:
    """What one rule's bill comes to, and how it grows."""
    rule = bill.rule
    say(headline(bill), "headline")
    st.caption(
        f"Calculated, not measured · prices as read on {rule.read_on:%Y-%m-%d} · weakest fact: "
        f"{mark(rule.evidence)}"
    )
    if rule.evidence is Evidence.UNVERIFIED:
        st.warning(f"Unverified here: {unverified(rule)}.")
    show_chart(cost_chart(bill, page_theme()), "cost")
    say(usage(bill), key="usage")
    say(output(bill), key="output")


def show_changes(rule: Rule, asked: Asked) -> None:
    st.header("What would change it")
    if asked.shape is None:
        st.write("Measured requests are as they are: choose numbers to see what changes the bill.")
        return
    changes = what_would_change(rule, asked.shape)
    if changes:
        st.caption("One number changed alone, the nearest that turns the verdict:")
    for one in changes:
        say(change(one), key=f"change-{one.what}")
    if not changes:
        st.write("No single one of prefix, gap and number of requests turns the verdict.")


def show_rule(rule: Rule) -> None:
    if rule.write is not None and rule.read is not None and not rule.storage_price_hour:
        say(formula(rule.write, rule.read), key="formula")
    say(rule.note, key="note")
    st.table(rule_table(rule), alt=f"The facts of the rule {rule.label} and who says so.")
    st.caption(f"{evidence_legend()}. As read on {rule.read_on:%Y-%m-%d}.")
    st.link_button("The vendor's page", str(rule.source))


def show_all(rules: tuple[Rule, ...], made: list[Bill]) -> None:
    """The same requests under every rule, what could not be billed, and the sentence judged."""
    st.header("The same requests everywhere")
    st.table(bill_table(made), alt="The bill of these requests under every price rule.")
    for rule in rules:
        if rule.lacks:
            say(f"{rule.label}: {rule.note}", key=f"lacks-{rule.id}")
    st.caption(
        f"The sign before a rule is that of its weakest fact: {evidence_legend()}. "
        "Amounts in “input tokens” are for rules whose price is not in the file: 1 is the price of "
        "one uncached input token. The rules stand in assets/prices.toml, to be edited by hand."
    )
    held, sentence = outcome(made)
    show_outcome(held, sentence, witness="price list")


main()
