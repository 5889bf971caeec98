"""What measured orders of a prompt say: sentences, reasons and warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from prefix_engine.compare import State
from prefix_engine.lessons.ordering import QUESTION, Ordered, Orders, suggest, swapped
from prefix_engine.lessons.parts import (
    TEMPLATE,
    Arrangement,
    Part,
    in_order,
    kept_characters,
    times_changed,
)
from prefix_engine.ranktest import chance_in_words
from prefix_engine.speed import ENOUGH_TRIALS, SpeedKind
from ui.lessons.trials import disturbed_in_words, runs_in_words
from ui.wording import milliseconds

SHARES = (
    (0.1, "Almost nothing: less than 10%"),
    (0.5, "Some: 10 to 50%"),
    (0.9, "Most: 50 to 90%"),
    (1.0, "Nearly all: more than 90%"),
)
"""The answers to the prediction, each with the largest share that it stands for."""

QUOTATION = (
    "… put novel tokens as late as you can. A long fixed system prompt followed by the user's "
    "question reuses the whole system prompt every time; the same content with a per-request id "
    "pasted at the front reuses nothing."
)

MEANING = {
    frozenset({"system", "tools"}): "Both are instructions; their order seldom matters.",
    frozenset({"system", "documents"}): "A text that stands before the instructions, or after them,"
    " may be taken for one: check that the rules still win over what a document says.",
    frozenset({"system", "history"}): "Rules that stand after the conversation read as a new turn"
    " of it, and a passenger's words before the rules may be taken for rules.",
    frozenset({"system", "question"}): "A model tends to follow what it reads last: rules after the"
    " question may be answered themselves, a question before the rules may be missed.",
    frozenset({"tools", "question"}): "The model reads the question without knowing its tools, or"
    " the list of tools as a part of the question.",
    frozenset({"documents", "history"}): "What was said so far may rest on other documents than"
    " those that now stand before it.",
    frozenset({"documents", "question"}): "The question reads as asked about what stands before"
    " it; documents after it may be taken for a part of what the passenger wrote.",
    frozenset({"history", "question"}): "The question no longer answers the last turn: words like"
    ' "that price" lose what they point to, and the model may go on with the old turn.',
    frozenset({"tools", "documents"}): "A text that stands right beside the list of tools may be"
    " taken for a part of it: leave a heading before each of the two.",
    frozenset({"tools", "history"}): "Tools before the conversation hold for all of it; after it"
    " they read as new, or as something that the passenger wrote.",
    frozenset({"date", "system"}): "Rules that speak of today need the date: the model still reads"
    " it, but no longer on the other side of the rules.",
    frozenset({"date", "tools"}): "They hardly speak of each other; a date that stands right after"
    " the tools may be taken for a part of their list.",
    frozenset({"date", "documents"}): "A date before the documents is that of the request; right"
    " after them it may be taken for the date on which they were written.",
    frozenset({"date", "history"}): "A date after the conversation is the date of now; before it,"
    " it reads as the date on which the conversation began.",
    frozenset({"date", "question"}): 'Words like "tomorrow" need the date: after the question it'
    " is still read, but as a part of the question.",
}
"""What may change in meaning where two parts change places."""

UNKNOWN_MEANING = "What this changes in meaning is not known here: read both prompts and try them."
"""The same, where nobody wrote it down; of the request id, `ID_ADVICE` is told instead."""

LIMITS = (
    "**Whether the answers stay as good.** Another order is another prompt: the model may answer "
    "otherwise. Reuse is measured here, quality is not. Try your own questions before you ship it.",
    "**Any order at all.** Many APIs fix a part of the order for you (Anthropic's: tools, then "
    "system, then messages). There you can move things only within a part.",
    "**Blocks and minimum lengths.** This engine reuses to the token. Others reuse whole blocks, "
    "or nothing below about 1,024 tokens.",
    "**A long wait between requests.** A provider's cache forgets after minutes or hours; here "
    "nothing is forgotten between two requests.",
    "**Long prompts.** A few hundred tokens on one small model: with more, a cut costs more.",
)

ID_ADVICE = (
    "A request id means nothing to the model. If only your logs need it, leave it out of the "
    "prompt: there it can break nothing."
)


def share_in_words(share: float) -> str:
    """The answer to the prediction that is right for this share."""
    return next(words for most, words in SHARES if share <= most)


def headline(orders: Orders) -> str:
    """How much the requests after the first one reuse, in both orders."""
    given, suggested = orders.given, orders.suggested
    who = (
        "Request 2 reuses"
        if len(given.later) == 1
        else f"Requests 2 to {len(given.later) + 1} reuse"
    )
    if given.order == suggested.order:
        return f"{who} {_reuse(given)} in this order, which is the suggested one."
    return f"{who} {_reuse(given)} in this order, and {_reuse(suggested)} in the suggested one."


def speed_in_words(orders: Orders) -> str:
    """Whether the suggested order's later requests were faster, with the medians."""
    if orders.given.order == orders.suggested.order:
        return ""
    later = [*orders.given.later, *orders.suggested.later]
    medians = (
        f"Each dot is one run, {runs_in_words(later)} of each request; a bar is the median. "
        f"Median over the later requests: {_median(orders.given)} in this order, "
        f"{_median(orders.suggested)} in the suggested one.{disturbed_in_words(later)}"
    )
    pairs = orders.speed
    if pairs.kind is SpeedKind.TOO_FEW:
        return (
            f"{medians} Too few runs to tell which is faster: {pairs.count} undisturbed pairs, "
            f"{ENOUGH_TRIALS} are needed."
        )
    faster = pairs.kind is SpeedKind.FASTER
    verdict = "The suggested order is faster" if faster else "No clear difference"
    return (
        f"{medians} {verdict}: in {pairs.wins} of {pairs.count} pairs (one request in one round) "
        f"it came sooner in that order ({chance_in_words(pairs.p)})."
    )


def at_the_front(orders: Orders, titles: Mapping[str, str]) -> str:
    """What is reused with the moved part in front, and whose tokens those are."""
    first = orders.places[0]
    second, part = first.stream.requests[1], titles[orders.moved]
    novel = the(part)
    names = dict.fromkeys(one.part for one in first.stretches[1] if one.state is State.REUSED)
    if not names:
        return f"With {novel} in front, request 2 reuses nothing: its very first token differs."
    owners = {
        TEMPLATE: "the chat template, which every chat begins with",
        part: f"the beginning of {novel}, before what differs in it",
    }
    whose = " and ".join(owners.get(name, the(name)) for name in names)
    return (
        f"With {novel} in front, request 2 reuses {second.reused} of {second.tokens} tokens. "
        f"They belong to {whose}."
    )


def places_in_words(orders: Orders) -> str:
    """How often the times at each place were taken, and how to read the picture of them."""
    runs = runs_in_words([place.stream.requests[1] for place in orders.places])
    return (
        f"Two requests for each place; the picture shows the second one, {runs} at each place. "
        "Each dot is one run, a bar the median."
    )


def reasons(parts: Sequence[Part], arrangement: Arrangement) -> list[str]:
    """Why the suggested order is as it is: a line for each part, in that order."""
    steps = arrangement.requests - 1
    lines = []
    for part in in_order(parts, suggest(parts, arrangement)):
        changed = times_changed(part, arrangement)
        kept = kept_characters(part, arrangement)
        why = f"changes {changed} of {steps} times; its first {kept} characters stay"
        if not changed:
            why = "the same in all requests"
        if part.id == QUESTION:
            why += "; kept at the end, since a model answers what it reads last"
        advice = f" {part.advice}" if changed and part.advice else ""
        lines.append(f"**{part.title}**: {why}.{advice}")
    return lines


def meaning_changes(orders: Orders, titles: Mapping[str, str]) -> list[str]:
    """What the model may now read otherwise, for each pair of parts that changed places."""
    pairs = swapped(orders.given.order, orders.suggested.order)
    warnings = [
        f"**{titles[second]}** now stands before **{titles[first]}**. "
        f"{MEANING.get(frozenset({first, second}), UNKNOWN_MEANING)}"
        for first, second in pairs
        if "id" not in (first, second)
    ]
    if any("id" in pair for pair in pairs):
        warnings.append(f"**{titles['id']}** moved. {ID_ADVICE}")
    return warnings


def outcome(orders: Orders, titles: Mapping[str, str]) -> tuple[bool | None, str]:
    """Whether reuse grew as the part moved back, and where moving it further gained nothing. Where
    another part cuts first, the suggested order has to tell."""
    reused = [place.stream.requests[1].reused for place in orders.places]
    tokens = orders.places[0].stream.requests[1].tokens
    moved = titles[orders.moved]
    said = (
        f"With {the(moved)} in front, request 2 reused {reused[0]} of {tokens} tokens, "
        f"{_beyond(orders.places[0], moved)} of another part; with it at the back {reused[-1]}"
    )
    system = titles.get("system", "")
    whole = {one.state for one in orders.places[-1].stretches[1] if one.part == system}
    said += f", {the(system)} whole among them." if whole == {State.REUSED} else "."
    if reused[-1] < reused[0]:
        return False, said
    if reused[-1] == reused[0]:
        return _by_suggestion(orders, said)
    if sorted(reused) != reused:
        said += " Not every step back reused more."
    enough = reused.index(reused[-1]) + 1
    if enough < len(reused):
        said += (
            f" From place {enough} on nothing more is gained: there another part that changes "
            "comes first, or no part is left that stays."
        )
    return True, said


def _by_suggestion(orders: Orders, said: str) -> tuple[bool | None, str]:
    """The outcome where moving one part changes nothing, because another one cuts first."""
    said += " Another part that changes stands before it and cuts the prefix first."
    given, suggested = orders.given, orders.suggested
    if suggested.later_reused <= given.later_reused:
        return None, f"{said} Choose that one to be moved."
    return True, (
        f"{said} With all that changes at the end, as suggested, the later requests reuse "
        f"{suggested.later_reused:,} tokens in place of {given.later_reused:,}."
    )


def the(title: str) -> str:
    """A part's title inside a sentence: the request id."""
    return f"the {title.lower()}"


def _beyond(ordered: Ordered, part: str) -> str:
    """How many tokens request 2 reused that are neither of this part nor of the template."""
    reused = sum(
        one.tokens
        for one in ordered.stretches[1]
        if one.state is State.REUSED and one.part not in (part, TEMPLATE)
    )
    return f"{reused:,}" if reused else "none"


def _median(ordered: Ordered) -> str:
    return milliseconds(median(one.ttft_median_s for one in ordered.later))


def _reuse(ordered: Ordered) -> str:
    return (
        f"{ordered.later_reused:,} of {ordered.later_tokens:,} tokens ({ordered.later_share:.0%})"
    )
