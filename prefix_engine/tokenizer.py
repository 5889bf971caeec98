"""Text or chat messages → tokens that know their bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import Literal

import tiktoken

from prefix_engine.chat import ChatError, ChatTemplate, Piece, jinja_renderer
from prefix_engine.chat import Message as Message  # a part of `Prompt`
from prefix_engine.errors import TextError
from prefix_engine.vocabulary import Vocabulary

Prompt = str | tuple[Message, ...]
"""Raw text, sent as it is; or a chat, put through the model's template."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a tokenized prompt.

    `text` is None where the token holds only a part of a character; `data` are its bytes;
    `character` (code points) and `byte` (UTF-8) say where it begins in the prompt's text;
    `part` is "template" where none of its bytes came from a person's text, with `role` the chat
    role it belongs to (None in raw prompts).
    """

    id: int
    text: str | None
    data: bytes
    character: int
    byte: int
    part: Literal["text", "template"]
    role: str | None
    special: bool


@dataclass(frozen=True, slots=True)
class Dropped:
    """Bytes of the text for which the model has no token; the model never sees them."""

    character: int
    byte: int
    data: bytes


@dataclass(frozen=True)
class Tokenized:
    """A prompt as the model gets it: its text (rendered, in chat mode), tokens, what was lost."""

    text: str
    tokens: tuple[Token, ...]
    dropped: tuple[Dropped, ...] = ()

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(token.id for token in self.tokens)


@dataclass(frozen=True, slots=True)
class CharacterGroup:
    """The tokens [start, stop) of a prompt that only together hold whole characters: `text`."""

    start: int
    stop: int
    text: str


class Tokenizer(ABC):
    """The model's own tokenizer. The prompt is always tokenized whole, as it would be sent."""

    has_chat: bool

    @abstractmethod
    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids only: the fast path, the one that is timed. Raises `TextError`, `ChatError`."""

    @abstractmethod
    def tokenize(self, prompt: Prompt) -> Tokenized:
        """The same ids, each with its bytes and its place in the text. Raises like `encode`."""

    @abstractmethod
    def token_bytes(self, token_id: int) -> bytes:
        """The bytes a token stands for; of a special token, its name."""


# The words that byte-pair merges stay inside: GPT-2's, with every digit by itself. llama.cpp
# ("smollm" in llama-vocab.cpp) cuts the digits out first, so that white space ends before a digit;
# in a single pattern that is `\s+(?=…)`. Its letters and digits are those of Unicode 15.1
# (unicode-data.cpp), tiktoken's are newer: 4,382 characters would be cut in other places.
_LETTER, _DIGIT = r"\p{L}&&\p{Age=15.1}", r"\p{N}&&\p{Age=15.1}"
_WORDS = (
    rf"'(?:[sdmt]|ll|ve|re)| ?[{_LETTER}]+|[{_DIGIT}]| ?[^\s[{_LETTER}][{_DIGIT}]]+"
    rf"|\s+(?=[{_DIGIT}])|\s+(?!\S)|\s+"
)

# tiktoken's pattern engine gives up inside a run of a million spaces; no model here takes as much
_MAX_CHARACTERS = 500_000


class VocabularyTokenizer(Tokenizer):
    """Byte-level BPE over a model's vocabulary: the ids of llama.cpp for any text, by tiktoken.

    A token's id is its merge rank, as it is where ids were given in the order of the merges. Bytes
    without a token get ranks beyond the vocabulary: as in llama.cpp they take part in no merge, and
    are dropped at the end. Text of more than 500,000 characters raises `TextError`.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        special = set(vocabulary.special_ids)
        self._size = len(vocabulary.tokens)
        self._data = [
            name.encode() if token_id in special else bytes(BYTE_OF[letter] for letter in name)
            for token_id, name in enumerate(vocabulary.tokens)
        ]
        ranks = {data: i for i, data in enumerate(self._data) if i not in special}
        self._data += [bytes([b]) for b in range(256) if bytes([b]) not in ranks]
        ranks.update((self._data[i], i) for i in range(self._size, len(self._data)))
        self._bpe = tiktoken.Encoding(
            "model", pat_str=_WORDS, mergeable_ranks=ranks, special_tokens={}
        )
        self._special = {vocabulary.tokens[token_id]: token_id for token_id in special}
        source = vocabulary.chat_template
        self._template = ChatTemplate(jinja_renderer(source), self._special) if source else None
        self.has_chat = self._template is not None

    def encode(self, prompt: Prompt) -> list[int]:
        ids: list[int] = []
        for stretch in _stretches(self._pieces(prompt)):
            ids += self._ids(stretch)
        # the largest is found far quicker than all are filtered, and hardly ever is one to drop
        if max(ids, default=0) < self._size:
            return ids
        return [token_id for token_id in ids if token_id < self._size]

    def tokenize(self, prompt: Prompt) -> Tokenized:
        pieces = self._pieces(prompt)
        tokens: list[Token] = []
        dropped: list[Dropped] = []
        begun = byte = 0  # characters begun, and bytes seen, before the token at hand
        for stretch in _stretches(pieces):
            ends = list(accumulate((len(piece.text.encode()) for piece in stretch), initial=byte))
            for token_id in self._ids(stretch):
                data = self._data[token_id]
                character = begun - _is_continuation(data[0])
                if token_id < self._size:
                    first, stop = bisect_right(ends, byte) - 1, bisect_left(ends, byte + len(data))
                    author = _author(stretch[first:stop])
                    tokens.append(_token(token_id, data, character, byte, author))
                else:
                    dropped.append(Dropped(character, byte, data))
                begun += len(data) - sum(map(_is_continuation, data))
                byte += len(data)
        return Tokenized(_text(pieces), tuple(tokens), tuple(dropped))

    def token_bytes(self, token_id: int) -> bytes:
        if not 0 <= token_id < self._size:
            raise IndexError(f"there is no token {token_id}: the vocabulary has {self._size}")
        return self._data[token_id]

    def _pieces(self, prompt: Prompt) -> list[Piece]:
        if isinstance(prompt, str):
            check_text(prompt, "The text")
            return [Piece(prompt, "typed", None)]
        if self._template is None:
            raise ChatError("This model has no chat template: send the prompt as raw text.")
        for number, message in enumerate(prompt, 1):
            check_text(message.content, f"Message {number} ({message.role})")
        return self._template.pieces(prompt)

    def _ids(self, stretch: Sequence[Piece]) -> list[int]:
        """The ids of one stretch, with those beyond the vocabulary still among them."""
        text = _text(stretch)
        special = stretch[0].kind == "special"
        return [self._special[text]] if special else self._bpe.encode_ordinary(text)


def character_groups(tokenized: Tokenized) -> tuple[CharacterGroup, ...]:
    """The tokens in groups that hold whole characters; most groups are a single token.

    A token that begins inside a character belongs to the group of the token before it, unless the
    bytes between them were dropped.
    """
    tokens = tokenized.tokens
    starts = [
        index
        for index, token in enumerate(tokens)
        if index == 0
        or not any(map(_is_continuation, token.data[:1]))
        or tokens[index - 1].byte + len(tokens[index - 1].data) < token.byte
    ]
    return tuple(
        CharacterGroup(start, stop, _characters_of(tokenized, start, stop))
        for start, stop in pairwise([*starts, len(tokens)])
    )


def _characters_of(tokenized: Tokenized, start: int, stop: int) -> str:
    """The whole characters that the tokens [start, stop) hold, or hold a part of."""
    first = tokenized.tokens[start]
    if stop == start + 1 and first.text is not None:
        return first.text
    data = b"".join(token.data for token in tokenized.tokens[start:stop])
    # a lost first byte leaves its character without one that begins it
    characters = len(data) - sum(map(_is_continuation, data)) + _is_continuation(data[0])
    return tokenized.text[first.character : first.character + characters]


def _stretches(pieces: Sequence[Piece]) -> Iterator[Sequence[Piece]]:
    """Cut at special tokens and nowhere else: what lies between two of them is tokenized whole."""
    for special, group in groupby(pieces, key=lambda piece: piece.kind == "special"):
        if special:
            yield from ([piece] for piece in group)
        else:
            yield list(group)


def _text(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def _author(touched: Sequence[Piece]) -> Piece:
    return next((piece for piece in touched if piece.kind == "typed"), touched[0])


def _token(token_id: int, data: bytes, character: int, byte: int, author: Piece) -> Token:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = None
    return Token(
        id=token_id,
        text=text,
        data=data,
        character=character,
        byte=byte,
        part="text" if author.kind == "typed" else "template",
        role=author.role,
        special=author.kind == "special",
    )


def check_text(text: str, what: str) -> None:
    """Raise `TextError`, naming `what`, for a text that no tokenizer here can take whole."""
    if len(text) > _MAX_CHARACTERS:
        raise TextError(
            f"{what} has {len(text):,} characters, more than any model here can take. Shorten it: "
            "nothing was cut off for you."
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TextError(
            f"{what} has half a character (lone surrogate U+{ord(text[error.start]):04X}) at "
            f"character {error.start + 1:,}. Delete it or type that character again."
        ) from error


def _is_continuation(byte: int) -> bool:
    """Whether a UTF-8 byte is not the first of its character."""
    return byte & 0xC0 == 0x80


def _byte_letters() -> dict[str, int]:
    """GPT-2's letters for bytes: printable Latin-1 is itself, the others follow from U+0100 on.

    Source: `bytes_to_unicode` in openai/gpt-2, src/encoder.py.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + index): byte for index, byte in enumerate(others)
    }


BYTE_OF = _byte_letters()
"""The byte that each letter of GPT-2's printable alphabet stands for."""
