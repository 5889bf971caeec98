from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefix_engine.chat import ChatError
from prefix_engine.errors import TextError
from prefix_engine.tokenizer import Dropped, Message, Token, VocabularyTokenizer, character_groups
from prefix_engine.vocabulary import Vocabulary

RECORDED = json.loads(
    (Path(__file__).parent / "data" / "tokenizer_ids.json").read_text(encoding="utf-8")
)
SPECIAL_NAMES = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<file_sep>", "<|im_", "start|>"]

any_text = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from([*SPECIAL_NAMES, "\x04", "\x14", "\U00050000", "😀", " ", "\n", "  1", "'s"]),
    max_size=12,
).map("".join)
any_chat = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), any_text), max_size=4
).map(tuple)


def test_the_record_is_large_and_says_which_peer_made_it() -> None:
    assert "llama.cpp" in RECORDED["peer"]
    assert len(RECORDED["texts"]) >= 300


def test_ids_are_those_of_llama_cpp(tokenizer: VocabularyTokenizer) -> None:
    wrong = [
        (entry["text"], tokenizer.encode(entry["text"]), entry["ids"])
        for entry in RECORDED["texts"]
        if tokenizer.encode(entry["text"]) != entry["ids"]
    ]
    assert wrong == []


def test_chat_ids_are_those_of_llama_cpp(tokenizer: VocabularyTokenizer) -> None:
    for entry in RECORDED["chats"]:
        chat = tuple(Message(**message) for message in entry["messages"])
        assert tokenizer.encode(chat) == entry["ids"]


@given(prompt=any_text | any_chat)
def test_tokens_and_dropped_bytes_are_the_text_and_nothing_else(
    tokenizer: VocabularyTokenizer, prompt: str | tuple[Message, ...]
) -> None:
    tokenized = tokenizer.tokenize(prompt)
    data = b""
    parts: list[Token | Dropped] = [*tokenized.tokens, *tokenized.dropped]
    for part in sorted(parts, key=lambda part: part.byte):
        assert part.byte == len(data)
        data += part.data
    assert data == tokenized.text.encode()
    if isinstance(prompt, str):
        assert tokenized.text == prompt


@given(prompt=any_text | any_chat)
def test_encode_gives_the_ids_of_tokenize(
    tokenizer: VocabularyTokenizer, prompt: str | tuple[Message, ...]
) -> None:
    tokenized = tokenizer.tokenize(prompt)
    assert tuple(tokenizer.encode(prompt)) == tokenized.ids
    assert all(tokenizer.token_bytes(token.id) == token.data for token in tokenized.tokens)


@given(text=any_text)
def test_every_token_knows_the_character_it_begins_in(
    tokenizer: VocabularyTokenizer, text: str
) -> None:
    character_of_byte = [at for at, c in enumerate(text) for _ in c.encode()]
    tokenized = tokenizer.tokenize(text)
    parts: list[Token | Dropped] = [*tokenized.tokens, *tokenized.dropped]
    for part in parts:
        assert part.character == character_of_byte[part.byte]


@given(text=any_text)
def test_a_token_has_text_unless_it_holds_a_part_of_a_character(
    tokenizer: VocabularyTokenizer, text: str
) -> None:
    starts = [len(text[:at].encode()) for at in range(len(text) + 1)]
    for token in tokenizer.tokenize(text).tokens:
        whole = token.byte in starts and token.byte + len(token.data) in starts
        assert token.text == (token.data.decode() if whole else None)


@given(prompt=any_text | any_chat)
def test_character_groups_hold_all_tokens_in_order_and_whole_characters(
    tokenizer: VocabularyTokenizer, prompt: str | tuple[Message, ...]
) -> None:
    tokenized = tokenizer.tokenize(prompt)
    groups = character_groups(tokenized)
    indexes = [index for group in groups for index in range(group.start, group.stop)]
    assert indexes == list(range(len(tokenized.tokens)))
    if not tokenized.dropped:
        assert "".join(group.text for group in groups) == tokenized.text


def test_tokens_that_make_one_character_are_one_group(tokenizer: VocabularyTokenizer) -> None:
    tokenized = tokenizer.tokenize("Hi 🦜!")
    texts = [(group.text, group.stop - group.start) for group in character_groups(tokenized)]
    assert texts == [("Hi", 1), (" 🦜", 3), ("!", 1)]
    assert [token.text for token in tokenized.tokens] == ["Hi", None, None, None, "!"]


def test_a_character_whose_first_byte_was_dropped_is_a_group_of_its_own(
    tokenizer: VocabularyTokenizer,
) -> None:
    groups = character_groups(tokenizer.tokenize("é\U00050000b"))
    assert [group.text for group in groups] == ["é", "\U00050000", "b"]


def test_bytes_without_a_token_are_dropped_and_reported(tokenizer: VocabularyTokenizer) -> None:
    tokenized = tokenizer.tokenize("é\x04b \U00050000")
    assert [(d.character, d.byte, d.data) for d in tokenized.dropped] == [
        (1, 2, b"\x04"),
        (4, 5, b"\xf1"),
    ]


def test_a_byte_without_a_token_keeps_its_neighbours_apart(tokenizer: VocabularyTokenizer) -> None:
    assert tokenizer.encode("  ") != tokenizer.encode(" \x04 ")
    assert tokenizer.encode("=\x04=") == 2 * tokenizer.encode("=")


@pytest.mark.parametrize("prompt", ["ab\ud800c", "ab\udfff"])
def test_half_a_character_is_an_error_that_names_its_place(
    tokenizer: VocabularyTokenizer, prompt: str
) -> None:
    for call in (tokenizer.encode, tokenizer.tokenize):
        with pytest.raises(TextError, match=r"U\+D[8F].{2}\) at character 3\b"):
            call(prompt)


def test_half_a_character_in_a_chat_names_the_message(tokenizer: VocabularyTokenizer) -> None:
    chat = (Message("system", "fine"), Message("user", "\ud83d"))
    with pytest.raises(TextError, match=r"Message 2 \(user\).*character 1\b"):
        tokenizer.tokenize(chat)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 100_000,
        " " * 100_000,
        " " * 100_000 + "a",
        " " * 100_000 + "1",
        "\n" * 100_000 + "b",
        " \n" * 50_000 + "x",
        "😀" * 100_000,
        "e" + "\u0301" * 100_000,
        "9" * 100_000,
        "'" * 100_000,
        "\x04" * 100_000,
        " " * 499_999 + "a",
    ],
    ids=lambda text: f"{text[:2]!r}…{text[-1]!r}",
)
def test_a_hundred_thousand_of_one_character_are_tokenized(
    tokenizer: VocabularyTokenizer, text: str
) -> None:
    data = b"".join(map(tokenizer.token_bytes, tokenizer.encode(text)))
    assert data == text.encode().replace(b"\x04", b"")


def test_more_text_than_the_pattern_engine_bears_is_refused(
    tokenizer: VocabularyTokenizer,
) -> None:
    with pytest.raises(TextError, match="500,001 characters"):
        tokenizer.encode(" " * 500_001)


@given(before=any_text, name=st.sampled_from(SPECIAL_NAMES[:4]), after=any_text)
def test_typed_special_tokens_stay_plain_text(
    tokenizer: VocabularyTokenizer, vocabulary: Vocabulary, before: str, name: str, after: str
) -> None:
    typed = f"{before}{name}{after}"
    assert not set(tokenizer.encode(typed)) & set(vocabulary.special_ids)
    tokenized = tokenizer.tokenize((Message("system", typed), Message("user", typed)))
    # two turns begin and end, and the reply begins: nothing else is special
    names = [token.text for token in tokenized.tokens if token.special]
    assert names == ["<|im_start|>", "<|im_end|>"] * 2 + ["<|im_start|>"]
    assert [t.special for t in tokenized.tokens] == [
        token.id in vocabulary.special_ids for token in tokenized.tokens
    ]


def test_a_special_token_that_is_spelled_like_a_word_is_never_made_from_text(
    tokenizer: VocabularyTokenizer, vocabulary: Vocabulary
) -> None:
    [weather] = tokenizer.encode("Weather")
    special_ids = (*vocabulary.special_ids, weather)
    other = VocabularyTokenizer(replace(vocabulary, special_ids=special_ids))
    assert weather not in other.encode("Weather")


def test_prefix_and_question_tokenized_apart(tokenizer: VocabularyTokenizer) -> None:
    """A classic fault: the ids of two halves are not the ids of the text that is sent."""
    prefix, question = "The capital of France is ", "Paris, or Par"
    assert tokenizer.encode(prefix) + tokenizer.encode(question) != tokenizer.encode(
        prefix + question
    )
    # in a chat, the template's text and the person's are one text too
    chat = tokenizer.tokenize((Message("system", ""), Message("user", "\n\nParis")))
    straddling = [token for token in chat.tokens if token.text == "\n\n"]
    assert [token.part for token in straddling] == ["text"]
    turn = tuple(tokenizer.encode("user\n\n\nParis"))
    assert any(chat.ids[at : at + len(turn)] == turn for at in range(len(chat.ids)))


def test_chat_tokens_know_their_part_and_role(tokenizer: VocabularyTokenizer) -> None:
    chat = (Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Hey"))
    tokens = tokenizer.tokenize(chat).tokens
    typed = [(token.text, token.role) for token in tokens if token.part == "text"]
    assert typed == [
        ("Be", "system"),
        (" brief", "system"),
        (".", "system"),
        ("Hi", "user"),
        ("Hey", "assistant"),
    ]
    template = [(token.text, token.role) for token in tokens if token.part == "template"]
    assert (
        template
        == [
            (text, role)
            for role in ("system", "user", "assistant", "assistant")
            for text in _turn(role)
        ][: len(template)]
    )
    assert template[-1] == ("\n", "assistant")


def _turn(role: str) -> list[str]:
    spelled = ["ass", "istant"] if role == "assistant" else [role]
    return ["<|im_start|>", *spelled, "\n", "<|im_end|>", "\n"]


def test_the_templates_own_system_message_is_template(tokenizer: VocabularyTokenizer) -> None:
    tokens = tokenizer.tokenize((Message("user", "Hi"),)).tokens
    default = [token for token in tokens if token.role == "system"]
    assert " helpful" in [token.text for token in default]
    assert {token.part for token in default} == {"template"}


def test_raw_text_has_no_template_and_no_roles(tokenizer: VocabularyTokenizer) -> None:
    tokens = tokenizer.tokenize("<|im_start|>user\nHi").tokens
    assert {(token.part, token.role, token.special) for token in tokens} == {("text", None, False)}


def test_a_model_without_a_template_refuses_chats(vocabulary: Vocabulary) -> None:
    bare = VocabularyTokenizer(replace(vocabulary, chat_template=None))
    assert not bare.has_chat
    assert bare.encode("raw text is fine")
    with pytest.raises(ChatError, match="no chat template"):
        bare.encode((Message("user", "Hi"),))


def test_an_id_outside_the_vocabulary_has_no_bytes(
    tokenizer: VocabularyTokenizer, vocabulary: Vocabulary
) -> None:
    assert tokenizer.token_bytes(1) == b"<|im_start|>"
    for token_id in (-1, len(vocabulary.tokens)):
        with pytest.raises(IndexError):
            tokenizer.token_bytes(token_id)
