"""How many tokens two texts have in common and apart: by the model's tokenizer, or by one that a
production API uses."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tiktoken

from prefix_engine.compare import common_prefix
from prefix_engine.errors import PrefixEngineError, TextTooLong
from prefix_engine.tokenizer import check_text

PRODUCTION = "o200k_base"
# Both as tiktoken_ext/openai_public.py in tiktoken has them.
_ADDRESS = f"https://openaipublic.blob.core.windows.net/encodings/{PRODUCTION}.tiktoken"
MAX_CHARACTERS = 200_000
_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"

Encode = Callable[[str], Sequence[int]]


class EncodingUnavailable(PrefixEngineError):
    """The production encoding is not on this machine; the message says how to get it."""


@dataclass(frozen=True)
class Counted:
    """`shared` leading tokens that every request with `shared_text` in front has, and `novel` ones
    after them, of a request that goes on with `novel_text`; counted by `tokenizer`."""

    tokenizer: str
    shared_text: str
    novel_text: str
    shared: int
    novel: int


def count_tokens(encode: Encode, tokenizer: str, shared_text: str, novel_text: str) -> Counted:
    """Count a request tokenized whole, as it is sent: where the texts meet, a token may hold a part
    of both, and then it is not shared. Raises `TextError` and `TextTooLong`."""
    for text, name in ((shared_text, "The shared text"), (novel_text, "The novel text")):
        check_text(text, name)
        if len(text) > MAX_CHARACTERS:
            raise TextTooLong(len(text), MAX_CHARACTERS, name)
    whole = encode(shared_text + novel_text)
    shared = common_prefix(whole, encode(shared_text))
    return Counted(tokenizer, shared_text, novel_text, shared, len(whole) - shared)


def production_encoding() -> tiktoken.Encoding:
    """The encoding of OpenAI's models since GPT-4o, from tiktoken's own cache folder and never from
    the network, where it could hang. Raises `EncodingUnavailable`."""
    path = _cache_folder() / hashlib.sha1(_ADDRESS.encode()).hexdigest()
    # checked here as well: tiktoken would fetch a damaged file anew
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
        raise EncodingUnavailable(
            f"The encoding {PRODUCTION} is not on this machine, and nothing is downloaded for it "
            'while you wait. Where there is a network, run once: python -c "import tiktoken; '
            f"tiktoken.get_encoding('{PRODUCTION}')\". Until then the model's tokenizer counts."
        )
    return tiktoken.get_encoding(PRODUCTION)


def _cache_folder() -> Path:
    """Where tiktoken keeps what it downloaded; source: `read_file_cached` in tiktoken/load.py."""
    for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if name in os.environ:
            return Path(os.environ[name])
    return Path(tempfile.gettempdir()) / "data-gym-cache"
