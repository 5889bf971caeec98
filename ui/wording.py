"""Numbers and verdicts as people read them: one place for units, plurals and rounding."""

from __future__ import annotations

from prefix_engine.machine import Machine
from prefix_engine.model.info import ModelInfo, Promise
from prefix_engine.record import Reply, Run
from prefix_engine.speed import Arm

ARM_MEANING = {
    "cold": "empty cache, everything computed",
    "control": "same length, first token changed: nothing to reuse",
    "hit": "A is in the cache",
}


PROMISES: dict[Promise, str] = {
    "bits": "A hit has the bits of a cold run: the kernels were tried when the model was loaded.",
    "frames": "Strict mode: only whole frames of 64 tokens are computed, stored and reused, so a "
    "hit has the bits of a cold run.",
    "measured": "On this machine the last bits depend on how many tokens are computed at once: "
    "each run shows how far a hit is from a cold run.",
    "fast": "Fast, not bit-identical: up to 16 tokens are computed with 8-bit weights.",
}
"""What is promised of a hit, by `ModelInfo.exact`."""

SHORT_PROMISES: dict[Promise, str] = {
    "bits": "hits bit-identical",
    "frames": "hits bit-identical, frames of 64",
    "measured": "hits equal but for rounding",
    "fast": "fast, not bit-identical",
}

LIMITS = (
    "One small model on one processor. A larger model saves more time by the same hit, since its "
    "prefill costs more; the rule for what is shared is the same.",
    "One request at a time. A server that batches many requests shares its time as well.",
    "Network, queue and tokenizing on the client are not in the time to first token here.",
    '"Cold" is an empty cache on a warm machine; one that just started is slower at everything.',
    "Storing new KV comes after the first token and is not in these times.",
    "A run is called disturbed where others took the processors away. What only slows them, a "
    "lower clock or a neighbour on the same core, is not seen.",
)
"""What a run of two prompts does not show."""


def milliseconds(seconds: float | None) -> str:
    """25 µs, 12.3 ms, 123 ms, 1,234 ms; a dash where there is nothing."""
    if seconds is None:
        return "–"
    if 0 < seconds < 1e-4:
        return f"{seconds * 1e6:.0f} µs"
    value = seconds * 1e3
    return f"{value:.1f} ms" if value < 99.95 else f"{value:,.0f} ms"


def byte_count(count: int) -> str:
    """46,080 B, and from a million on with the rounded size: 15,728,640 B (15.7 MB)."""
    exact = f"{count:,} B"
    return exact if count < 10**6 else f"{exact} ({count / 1e6:.1f} MB)"


def tokens(count: int) -> str:
    """1 token, 2 tokens, 1,024 tokens."""
    return f"{count:,} token{'' if count == 1 else 's'}"


def requests(count: int) -> str:
    """1 request, 2 requests."""
    return f"{count:,} request{'' if count == 1 else 's'}"


def who(model: ModelInfo, machine: Machine) -> str:
    """The model and machine that figures belong to, for beside them."""
    threads = f"{machine.threads} thread{'' if machine.threads == 1 else 's'}"
    promise = SHORT_PROMISES[model.exact]
    return f"{model.label} · {model.precision} · {promise} · {threads} · {machine.processor}"


def provenance(run: Run, recorded: bool) -> str:
    """When and on what a run was made."""
    return made_on(run.date, run.model, run.machine, recorded)


def made_on(date: str, model: ModelInfo, machine: Machine, recorded: bool) -> str:
    """When (an ISO 8601 date, UTC) and on what something was measured."""
    kind = "Recorded" if recorded else "Measured here"
    return f"{kind} on {date[:16].replace('T', ' ')} UTC · {who(model, machine)}"


def replies_compared(run: Run) -> str:
    """What the two replies show, or nothing where there are not two."""
    if len(run.replies) != 2:
        return ""
    cold, hit = run.replies
    if not (cold.ids or hit.ids):
        return (
            "Both are empty: the token that the model likes best here is the one that ends a reply."
        )
    if cold.ids != hit.ids:
        return "The two replies are not the same: a hit is not exact here, see above."
    return (
        "Both say the same. Only the first token can come sooner; later ones are computed one by "
        "one either way. These are one reply each: whether a hit is faster, the trials above tell."
    )


def speed(run: Run) -> str:
    """The verdict on speed, with its medians, and a warning where nothing was reused."""
    hit, control = run.arms[Arm.HIT].median_s, run.arms[Arm.CONTROL].median_s
    medians = f"Medians: {milliseconds(hit)} hit, {milliseconds(control)} control."
    chance = " Nothing was reused, so any difference is chance." if run.reused == 0 else ""
    return f"{run.speed.sentence} {medians}{chance}"


def spreads(run: Run) -> str:
    """How far the trials of each arm lie apart."""
    return ", ".join(f"{arm} {milliseconds(one.spread_s)}" for arm, one in run.arms.items())


def setup(run: Run) -> dict[str, str]:
    """All that figures depend on, by name."""
    model, machine = run.model, run.machine
    return {
        "model": f"{model.label}, computed in {model.precision} on {model.device}",
        "exactness": PROMISES[model.exact],
        "weights, sha256": model.weights_sha256,
        "processor": f"{machine.processor}, {machine.cores} cores, {machine.threads} threads used",
        "memory": f"{machine.memory_gib} GiB",
        "system": machine.system,
        "versions": ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
        "storing A's KV (in no trial)": milliseconds(run.store_a_s),
        "waiting for turns (in no trial)": milliseconds(run.waited_s),
    }


def reply_times(reply: Reply) -> str:
    """The two times of a reply, or why there are none."""
    if not reply.ids:
        return "The model ended this reply at once."
    first = f"time to first token {milliseconds(reply.ttft_s)}"
    if not reply.later_s:
        return first
    later = milliseconds(reply.later_median_s)
    return f"{first}, then {later} a token (median of {len(reply.later_s)})"
