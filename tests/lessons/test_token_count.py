"""Tokens of two texts counted as they are sent, and the production encoding that may be missing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from prefix_engine.errors import TextError, TextTooLong
from prefix_engine.lessons import token_count
from prefix_engine.lessons.token_count import EncodingUnavailable, count_tokens, production_encoding


def words(text: str) -> list[str]:
    """A tokenizer whose tokens are words, so that a word cut by the seam is another token."""
    return text.split()


def test_what_every_request_begins_with_is_shared_and_the_rest_is_novel() -> None:
    counted = count_tokens(words, "words", "be brief ", "is it open")
    assert (counted.shared, counted.novel) == (2, 3)


def test_a_token_that_holds_a_part_of_both_texts_is_not_shared() -> None:
    counted = count_tokens(words, "words", "be brief", "ly glad")
    assert (counted.shared, counted.novel) == (1, 2)


def test_half_a_character_is_refused_and_the_text_named() -> None:
    with pytest.raises(TextError, match="The novel text has half a character"):
        count_tokens(words, "words", "fine", "\ud800")


@pytest.mark.parametrize("place", [0, 1])
def test_a_text_that_would_take_long_to_count_is_refused(place: int) -> None:
    def encode(text: str) -> list[int]:
        raise AssertionError("it was counted")

    texts = ["", ""]
    texts[place] = "x" * (token_count.MAX_CHARACTERS + 1)
    with pytest.raises(TextTooLong, match=("The shared text", "The novel text")[place]):
        count_tokens(encode, "anybody's", *texts)


@pytest.mark.parametrize("damaged", [False, True])
def test_an_encoding_that_is_missing_or_damaged_is_told_and_never_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damaged: bool
) -> None:
    def fetch(name: str) -> None:
        raise AssertionError(f"tiktoken would have fetched {name}")

    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(token_count.tiktoken, "get_encoding", fetch)
    if damaged:
        name = hashlib.sha1(token_count._ADDRESS.encode()).hexdigest()
        (tmp_path / name).write_bytes(b"not the encoding")
    with pytest.raises(EncodingUnavailable, match="o200k_base is not on this machine"):
        production_encoding()
