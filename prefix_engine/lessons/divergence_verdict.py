"""What a divergence map says about the chapter's sentence, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from prefix_engine.lessons.divergence import Agreement, Divergence


class Answer(StrEnum):
    """Where text that reads the same again has the same KV."""

    EVERYWHERE = "Yes: the same words have the same KV"
    LAYER_0 = "Only in layer 0, the lowest one; nowhere above it"
    LAYER_0_VALUES = "Only the values of layer 0, the lowest one; not its keys"
    NOWHERE = "No: it is another KV in every layer"


@dataclass(frozen=True)
class DivergenceVerdict:
    """`headline` is the main finding, `before` is about the shared prefix, `layer_0` about the
    lowest layer. `held` and `answer` are None where no text comes again: nothing can be told."""

    headline: str
    before: str
    layer_0: tuple[str, ...]
    held: bool | None
    answer: Answer | None
    outcome: str


def judge(divergence: Divergence) -> DivergenceVerdict:
    """Put a map into words."""
    agreements = [one for one in (divergence.in_place, divergence.moved) if one]
    return DivergenceVerdict(
        headline=_headline(divergence),
        before=_before(divergence),
        layer_0=tuple(
            sentence
            for sentence in (_in_place(divergence.in_place), _moved(divergence.moved))
            if sentence
        ),
        held=divergence.held,
        answer=_answer(divergence.held, agreements),
        outcome=_outcome(divergence, any(one.keys or one.values for one in agreements)),
    )


def percent(ratio: float) -> str:
    """Two figures that count, without an exponent: 0.012%, 3.6%, 87%, 120%."""
    return f"{Decimal(f'{ratio * 100:.2g}'):f}%"


def _headline(divergence: Divergence) -> str:
    count = len(divergence.again)
    if divergence.shared == len(divergence.b_tokens) == len(divergence.a_tokens):
        return "A and B are the same prompt: there is no first difference, and nothing after it."
    if not count:
        return "After the first difference no token of B is in A again: nothing can be compared."
    begins = f"After the first difference, {_tokens(count, 'reads', 'read')} the same as in A."
    if not divergence.above:
        return f"{begins} This model has one layer only: there is nothing above layer 0."
    low, high = divergence.above[0], divergence.above[-1]
    if divergence.held:
        return (
            f"{begins} Their KV is not the same: above layer 0 it differs everywhere, "
            f"by {percent(low)} to {percent(high)}."
        )
    same = sum(x <= divergence.rounding for x in divergence.above)
    return f"{begins} At {same:,} of {len(divergence.above):,} places above layer 0 so is their KV."


def _before(divergence: Divergence) -> str:
    if divergence.shared == 0:
        return "The very first token differs, so there is no shared beginning."
    kv = f"the KV of {_tokens(divergence.shared, 'is', 'is')} the same in all layers"
    begins = f"In the shared beginning, {kv}"
    if divergence.rounding == 0:
        return f"{begins}, to the last bit: that is what a cache may reuse."
    return (
        f"{begins} but for rounding, at most {percent(divergence.rounding)}: prompts of other "
        "lengths are computed in other pieces."
    )


def _in_place(found: Agreement | None) -> str | None:
    if found is None:
        return None
    stand = _tokens(found.tokens, "stands", "stand")
    if found.keys and found.values:
        return (
            f"Layer 0 is the exception: {stand} where A has the same token, and there both keys "
            "and values agree. Layer 0 makes them from the token and its position alone, before "
            "any token has looked at another."
        )
    return f"Layer 0: {stand} where A has the same token; {_likeness(found)}."


def _moved(found: Agreement | None) -> str | None:
    if found is None:
        return None
    begins = f"Layer 0: {_tokens(found.tokens, 'has', 'have')} moved to another position"
    if found.values and not found.keys:
        return (
            f"{begins}. There the values agree and the keys do not: this model turns each key by "
            "its position (rotary positions, RoPE) and leaves the values alone. In the layers "
            "above, too, a part of the keys' difference is this turn: look at the values there."
        )
    if not found.keys:
        return (
            f"{begins}. There neither keys nor values agree: the position is already in what "
            "layer 0 reads, as it is where positions are learned and added to the tokens."
        )
    return f"{begins}; {_likeness(found)}."


def _likeness(found: Agreement) -> str:
    if found.keys == found.values:
        return f"keys and values {'agree' if found.keys else 'differ'}"
    keys, values = ("agree", "differ") if found.keys else ("differ", "agree")
    return f"the keys {keys} and the values {values}"


def _answer(held: bool | None, layer_0: Sequence[Agreement]) -> Answer | None:
    """What is so of all tokens that come again, moved ones and others alike."""
    if held is None:
        return None
    if not held:
        return Answer.EVERYWHERE
    if not all(one.values for one in layer_0):
        return Answer.NOWHERE
    return Answer.LAYER_0 if all(one.keys for one in layer_0) else Answer.LAYER_0_VALUES


def _outcome(divergence: Divergence, exception: bool) -> str:
    if divergence.held is None:
        return "There is no text after the first difference that reads the same in both prompts."
    if not divergence.held:
        return "Somewhere above layer 0 the KV after the first difference is the same all the same."
    cause = "one different token" if _is_substitution(divergence) else "what differs before them"
    changed = (
        f"{cause} changed the hidden state, and therefore the KV, of "
        f"{_tokens(len(divergence.again), 'that reads', 'that read')} the same, in every layer "
        "from layer 1 up."
    )
    if not exception:
        return f"Without exception: {changed} Layer 0 differs too."
    return (
        f"But for layer 0, 1 of {divergence.layers} layers: {changed} “Everything after it” leaves "
        "that out: in layer 0 nothing has been mixed yet, so what does not depend on other tokens "
        "stays the same there. A cache gains nothing by it: without the other layers it can't go "
        "on."
    )


def _is_substitution(divergence: Divergence) -> bool:
    """Whether the prompts differ in one token, and in nothing else."""
    differing = sum(not column.same for column in divergence.by_position)
    return differing == 1 and len(divergence.a_tokens) == len(divergence.b_tokens)


def _tokens(count: int, one: str, many: str) -> str:
    return f"1 token {one}" if count == 1 else f"{count:,} tokens {many}"
