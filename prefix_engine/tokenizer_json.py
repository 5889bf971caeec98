"""A tokenizer of the `tokenizers` library, read and changed in its own words.

`stated` is the parsed JSON of its `Tokenizer.to_str`, the layout of tokenizer.json files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tokenizers

from prefix_engine.errors import ModelRefused
from prefix_engine.tokenizer import BYTE_OF

_BYTE_NAME = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE_LETTER = "\N{LOWER ONE EIGHTH BLOCK}"  # SentencePiece's, in place of a space


def ordinary_data(stated: Any) -> dict[int, bytes]:
    """The bytes of all tokens in the vocabulary, by the letters its kind has for them.

    Raises `ModelRefused` for kinds other than byte-level and SentencePiece-like.
    """
    model = stated["model"]
    if _is_byte_level(stated):
        return {token_id: _byte_level_data(name) for token_id, name in _names(model)}
    if _SPACE_LETTER in _steps(stated):
        has_bytes = model.get("byte_fallback", False)
        return {token_id: _spaced_data(name, has_bytes) for token_id, name in _names(model)}
    raise ModelRefused(
        "The model's tokenizer is neither byte-level nor like SentencePiece: what bytes its tokens "
        "stand for is not known here."
    )


def tokenless_bytes(stated: Any, data: Iterable[bytes]) -> frozenset[int]:
    """The byte values that a byte-level tokenizer has no token for: it drops them."""
    if not _is_byte_level(stated):
        return frozenset()
    return frozenset(range(256)).difference(each[0] for each in data if len(each) == 1)


def unknown_id(stated: Any) -> int | None:
    """The token for what has none, if there is one."""
    model = stated["model"]
    named: int | None = (
        model["unk_id"] if "unk_id" in model else model["vocab"].get(model.get("unk_token"))
    )
    return named


def with_names(stated: Any, names: Mapping[str, str]) -> tokenizers.Tokenizer:
    """The tokenizer with other names for some added tokens; it never cuts or pads."""
    model = dict(stated["model"])
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(name, name): i for name, i in model["vocab"].items()}
    else:
        model["vocab"] = [[names.get(name, name), score] for name, score in model["vocab"]]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if "merges" in model:
        # one that spells a special token would let a person type it
        model["merges"] = [pair for pair in model["merges"] if "".join(pair) not in names]
    added = [
        {**token, "content": names.get(token["content"], token["content"])}
        for token in stated["added_tokens"]
    ]
    changed = {"model": model, "added_tokens": added, "truncation": None, "padding": None}
    return tokenizers.Tokenizer.from_str(json.dumps({**stated, **changed}))


def _is_byte_level(stated: Any) -> bool:
    return '"ByteLevel"' in _steps(stated)


def _steps(stated: Any) -> str:
    steps = [stated[step] for step in ("normalizer", "pre_tokenizer", "decoder")]
    return json.dumps(steps, ensure_ascii=False)


def _names(model: Any) -> Iterator[tuple[int, str]]:
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        return ((token_id, name) for name, token_id in vocabulary.items())
    return ((token_id, name) for token_id, (name, _score) in enumerate(vocabulary))


def _byte_level_data(name: str) -> bytes:
    try:
        return bytes([BYTE_OF[letter] for letter in name])
    except KeyError:  # not made of bytes: a name
        return name.encode()


def _spaced_data(name: str, has_bytes: bool) -> bytes:
    byte = _BYTE_NAME.fullmatch(name) if has_bytes else None
    return bytes.fromhex(byte[1]) if byte else name.replace(_SPACE_LETTER, " ").encode()
