"""What the arms of "One user, many users" say, in sentences and one table."""

from __future__ import annotations

from statistics import median

import pandas as pd

from prefix_engine.lessons.crowd import Crowd, Sharing, Who
from prefix_engine.lessons.held import PARTLY, Held
from prefix_engine.ranktest import chance_in_words
from prefix_engine.speed import ENOUGH_TRIALS, SpeedKind
from ui.lessons.trials import disturbed_in_words, runs_in_words
from ui.wording import milliseconds, tokens

QUOTATION = (
    "And the honest footnote for this demo: as a single user at batch 1 you have nothing to share "
    "a prefix with — every request re-prefills the whole prompt cold."
)

NOTHING = "Nothing: there is nobody to share a prefix with"
QUESTION_ONLY = "All but about the question: the system prompt is in the cache"
EVERYTHING = "Everything: the same user needs no computing twice"
ANSWERS = (NOTHING, QUESTION_ONLY, EVERYTHING)

MEANINGS = {
    Who.UNRELATED: "four prompts that begin differently",
    Who.SYSTEM: "four questions, each after the same system prompt",
    Who.CHAT: "each request sends the whole conversation so far again",
    Who.REPEAT: "nothing is new, yet the last token is always computed",
    Who.CROWD: "the same prompts, now one from each user",
    Who.SALTED: "the same again, but a namespace (a salt) keeps the users apart",
}

LIMITS = (
    "**Many users at once.** All requests here run one after another, at batch size 1. A server "
    "that batches them shares its time as well; what is reused follows the same rule.",
    "**A cache that is full.** Nothing was evicted here. With thousands of users, those who ask "
    "seldom may find their prefix gone.",
    "**Measured crowds of thousands.** Beyond the users that were measured, the curve is "
    "calculated: each further user sends a request like the mean of the later ones.",
    "**Written replies.** The replies in the chat were written beforehand, so that each run sends "
    "the same. Text that a model generated may come back in other tokens, and then reuse ends.",
    "**Whether sharing is safe.** A shared cache can tell one user, by its speed, what another has "
    "asked. A namespace for each tenant closes that, and gives up the sharing between them.",
)


def headline(crowd: Crowd) -> str:
    """What one user alone reuses in three ways."""
    unrelated, system, chat = (crowd.of(who) for who in (Who.UNRELATED, Who.SYSTEM, Who.CHAT))
    return (
        f"One user alone reuses {unrelated.hit_rate:.0%} of the tokens with unrelated prompts, "
        f"{system.hit_rate:.0%} behind one system prompt, and {chat.hit_rate:.0%} in one chat."
    )


def right_answer(crowd: Crowd) -> str:
    """The answer to the prediction that the arm of one user with one system prompt gives."""
    later = crowd.of(Who.SYSTEM).requests[1:]
    share = sum(one.reused for one in later) / sum(one.tokens for one in later)
    return NOTHING if share < 0.5 else QUESTION_ONLY


def many_in_words(crowd: Crowd) -> str:
    """The arms of many users beside that of one."""
    shared, salted = crowd.of(Who.CROWD), crowd.of(Who.SALTED)
    return (
        f"{crowd.users} users behind that system prompt reuse {shared.hit_rate:.0%}: the cache "
        f"knows tokens, not users. With a namespace for each of them they reuse "
        f"{salted.hit_rate:.0%}: nobody finds what another one stored."
    )


def speed_in_words(crowd: Crowd) -> str:
    """Whether requests that found their system prompt in the cache were faster than without."""
    found = crowd.found
    medians = (
        f"Each dot is one run, {runs_in_words(found)} of each request; a bar is the median. Median "
        f"over the {len(found)} requests that found their system prompt in the cache: "
        f"{milliseconds(median(one.ttft_median_s for one in found))} with the cache, "
        f"{milliseconds(median(one.cold_median_s for one in found))} without it."
        f"{disturbed_in_words(found)}"
    )
    pairs = crowd.speed
    if pairs.kind is SpeedKind.TOO_FEW:
        return (
            f"{medians} Too few runs to tell which is faster: {pairs.count} undisturbed pairs, "
            f"{ENOUGH_TRIALS} are needed."
        )
    faster = pairs.kind is SpeedKind.FASTER
    verdict = "It is faster with the cache" if faster else "No clear difference"
    return (
        f"{medians} {verdict}: in {pairs.wins} of {pairs.count} pairs (one request in one round) "
        f"the first token came sooner with it ({chance_in_words(pairs.p)})."
    )


def sharing_in_words(sharing: Sharing) -> str:
    """What so many users compute in all."""
    how = "Measured" if sharing.measured else "Calculated"
    users = "1 user computes" if sharing.users == 1 else f"{sharing.users:,} users compute"
    return (
        f"{how}: {users} {tokens(sharing.prefilled)} of {sharing.tokens:,}; "
        f"{sharing.hit_rate:.1%} are reused. Without sharing it would be all of them."
    )


def outcome(crowd: Crowd) -> tuple[Held, str]:
    """Whether one user at batch size 1 reused nothing in every arm; and what the footnote means."""
    alone = [crowd.of(who) for who in (Who.SYSTEM, Who.CHAT, Who.REPEAT)]
    reused = sum(stream.reused for stream in alone)
    if not reused:
        return True, "One user reused nothing, in every arm."
    unrelated = crowd.of(Who.UNRELATED)
    cold = (
        "reused nothing" if not unrelated.reused else f"reused even so {tokens(unrelated.reused)}"
    )
    return PARTLY, (
        "It holds for the demo that it speaks of, which keeps nothing between requests: that one "
        "prefills every prompt whole (the times without the cache), and a single user has nobody "
        "else whose prefix to share. It does not hold for every single user at batch 1: here each "
        "request ran alone, and one user who sends the same beginning again still reused "
        f"{tokens(reused)}, because this engine keeps KV between requests. With unrelated prompts "
        f"that user {cold}. Batch size, how many requests are computed at once, is not the cause."
    )


def unmeasured(users: int, crowd: Crowd) -> str:
    """That so many users were not measured, and how many are shown instead."""
    return f"{users} users are not measured yet: run it here. Below are {crowd.users} users."


def two_caches(crowd: Crowd) -> pd.DataFrame:
    """Response caching beside prefix caching, with what was measured here."""
    again, other = crowd.of(Who.REPEAT).requests[1], crowd.of(Who.SYSTEM).requests[1]
    rows = {
        "keeps": ("whole answers", "the KV of prompts"),
        "hits when": ("the same request comes again", "requests begin with the same tokens"),
        "a hit skips": ("the model, altogether", "the prefill of the shared beginning, no more"),
        "the answer": ("the old one, even if it is outdated", "computed anew"),
        "here: the same request again": (
            "would compute nothing (calculated)",
            f"computed {again.computed} of {again.tokens} tokens",
        ),
        "here: another question": (
            f"would compute all {other.tokens} tokens (calculated)",
            f"computed {other.computed} of {other.tokens} tokens",
        ),
    }
    table = pd.DataFrame(rows, index=["response cache", "prefix cache"]).T
    return table.rename_axis("what")
