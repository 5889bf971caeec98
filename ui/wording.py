"""Numbers and verdicts as people read them: one place for units, plurals and rounding."""

from __future__ import annotations

from decimal import Decimal

from prefix_engine.machine import Machine
from prefix_engine.model.info import ModelInfo
from prefix_engine.record import Exactness, Run

ARM_MEANING = {
    "cold": "empty cache, everything computed",
    "control": "same length, first token changed: nothing to reuse",
    "hit": "A is in the cache",
}


def milliseconds(seconds: float | None) -> str:
    """12.3 ms, 123 ms, 1,234 ms; a dash where there is nothing."""
    if seconds is None:
        return "–"
    value = seconds * 1e3
    return f"{value:.1f} ms" if value < 99.95 else f"{value:,.0f} ms"


def small(difference: float) -> str:
    """One figure that counts, without an exponent: 0.00003."""
    return format(Decimal(f"{difference:.1g}"), "f")


def byte_count(count: int) -> str:
    """46,080 B, and from a million on with the rounded size: 15,728,640 B (15.7 MB)."""
    exact = f"{count:,} B"
    return exact if count < 10**6 else f"{exact} ({count / 1e6:.1f} MB)"


def tokens(count: int) -> str:
    """1 token, 2 tokens, 1,024 tokens."""
    return f"{count:,} token{'' if count == 1 else 's'}"


def who(model: ModelInfo, machine: Machine) -> str:
    """The model and machine that figures belong to, for beside them."""
    threads = f"{machine.threads} thread{'' if machine.threads == 1 else 's'}"
    return f"{model.label} · {model.precision} · {threads} · {machine.processor}"


def provenance(run: Run, recorded: bool) -> str:
    """When and on what a run was made."""
    kind = "Recorded" if recorded else "Measured here"
    when = run.date[:16].replace("T", " ")
    return f"{kind} on {when} UTC · {who(run.model, run.machine)}"


def exactness(exact: Exactness) -> str:
    """The exactness line: what a hit has in common with a cold run of the same prompt."""
    if exact.bit_identical:
        return "Exact: the hit has the same bits as a cold run, in the reused KV and in all logits."
    kv = (
        "the reused KV has the same bits"
        if exact.kv_equal
        else f"the reused KV differs by at most {small(exact.max_abs_kv_diff)}"
    )
    logits = (
        "the logits have the same bits"
        if exact.logits_equal
        else f"the logits differ by at most {small(exact.max_abs_logit_diff)}"
    )
    first = (
        "the first token is the same"
        if exact.same_first_token
        else "the first token is another one"
    )
    return f"Not the same bits as a cold run: {kv}, {logits}, and {first}."


def replies_compared(run: Run) -> str:
    """What the two replies show, or nothing where there are not two."""
    if len(run.replies) != 2:
        return ""
    cold, hit = run.replies
    if not (cold.ids or hit.ids):
        return (
            "Both are empty: the token that the model likes best here is the one that ends a reply."
        )
    same = "Both say the same" if cold.ids == hit.ids else "The two replies are not the same"
    return (
        f"{same}. Only the time to the first token can change: "
        f"{milliseconds(cold.ttft_s)} cold, {milliseconds(hit.ttft_s)} from the cache."
    )
