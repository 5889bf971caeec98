"""Chat messages → the text that a model's template makes of them, in pieces that know their author.

A template is a program: what it does to a message can't be read off its source. So each message is
rendered between two markers that nobody can guess; what comes out between them was written by a
person, the rest by the template. Only in that rest are special tokens looked for, which is why one
that a person types stays plain text.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from prefix_engine.errors import PrefixEngineError

Render = Callable[[list[dict[str, str]]], str]
"""Messages as {"role", "content"} → the text for the model, up to where its reply begins."""

_ROLE_WORD = re.compile(r"\b(system|user|assistant|model)\b")


class ChatError(PrefixEngineError):
    """The chat can't be put through the model's template; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat, as the model's own template takes it."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of the rendered text: a special token of the template, its other text, or typed."""

    text: str
    kind: Literal["special", "template", "typed"]
    role: str | None


def jinja_renderer(source: str) -> Render:
    """A renderer for a Jinja template as found in model files, set up as transformers does.

    Source: `_compile_jinja_template` in transformers/utils/chat_template_utils.py. The renderer
    raises `ChatError` with the template's own words where it refuses a chat.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _raise_template_error
    try:
        template = environment.from_string(source)
    except TemplateError as error:
        raise ChatError(f"The model's chat template can't be read: {error}") from error

    def render(messages: list[dict[str, str]]) -> str:
        try:
            return template.render(messages=messages, add_generation_prompt=True)
        except TemplateError as error:
            raise ChatError(f"The model's chat template refused this chat: {error}") from error

    return render


class ChatTemplate:
    """A model's template with the names of its special tokens."""

    def __init__(self, render: Render, specials: Iterable[str]) -> None:
        self._render = render
        # the longest first, so that no special token hides another that begins with it
        names = sorted(filter(None, specials), key=len, reverse=True)
        self._special = re.compile(f"({'|'.join(map(re.escape, names))})") if names else None

    def pieces(self, messages: Sequence[Message]) -> list[Piece]:
        """The rendered text in order; the pieces' texts joined are exactly what the template gives.

        Raises `ChatError` where the template refuses the chat, or changes a message so that it
        can't be told any more which characters a person wrote.
        """
        plain = self._render([{"role": m.role, "content": m.content} for m in messages])
        # many templates strip each message; markers inside the stripped text survive that
        for enclose in (_enclose, _enclose_stripped):
            marker = secrets.token_hex(16)
            marked = self._render(
                [
                    {"role": message.role, "content": enclose(message.content, index, marker)}
                    for index, message in enumerate(messages)
                ]
            )
            runs = marked.split(marker)
            if _unmarked(runs) == plain:
                return list(self._name_roles(runs, messages))
        raise ChatError(
            "The model's chat template rewrites these messages, so special tokens in them can't be "
            "told from its own. Use raw text for this prompt."
        )

    def _name_roles(self, runs: list[str], messages: Sequence[Message]) -> Iterator[Piece]:
        """Pieces of alternating template and typed runs.

        A turn begins at a special token that names a role, or is followed by the name of one.
        """
        role: str | None = None
        for index, run in enumerate(runs):
            if index % 2:
                number, content = run.split(":", 1)
                role = messages[int(number)].role
                if content:
                    yield Piece(content, "typed", role)
                continue
            parts = self._special.split(run) if self._special else [run]
            for at, text in enumerate(parts):
                if at % 2:
                    role = _role_named(text, parts[at + 1]) or role
                if text:
                    yield Piece(text, "special" if at % 2 else "template", role)


def _enclose(content: str, index: int, marker: str) -> str:
    # an empty message stays empty: templates ask whether there is one
    return f"{marker}{index}:{content}{marker}" if content else ""


def _enclose_stripped(content: str, index: int, marker: str) -> str:
    core = content.strip()
    before, after = content.split(core, 1) if core else (content, "")
    return f"{before}{_enclose(core, index, marker)}{after}"


def _unmarked(runs: list[str]) -> str | None:
    """The text without its markers; None where a marker was lost."""
    typed = runs[1::2]
    if len(runs) % 2 == 0 or not all(re.match(r"\d+:", run) for run in typed):
        return None
    return "".join(run.split(":", 1)[1] if index % 2 else run for index, run in enumerate(runs))


def _role_named(special: str, following: str) -> str | None:
    match = _ROLE_WORD.search(special) or _ROLE_WORD.match(following.lstrip())
    if match is None:
        return None
    return "assistant" if match[1] == "model" else match[1]


def _raise_template_error(message: str) -> NoReturn:
    raise TemplateError(message)
