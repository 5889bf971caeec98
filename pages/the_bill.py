"""The bill: dated price rules, and what requests cost under them, with caching and without."""

from __future__ import annotations

import streamlit as st

from prefix_engine.errors import PrefixEngineError
from prefix_engine.lessons.billing import (
    Bill,
    Shape,
    Traffic,
    bills,
    gap_that_changes,
    missed_minimum,
    outcome,
    what_would_change,
)
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
    missed,
    options,
    output,
    pays_from,
    terms,
    unverified,
    usage,
)
from ui.text import complain, page_theme, say
from ui.wording import requests

QUOTATION = "… pay-per-token APIs bill cache-hit tokens cheaper …"
INTRO = (
    "An API that keeps the KV of a prompt's beginning can sell those tokens at a lower price: it "
    "**reads** them from its cache (a **hit**) in place of computing them. Some charge more than "
    "the usual price to **write** a prefix there first. Whether the bill gets smaller depends on "
    "your requests. Every amount on this page is calculated from price rules as they stood in "
    "stored copies of the vendors' pages, read on the day beside them."
)
LIMITS = (
    "Of the chapter's sentence only the price is tested here. That reuse is why it is lower, a "
    "price list can't tell; how near to instant a hit feels is on the other pages, for the model "
    "that runs here.",
    "The rules were chosen because they price caching. How many APIs do is not shown.",
    "Prices change. Each rule was read in a stored copy of a page, on the day beside it; nothing "
    "is looked up while you read this. Discounts, batch prices, price steps for long prompts, "
    "taxes and currency exchange are left out.",
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
    """The chosen rule, the prediction for it, then its bill, then all rules side by side."""
    made = {bill.rule.label: bill for bill in bills(rules, asked.traffic)}
    if not made:
        complain("No rule in assets/prices.toml has all the prices that a bill needs: add them.")
        return
    chosen = made[st.selectbox("Price rule", list(made), key="bill-rule")]
    say(terms(chosen.rule), key="terms")
    guess = ask_to_predict(
        # of these requests under this rule: another bill is another question
        f"bill-{chosen.rule.id}-{hash(asked.traffic)}",
        f"You have {requests(len(chosen.charges))}. Under this rule, from which one on has caching "
        "cost less in all?",
        options(chosen),
    )
    if guess is None:
        return
    show_guess(guess, pays_from(chosen.pays_from))
    show_bill(chosen)
    st.header("What would change it")
    if asked.shape is None:
        show_measured_changes(chosen.rule, asked.traffic)
    else:
        show_changes(chosen.rule, asked.shape)
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
        f"Calculated, not measured · prices read on {rule.read_on:%Y-%m-%d} · weakest fact: "
        f"{mark(rule.evidence)}"
    )
    if rule.evidence is Evidence.UNVERIFIED:
        st.warning(f"Unverified here: {unverified(rule)}.")
    show_chart(cost_chart(bill, page_theme()), "cost")
    say(usage(bill), key="usage")
    say(output(bill), key="output")


def show_measured_changes(rule: Rule, traffic: Traffic) -> None:
    """The gap is all that can be chosen for measured requests; what they miss is told as well."""
    turned, short = gap_that_changes(rule, traffic), missed_minimum(rule, traffic)
    if turned:
        say(change(turned), key="change-gap_s")
    else:
        st.write("No other gap between these requests turns the verdict.")
    if short:
        say(missed(short), key="missed")


def show_changes(rule: Rule, shape: Shape) -> None:
    changes = what_would_change(rule, shape)
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
    st.caption(f"{evidence_legend()}. Read on {rule.read_on:%Y-%m-%d}.")
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
    show_outcome(held, sentence, witness="list of chosen rules")


main()
