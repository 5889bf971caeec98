"""Prompts for tests of what is shown: tokenized by rules that a reader can follow."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from typing import Literal

from prefix_engine.tokenizer import Token, Tokenized

_TOKEN = re.compile(r"<\|\w+\|>| ?\w+|\s+|[^\w\s]")


def raw(text: str, split: str = "") -> Tokenized:
    """A token for each word with the space before it, each run of spaces and each other character.

    Characters in `split` become tokens of two bytes at most.
    """
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        data = match[0].encode()
        step = 2 if set(match[0]) & set(split) else len(data)
        for at in range(0, len(data), step):
            tokens.append(_token(data[at : at + step], text, match.start(), at))
    return Tokenized(text, tuple(tokens))


def chat(system: str, user: str) -> Tokenized:
    """A chat of two messages; all but the messages is the template's."""
    tokens: list[Token] = []
    text = ""
    for role, content in (("system", system), ("user", user), ("assistant", None)):
        tokens += _moved(raw(f"<|im_start|>{role}\n"), text, "template", role)
        text += f"<|im_start|>{role}\n"
        if content is not None:
            tokens += _moved(raw(content), text, "text", role)
            text += content
            tokens += _moved(raw("<|im_end|>\n"), text, "template", role)
            text += "<|im_end|>\n"
    return Tokenized(text, tuple(tokens))


def _token(data: bytes, text: str, character: int, offset: int) -> Token:
    whole = not (data[0] & 0xC0 == 0x80 or _decoded(data) is None)
    return Token(
        id=zlib.crc32(data) % 50_000,
        text=_decoded(data) if whole else None,
        data=data,
        character=character,
        byte=len(text[:character].encode()) + offset,
        part="text",
        role=None,
        special=data.startswith(b"<|"),
    )


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _moved(
    prompt: Tokenized, before: str, part: Literal["text", "template"], role: str
) -> list[Token]:
    return [
        replace(
            token,
            character=token.character + len(before),
            byte=token.byte + len(before.encode()),
            part=part,
            role=role,
        )
        for token in prompt.tokens
    ]
