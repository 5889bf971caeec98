"""What a sequence of requests did to the tree, in words. Of prompts only their numbers are told."""

from __future__ import annotations

from collections.abc import Sequence

from prefix_engine.lessons.growth import Growth
from prefix_engine.lessons.held import PARTLY, Held

NOTHING_GOES = "Nothing is evicted"


def first_to_go(growth: Growth) -> str:
    """Whose KV was evicted first: the answer to the page's question."""
    number = growth.first_eviction
    if number is None:
        return NOTHING_GOES
    return request_name(growth.steps[number - 1].evicted[0].requests[-1])


def request_name(number: int) -> str:
    """`Request 3`."""
    return f"Request {number}"


def overall(growth: Growth) -> str:
    """The sequence in one sentence."""
    reused = growth.tokens - growth.computed
    told = (
        f"{_many(len(growth.requests), 'request')} with {_many(growth.tokens, 'token')}: "
        f"{reused:,} reused, {growth.computed:,} computed"
    )
    again = growth.computed_again
    if again:
        told += f", {again:,} of them again, because they had been evicted."
    else:
        told += ", each shared beginning only once."
    repeats = [n for n, step in enumerate(growth.steps, 1) if step.is_repeat]
    if not repeats:
        return told
    whole = f"{_names(repeats).capitalize()} repeat{'s' if len(repeats) == 1 else ''}"
    return f"{told} {whole} an earlier one: the last token is computed again even so."


def first_eviction(growth: Growth) -> str:
    """What the first eviction took, and what it left."""
    number = growth.first_eviction
    if number is None:
        return f"All fits into {_many(growth.budget_tokens, 'token')}, so nothing is evicted."
    gone = growth.steps[number - 1].evicted[0]
    owner = gone.requests[-1]
    told = (
        f"The first eviction comes with request {number}. It takes the end of request {owner}, "
        f"{_many(gone.tokens, 'token')}: the leaf that was not used for the longest time."
    )
    step = growth.steps[number - 1]
    if len(step.evicted) > 1:
        told += f" With what goes after it, {_many(step.evicted_tokens, 'token')} make room."
    elif gone.start:
        told += f" The {_many(gone.start, 'token')} before it are a node of their own and stay."
    return told


def what_happened(growth: Growth, number: int) -> str:
    """What one request found, stored, split and drove out."""
    step = growth.steps[number - 1]
    if step.reused:
        told = f"Request {number} reuses {step.reused:,} of its {_many(step.tokens, 'token')}"
        told += f" and computes {step.computed:,}."
    else:
        told = f"Request {number} finds nothing: all {_many(step.tokens, 'token')} are computed."
    if step.present == step.tokens:
        told += " All were in the tree; the last is computed all the same, for its logits."
    if step.computed_again:
        told += f" {step.computed_again:,} of these had been stored and evicted: computed again."
    if step.refused:
        told += " It is answered but not stored: what is pinned or in use leaves too little room."
    places = sorted({piece.start for piece in step.pieces if piece.split})
    if places:
        told += f" A node is split after {' and '.join(map(str, places))} tokens, "
        told += "where reuse stops." if places == [step.reused] else "where prompts part or end."
    if step.evicted:
        told += (
            f" {_many(step.evicted_tokens, 'token')} had to go: "
            f"the end of {_names([piece.requests[-1] for piece in step.evicted])}."
        )
    return told


def outcome(growth: Growth) -> tuple[Held, str]:
    """Whether "computed once, skipped by every later request" held in this sequence."""
    sharing = [n for n, step in enumerate(growth.steps, 1) if step.seen and step.tokens > 1]
    if not sharing:
        return None, "No two of these requests begin with the same token: nothing could be shared."
    again = [n for n in sharing if growth.steps[n - 1].computed_again]
    if again:
        stored = not any(step.refused for step in growth.steps)
        held: Held = PARTLY if len(again) < len(sharing) else False
        return held, (
            f"In {len(sharing) - len(again)} of the {_many(len(sharing), 'request')} that began "
            f"like an earlier one it held. {_names(again).capitalize()} found "
            f"{_many(growth.computed_again, 'token')} "
            f"{'evicted' if stored else 'evicted or never stored'}, for want of room in the "
            "budget, and computed them again. The sentence holds for as long as the KV is kept: "
            "raise the budget, or pin, and run it again."
        )
    return True, (
        f"{_many(len(sharing), 'request')} began like an earlier one. Each skipped all of what "
        "they shared (but never its own last token), and that is in the tree once."
    )


def memory(growth: Growth, number: int) -> str:
    """The bytes that are held after a request, and what the same prompts would take one by one."""
    step = growth.steps[number - 1]
    whole = growth.whole_prompts(number)
    apart = sum(len(growth.requests[n - 1].ids) for n in whole)
    per_token = growth.numbers.bytes_per_token
    held = step.held_bytes / step.stored_tokens if step.stored_tokens else 0
    return (
        f"Measured after request {number}: {step.held_bytes:,} bytes held for "
        f"{_many(step.stored_tokens, 'token')} in the tree, {held:,.0f} bytes each. The "
        f"{_many(len(whole), 'different prompt')} held whole would take {apart * per_token:,} "
        "bytes if each had a copy of its own (calculated)."
    )


def _names(numbers: Sequence[int]) -> str:
    unique = sorted(set(numbers))
    if len(unique) == 1:
        return f"request {unique[0]}"
    return f"requests {', '.join(map(str, unique[:-1]))} and {unique[-1]}"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
