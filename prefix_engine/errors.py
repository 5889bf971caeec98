"""What can go wrong, in the words a person can act on.

Every error that a person's input or machine can cause derives from `PrefixEngineError`; its message
is one sentence that says what happened and, where it helps, what to do. Screens and the command
line print it as it is. Anything else that is raised is a fault of this program.
"""


class PrefixEngineError(Exception):
    """Base of all errors whose message is meant for the person at the screen."""


class TextError(PrefixEngineError):
    """The text can't be tokenized as it stands (a lone surrogate, for example)."""


class PromptTooLong(PrefixEngineError):
    """The prompt has more tokens than one request may have."""

    def __init__(self, tokens: int, limit: int, name: str = "The prompt") -> None:
        super().__init__(
            f"{name} has {tokens:,} tokens; the limit is {limit:,}. Shorten it: nothing was cut."
        )
        self.tokens = tokens
        self.limit = limit


class TextTooLong(PrefixEngineError):
    """The text is so long that it is not even tokenized: that alone would take the machine from
    the others."""

    def __init__(self, characters: int, limit: int, name: str = "The prompt") -> None:
        super().__init__(
            f"{name} has {characters:,} characters; no more than {limit:,} are tokenized. "
            "Shorten it: nothing was cut."
        )
        self.characters = characters
        self.limit = limit


class ReplyTooLong(PrefixEngineError):
    """More tokens were asked for than one reply may have, or fewer than one."""

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(f"A reply of {tokens:,} tokens can't be had: ask for 1 to {limit:,}.")


class TooManyTrials(PrefixEngineError):
    """More trials were asked for than one run may have, or fewer than one."""

    def __init__(self, trials: int, limit: int) -> None:
        super().__init__(f"A run of {trials:,} trials an arm can't be had: ask for 1 to {limit:,}.")


class NoRoomNow(PrefixEngineError):
    """What is needed can't be stored beside what others use at the moment."""


class EmptyPrompt(PrefixEngineError):
    """The prompt has no tokens, so there is nothing to compute."""


class ModelRefused(PrefixEngineError):
    """The model can't be served through this cache; the message gives the reason."""


class WeightsUnavailable(PrefixEngineError):
    """The weights could not be found, fetched or converted; the message says what to do by hand."""


class CacheInUse(PrefixEngineError):
    """The cache, or a namespace of it, can't be cleared while requests use it."""
