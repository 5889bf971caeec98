"""The tokenizer that comes with a model on the hub, with every token's bytes and place.

Ids are those that the model's own tokenizer gives: a raw prompt as it sends any text, with the
tokens it puts in front by itself (often a beginning-of-text token); a chat through its template.
Only special tokens that a person types are plain text here. To tell those from the template's own
while everything is still tokenized in one go, the tokenizer is copied with secret names for its
special tokens: the template's are written by those names, and nobody can type them.
"""

from __future__ import annotations

import json
import secrets
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from prefix_engine.chat import ChatError, ChatTemplate, Piece
from prefix_engine.errors import ModelRefused
from prefix_engine.tokenizer import (
    Dropped,
    Prompt,
    Token,
    Tokenized,
    Tokenizer,
    check_text,
)
from prefix_engine.tokenizer_json import ordinary_data, tokenless_bytes, unknown_id, with_names


class HubTokenizer(Tokenizer):
    """A byte-level or SentencePiece-like tokenizer of the `tokenizers` library.

    A token's `data` are its bytes in the vocabulary, its place is that of the text it was made
    from; the two may differ, since tokenizers normalise text and put a space in front. A token that
    the tokenizer adds by itself stands where it was put and has no text of its own. `dropped` is
    text of which the model sees nothing, or only that it is unknown. An empty text has no tokens.
    Text of more than 500,000 characters raises `TextError`.
    """

    def __init__(self, tokenizer: Any) -> None:
        """`tokenizer` is a transformers tokenizer with a `backend_tokenizer`.

        Raises `ModelRefused` if it has no tokens, or of a kind that can't be turned into bytes.
        """
        stated = json.loads(tokenizer.backend_tokenizer.to_str())
        added = {token["id"]: token["content"] for token in stated["added_tokens"]}
        self._added = frozenset(added)
        self._special = frozenset(t["id"] for t in stated["added_tokens"] if t["special"])
        self._data: dict[int, bytes] = ordinary_data(stated) | {
            i: name.encode() for i, name in added.items()
        }
        if len(self._data) == len(added):
            raise ModelRefused("The model's tokenizer has no tokens but special ones.")
        self._unknown = unknown_id(stated)
        self._tokenless = tokenless_bytes(stated, self._data.values())
        self._secret = {added[i]: secrets.token_hex(16) for i in self._special}
        self._backend = with_names(stated, self._secret)
        self._template = _chat_template(tokenizer, self._secret)
        self.has_chat = self._template is not None

    def encode(self, prompt: Prompt) -> list[int]:
        sent = "".join(self._sent(self._pieces(prompt)))
        if not sent:
            return []
        # finds no places, which takes less than half the time
        encodings = self._backend.encode_batch_fast([sent], add_special_tokens=_is_raw(prompt))
        return list(encodings[0].ids)

    def tokenize(self, prompt: Prompt) -> Tokenized:
        text = _Text(self._pieces(prompt))
        sent = self._sent(text.pieces)
        if not any(sent):
            return Tokenized(text.text, ())
        encoding = self._backend.encode("".join(sent), add_special_tokens=_is_raw(prompt))
        position = _position_in_text(sent, text.pieces)
        spans = [(position(first), position(stop)) for first, stop in encoding.offsets]
        tokens, made, gaps, at = [], [], [], 0  # the text is accounted for up to the byte `at`
        for token_id, span, following, is_extra in zip(
            encoding.ids, spans, [*spans, None][1:], encoding.special_tokens_mask, strict=True
        ):
            if is_extra:
                tokens.append(self._token(token_id, text, at, None))
                continue
            is_last = following is None or following[0] >= span[1]
            begin, end = self._locate(token_id, text, at, span, is_last)
            tokens.append(self._token(token_id, text, begin, text.author(begin, end)))
            made.append(tokens[-1].data)
            gaps.append((at, end if token_id == self._unknown else begin))
            at = max(at, end)
        gaps.append((at, len(text.raw)))
        return Tokenized(text.text, tuple(tokens), text.dropped(gaps, b"".join(made)))

    def token_bytes(self, token_id: int) -> bytes:
        """Of an id without a token (models pad their vocabulary) no bytes."""
        if token_id < 0:
            raise IndexError(f"there is no token {token_id}")
        return self._data.get(token_id, b"")

    def _pieces(self, prompt: Prompt) -> list[Piece]:
        if isinstance(prompt, str):
            check_text(prompt, "The text")
            return [Piece(prompt, "typed", None)]
        if self._template is None:
            raise ChatError("This model has no chat template: send the prompt as raw text.")
        for number, message in enumerate(prompt, 1):
            check_text(message.content, f"Message {number} ({message.role})")
        return self._template.pieces(prompt)

    def _sent(self, pieces: Sequence[Piece]) -> list[str]:
        """The pieces as the copied tokenizer gets them: special tokens by their secret names."""
        return [
            self._secret[piece.text] if piece.kind == "special" else piece.text for piece in pieces
        ]

    def _locate(
        self, token_id: int, text: _Text, at: int, span: tuple[int, int], is_last: bool
    ) -> tuple[int, int]:
        """The bytes [begin, end) of the text that a token was made from.

        As a rule its own bytes stand where the token before it ended, or after bytes that have no
        token. Only where they don't is it the text at the tokenizer's offsets, the characters
        `span`: those are whole characters, and wrong behind a byte without a token. Where several
        tokens were made from the same characters, all of the text goes to the last one.
        """
        data, begin = self._data[token_id], at
        while begin < len(text.raw) and text.raw[begin] in self._tokenless:
            begin += 1
        first, stop = text.starts[span[0]], text.starts[span[1]]
        if token_id == self._unknown or not text.raw.startswith(data, begin):
            return first, stop if is_last else first
        end = begin + len(data)
        # an added token may swallow the white space behind it
        return begin, max(end, stop) if token_id in self._added else end

    def _token(self, token_id: int, text: _Text, begin: int, author: Piece | None) -> Token:
        data = self._data[token_id]
        return Token(
            id=token_id,
            text=_decoded(data),
            data=data,
            character=text.character(begin),
            byte=begin,
            part="text" if author and author.kind == "typed" else "template",
            role=author.role if author else None,
            special=token_id in self._special,
        )


class _Text:
    """A prompt's text, with where its characters and its pieces begin in its bytes."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self.text = "".join(piece.text for piece in pieces)
        self.raw = self.text.encode()
        self.starts = [*accumulate((len(letter.encode()) for letter in self.text), initial=0)]
        self._piece_starts = [*accumulate((len(p.text.encode()) for p in pieces), initial=0)]

    def character(self, byte: int) -> int:
        """The index of the character that a byte belongs to."""
        return bisect_right(self.starts, byte) - 1

    def author(self, begin: int, end: int) -> Piece:
        """The piece that bytes belong to; of several, the first that a person typed."""
        first = min(bisect_right(self._piece_starts, begin), len(self.pieces)) - 1
        touched = self.pieces[first : max(first + 1, bisect_left(self._piece_starts, end))]
        return next((piece for piece in touched if piece.kind == "typed"), touched[0])

    def dropped(self, gaps: Iterable[tuple[int, int]], made: bytes) -> tuple[Dropped, ...]:
        """What stands at those places [begin, end), of which no token was made; `made` are the
        bytes of all tokens that were."""
        dropped = tuple(
            Dropped(self.character(begin), begin, self.raw[begin:end])
            for begin, end in gaps
            if begin < end
        )
        # an accent that was composed with its letter leaves a gap, but nothing was lost with it
        if dropped and _composed(made).removeprefix(" ") == _composed(self.raw).removeprefix(" "):
            return ()
        return dropped


def load_hub_tokenizer(folder: Path) -> HubTokenizer:
    """The tokenizer in a model's folder. Raises `ModelRefused` with the reason."""
    from transformers import AutoTokenizer  # takes seconds

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # whatever other people's code may raise
        reason = str(error).strip().split("\n")[0]
        raise ModelRefused(f"transformers can't load the model's tokenizer: {reason}") from error
    if not getattr(tokenizer, "is_fast", False):
        raise ModelRefused(
            f"The model's tokenizer ({type(tokenizer).__name__}) is not one of the `tokenizers` "
            "library, and only those tell where in the text a token stands."
        )
    return HubTokenizer(tokenizer)


def _is_raw(prompt: Prompt) -> bool:
    return isinstance(prompt, str)


def _chat_template(tokenizer: Any, special: Iterable[str]) -> ChatTemplate | None:
    try:
        tokenizer.get_chat_template()
    except ValueError:  # it has none, or several and none by default
        return None

    def render(messages: list[dict[str, str]]) -> str:
        try:
            return str(
                tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            )
        except Exception as error:  # a template is a program, it may fail in any way
            raise ChatError(f"The model's chat template refused this chat: {error}") from error

    return ChatTemplate(render, special)


def _position_in_text(sent: Sequence[str], pieces: Sequence[Piece]) -> Callable[[int], int]:
    """From a position in what was sent to that in the text, both in characters."""
    sent_starts = [*accumulate(map(len, sent), initial=0)]
    starts = [*accumulate((len(piece.text) for piece in pieces), initial=0)]

    def position(character: int) -> int:
        index = min(bisect_right(sent_starts, character), len(pieces)) - 1
        return min(starts[index] + character - sent_starts[index], starts[index + 1])

    return position


def _composed(data: bytes) -> str:
    return unicodedata.normalize("NFKC", data.decode(errors="replace"))


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
