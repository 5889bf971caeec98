"""What has to hold for any text: no crash, nothing lost in silence, nothing taken for a command."""

from __future__ import annotations

import math

from benchmarks.common.hostile_texts import has_half_characters
from prefix_engine.compare import State, common_prefix, compare, reusable
from prefix_engine.engine import Engine
from prefix_engine.errors import EmptyPrompt, PromptTooLong, TextError, TextTooLong
from prefix_engine.tokenizer import Message, Prompt, Tokenized, Tokenizer


class TextChecks:
    """Tokenizes texts and compares each with the one before it, raw and as a chat."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._before: list[Tokenized | None] = [None, None]

    def check(self, text: str) -> None:
        """AssertionError where a rule is broken."""
        before = self._before
        self._before = [
            _tokenized(self._tokenizer, prompt) for prompt in (text, (Message("user", text),))
        ]
        for a, b in zip(before, self._before, strict=True):
            if a is not None and b is not None:
                _compared(a, b)


def check_engine(engine: Engine, text: str) -> bool:
    """Compute and store a text, then find it again; whether it was taken. What is refused is
    refused for a reason that it has. AssertionError where a rule is broken."""
    try:
        cold = engine.prefill(text, namespace="hostile")
    except TextError:
        assert has_half_characters(text), "sound text was refused"
    except EmptyPrompt:
        assert not engine.tokenizer.encode(text), "a text with tokens was called empty"
    except TextTooLong as error:
        assert len(text) == error.characters > error.limit, "a short text was called too long"
    except PromptTooLong as error:
        assert error.tokens > engine.max_prompt_tokens, "a short text was called too long"
    else:
        assert math.isfinite(float(cold.logits.sum())), "a logit is not a number"
        if not cold.insert.refused:
            hit = engine.prefill(text, namespace="hostile", store=False)
            assert hit.reused == len(hit.ids) - 1, "what was stored was not found again"
        return True
    return False


def _compared(a: Tokenized, b: Tokenized) -> None:
    found = compare(a, b)
    shared, n = common_prefix(a.ids, b.ids), len(b.tokens)
    assert (found.shared, found.reused) == (shared, reusable(shared, n)), "rule 1 is broken"
    assert len(found.states) == n, "a token has no state"
    states = [one.state for one in found.states]
    assert states.count(State.REUSED) == found.reused, "a reused token is shown as another"


def _tokenized(tokenizer: Tokenizer, prompt: Prompt) -> Tokenized | None:
    """The prompt's tokens; None where it has half characters and was refused."""
    typed = prompt if isinstance(prompt, str) else "".join(one.content for one in prompt)
    try:
        tokenized = tokenizer.tokenize(prompt)
    except TextError:
        assert has_half_characters(typed), "sound text was refused"
        return None
    assert not has_half_characters(typed), "half a character was taken"
    assert list(tokenized.ids) == tokenizer.encode(prompt), "the timed path gives other ids"
    pieces = [(one.byte, one.data) for one in tokenized.tokens]
    pieces += [(one.byte, one.data) for one in tokenized.dropped]
    text = b"".join(data for _, data in sorted(pieces))
    assert text == tokenized.text.encode(), "bytes were lost in silence"
    assert typed in tokenized.text, "the typed text is not what was tokenized"
    assert not any(one.special and one.part == "text" for one in tokenized.tokens), (
        "typed text became a special token"
    )
    return tokenized
