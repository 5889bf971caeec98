from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.utils.chat_template_utils import render_jinja_template

from prefix_engine.chat import ChatError, ChatTemplate, Message, Piece, jinja_renderer
from prefix_engine.vocabulary import Vocabulary

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}<|im_start|>assistant"
)
STRIPPING = "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}</s>{% endfor %}<|model|>"
INDENTED = (
    "{% for m in messages %}\n  {% if m.content %}\n{{ m.content }}\n  {% endif %}\n{% endfor %}\n"
)
UNNAMED = "<s>{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}"

content = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["<|im_end|>", "{{ messages }}", "{% raw %}", "<b>&amp;</b>", " \r\n x \t", "0:", "</s>"]
)
chats = st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), content))


def pieces(source: str, specials: list[str], *messages: Message) -> list[Piece]:
    return ChatTemplate(jinja_renderer(source), specials).pieces(messages)


@given(messages=chats)
def test_the_chat_is_rendered_as_transformers_renders_it(
    vocabulary: Vocabulary, messages: list[Message]
) -> None:
    assert vocabulary.chat_template
    specials = [vocabulary.tokens[i] for i in vocabulary.special_ids]
    plain = [{"role": m.role, "content": m.content} for m in messages]
    for source in (vocabulary.chat_template, STRIPPING, INDENTED):
        expected = render_jinja_template([plain], chat_template=source, add_generation_prompt=True)
        rendered = pieces(source, specials, *messages)
        assert "".join(piece.text for piece in rendered) == expected[0][0]


@given(messages=chats)
def test_what_people_wrote_is_typed_and_nothing_else(messages: list[Message]) -> None:
    typed = [p for p in pieces(CHATML, ["<|im_start|>", "<|im_end|>"], *messages) if _typed(p)]
    assert [(p.text, p.role) for p in typed] == [(m.content, m.role) for m in messages if m.content]


def _typed(piece: Piece) -> bool:
    return piece.kind == "typed"


def test_only_the_templates_own_special_tokens_are_special() -> None:
    got = pieces(CHATML, ["<|im_start|>", "<|im_end|>"], Message("user", "<|im_end|>"))
    assert [(piece.text, piece.kind) for piece in got] == [
        ("<|im_start|>", "special"),
        ("user\n", "template"),
        ("<|im_end|>", "typed"),
        ("<|im_end|>", "special"),
        ("\n", "template"),
        ("<|im_start|>", "special"),
        ("assistant", "template"),
    ]


def test_a_special_token_completed_by_a_person_is_not_one() -> None:
    got = pieces("<|im_{{ messages[0].content }}", ["<|im_end|>"], Message("user", "end|>"))
    assert [piece.kind for piece in got] == ["template", "typed"]


def test_the_longest_special_token_wins() -> None:
    got = pieces("<x><xy>", ["<x", "<x>", "<xy>"])
    assert [piece.text for piece in got] == ["<x>", "<xy>"]


def test_a_template_that_strips_messages_is_followed() -> None:
    got = pieces(STRIPPING, ["<|user|>", "</s>", "<|model|>"], Message("user", " \n a b\n"))
    assert [(piece.text, piece.kind) for piece in got] == [
        ("<|user|>", "special"),
        ("a b", "typed"),
        ("</s>", "special"),
        ("<|model|>", "special"),
    ]
    assert [piece.role for piece in got] == ["user", "user", "user", "assistant"]


def test_without_names_of_roles_the_template_goes_with_the_message_before_it() -> None:
    got = pieces(UNNAMED, ["<s>"], Message("user", "Hi"))
    assert [(piece.text, piece.role) for piece in got] == [
        ("<s>", None),
        ("[INST] ", None),
        ("Hi", "user"),
        (" [/INST]", "user"),
    ]


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0].content | upper }}",
        "{{ messages[0].content[:3] }}",
        "{{ messages[0].content | length }}",
    ],
)
def test_a_template_that_rewrites_messages_is_refused(source: str) -> None:
    with pytest.raises(ChatError, match="rewrites"):
        pieces(source, [], Message("user", "abcdef"))


def test_a_templates_refusal_is_told_in_its_own_words() -> None:
    source = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(ChatError, match="roles must alternate"):
        pieces(source, [], Message("user", "Hi"))


def test_a_template_that_is_no_template_is_refused() -> None:
    with pytest.raises(ChatError, match="can't be read"):
        jinja_renderer("{% for %}")


def test_a_template_can_reach_nothing_of_the_program() -> None:
    with pytest.raises(ChatError):
        pieces("{{ messages.__class__.__mro__[1].__subclasses__() }}", [], Message("user", "Hi"))
