"""Each preset shows, with the model's own tokens, what its lesson says."""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from prefix_engine.compare import Comparison, State, TokenState, compare
from prefix_engine.diagnose import FindingKind, VerdictKind, diagnose
from prefix_engine.tokenizer import Message, Tokenizer, character_groups
from ui.presets import PRESETS, Preset, PresetError, load_presets, preset_prompts

PRESET = {preset.id: preset for preset in load_presets()}

DIAGNOSES: dict[str, tuple[VerdictKind, list[FindingKind]]] = {
    "weather": (VerdictKind.ORDINARY, []),
    "long-system": (VerdictKind.ORDINARY, []),
    "id-front": (VerdictKind.NOTHING_SHARED, []),
    "id-end": (VerdictKind.ORDINARY, []),
    "rag": (VerdictKind.ORDINARY, []),
    "shared-code": (VerdictKind.ORDINARY, []),
    "chat-turns": (VerdictKind.CONTINUES, []),
    "timestamp": (VerdictKind.ORDINARY, []),
    "invisible": (VerdictKind.ORDINARY, [FindingKind.LOOKS_IDENTICAL]),
    "split-character": (VerdictKind.ORDINARY, [FindingKind.SPLIT_CHARACTER]),
    "retokenize": (VerdictKind.ORDINARY, [FindingKind.RETOKENIZED]),
    "repeat": (VerdictKind.EQUAL, []),
    "longer-id": (VerdictKind.ORDINARY, []),
    "nfc-nfd": (VerdictKind.ORDINARY, [FindingKind.LOOKS_IDENTICAL]),
}


@pytest.fixture(scope="module")
def compared(tokenizer: Tokenizer) -> dict[str, Comparison]:
    pairs = {name: preset_prompts(preset) for name, preset in PRESET.items()}
    return {
        name: compare(tokenizer.tokenize(a), tokenizer.tokenize(b))
        for name, (a, b) in pairs.items()
    }


def texts(name: str) -> tuple[str, str]:
    return PRESET[name].a, PRESET[name].b


def share_reused(comparison: Comparison) -> float:
    return comparison.reused / len(comparison.b.tokens)


def before_cut(comparison: Comparison) -> str:
    assert comparison.cut is not None
    return comparison.b.text[: comparison.cut.character]


def same_recomputed(moved: int) -> TokenState:
    return TokenState(State.SAME_RECOMPUTED, moved=moved)


def test_the_order_is_that_of_the_chapter_shapes_before_traps() -> None:
    assert list(PRESET) == list(DIAGNOSES)
    groups = [preset.group for preset in PRESET.values()]
    assert groups == ["shape"] * 8 + ["trap"] * 6


@pytest.mark.parametrize("name", DIAGNOSES)
def test_each_pair_gets_the_diagnosis_it_teaches(
    name: str, compared: dict[str, Comparison]
) -> None:
    verdict = diagnose(compared[name])
    findings = [finding.kind for finding in verdict.findings]
    assert (verdict.kind, findings) == DIAGNOSES[name]


def test_what_eyes_miss_stands_in_the_file_as_an_escape() -> None:
    assert PRESETS.read_bytes().isascii()


def test_weather_reuses_two_tokens_and_recomputes_six_that_read_the_same(
    compared: dict[str, Comparison],
) -> None:
    seen, lesson = compared["weather"], PRESET["weather"].lesson
    assert before_cut(seen) == "Weather in"
    assert f"{seen.reused} of {len(seen.b.tokens)} tokens are reused" in lesson
    after_city = seen.states[3:]
    assert set(after_city) == {same_recomputed(0)}
    assert f"The {len(after_city)} tokens after the city" in lesson


def test_a_long_system_prompt_is_reused_up_to_the_question(
    compared: dict[str, Comparison],
) -> None:
    seen = compared["long-system"]
    assert seen.b.text[len(before_cut(seen)) :].startswith(PRESET["long-system"].b)
    assert 450 <= len(seen.b.tokens) <= 600
    assert share_reused(seen) > 0.95


def test_an_id_in_front_leaves_nothing_to_reuse_though_the_rest_is_the_same(
    compared: dict[str, Comparison],
) -> None:
    seen = compared["id-front"]
    a, b = (prompt.partition(" is the id of this request.") for prompt in texts("id-front"))
    assert a[0] != b[0]
    assert a[1:] == b[1:]
    assert seen.reused == 0
    after_id = len(b[0])
    rest = [
        state
        for state, token in zip(seen.states, seen.b.tokens, strict=True)
        if token.character >= after_id
    ]
    assert set(rest) == {same_recomputed(0)}


def test_in_chat_mode_an_id_in_front_still_shares_the_template(tokenizer: Tokenizer) -> None:
    a, b = ((Message("user", text),) for text in texts("id-front"))
    seen = compare(tokenizer.tokenize(a), tokenizer.tokenize(b))
    assert diagnose(seen).kind is VerdictKind.ONLY_TEMPLATE
    assert f"In chat mode {seen.reused} tokens stay shared" in PRESET["id-front"].lesson
    template = [token.part == "template" for token in seen.b.tokens]
    assert template.index(False) == seen.reused


def test_an_id_at_the_end_leaves_everything_before_it_reusable(
    compared: dict[str, Comparison],
) -> None:
    seen = compared["id-end"]
    assert re.match(r"\w+ is the id of this request\.", seen.b.text[len(before_cut(seen)) :])
    assert share_reused(seen) > 0.95


def test_the_ids_come_with_the_same_content_in_front_and_at_the_end() -> None:
    instructions = PRESET["long-system"].system
    assert instructions is not None
    for front, end in zip(texts("id-front"), texts("id-end"), strict=True):
        assert instructions in front
        assert sorted(front.split("\n\n")) == sorted(end.split("\n\n"))


def test_documents_are_reused_up_to_the_question(compared: dict[str, Comparison]) -> None:
    seen = compared["rag"]
    assert re.search(r"\[1\].+\[2\].+\[3\].+\nQuestion:$", before_cut(seen), re.DOTALL)
    assert share_reused(seen) > 0.95


def test_shared_code_is_reused_up_to_the_request(compared: dict[str, Comparison]) -> None:
    seen = compared["shared-code"]
    assert before_cut(seen).endswith("\n\nRequest:")
    assert share_reused(seen) > 0.95


def test_shared_code_works() -> None:
    code = PRESET["shared-code"].a.partition("timetable.py:")[2].partition("Request:")[0]
    module: dict[str, Any] = {}
    exec(compile(code, "timetable.py", "exec"), module)
    stop = module["Timetable"]()
    stop.add("21:30", "5", "Harbour")
    stop.add("00:15", "5", "Station")
    assert stop.wait("23:50", "5") == 25
    assert [bus.destination for bus in stop.following("12:00")] == ["Harbour", "Station"]


def test_the_next_turn_of_a_conversation_reuses_all_of_the_last(
    compared: dict[str, Comparison],
) -> None:
    seen = compared["chat-turns"]
    assert seen.reused == len(seen.a.tokens)
    assert {state.state for state in seen.states[seen.reused :]} == {State.NEW}
    assert re.match(r" .+\nUser: .+\nAssistant:$", seen.b.text.removeprefix(seen.a.text))


def test_a_timestamp_in_front_cuts_inside_the_time(compared: dict[str, Comparison]) -> None:
    seen = compared["timestamp"]
    assert re.fullmatch(r"Current time: \S+ \d\d:\d\d:", before_cut(seen))
    a, b = (datetime.fromisoformat(text[14:33]) for text in texts("timestamp"))
    assert f"{(b - a).seconds} seconds have passed" in PRESET["timestamp"].lesson
    assert set(seen.states[seen.shared + 2 :]) == {same_recomputed(0)}
    assert share_reused(seen) < 0.1


def test_an_invisible_character_cuts_where_nothing_can_be_seen(
    compared: dict[str, Comparison],
) -> None:
    a, b = texts("invisible")
    assert before_cut(compared["invisible"]).endswith("harvest")
    assert b.replace("harvest\u200b", "harvest") == a
    assert "U+200B" in PRESET["invisible"].lesson


def test_the_cut_falls_after_two_of_the_three_tokens_of_a_character(
    compared: dict[str, Comparison],
) -> None:
    seen = compared["split-character"]
    group = next(g for g in character_groups(seen.b) if g.start <= seen.shared < g.stop)
    assert (group.stop - group.start, seen.shared - group.start) == (3, 2)
    assert len(group.text.strip()) == 1
    assert not group.text.isascii()


def test_typing_on_in_a_word_changes_tokens_that_both_texts_begin_with(
    compared: dict[str, Comparison],
) -> None:
    seen = compared["retokenize"]
    assert seen.b.text.startswith(seen.a.text)
    assert before_cut(seen) + " photosyn" == seen.a.text
    assert seen.shared < len(seen.a.tokens)


def test_an_exact_repeat_computes_the_last_token(compared: dict[str, Comparison]) -> None:
    seen = compared["repeat"]
    assert seen.a.text == seen.b.text
    assert seen.reused == len(seen.b.tokens) - 1
    assert seen.states[-1] == TokenState(State.MATCHED_RECOMPUTED, why="last_token")


def test_an_id_one_token_longer_moves_everything_behind_it_by_one(
    compared: dict[str, Comparison],
) -> None:
    seen = compared["longer-id"]
    assert before_cut(seen).endswith("\nTicket ")
    behind = seen.states[seen.shared + len("1000") :]
    assert len(behind) > 40
    assert set(behind) == {same_recomputed(1)}


def test_another_way_to_write_an_accent_cuts_at_the_accented_letter(
    compared: dict[str, Comparison],
) -> None:
    a, b = texts("nfc-nfd")
    assert (unicodedata.normalize("NFC", b), unicodedata.normalize("NFD", a)) == (a, b)
    assert a.removeprefix(before_cut(compared["nfc-nfd"])).startswith(" \u00e9")


ENTRY = {
    "id": "one",
    "group": "shape",
    "title": "One",
    "mode": "chat",
    "system": "Be brief.",
    "a": "Hello",
    "b": "Good morning",
    "lesson": "They differ.",
}


def write(folder: Path, *entries: object) -> Path:
    path = folder / "presets.json"
    path.write_text(json.dumps({"presets": entries}), encoding="utf-8")
    return path


def test_a_chat_preset_has_its_system_prompt_before_both_questions(tmp_path: Path) -> None:
    (preset,) = load_presets(write(tmp_path, ENTRY))
    system = Message("system", "Be brief.")
    assert preset_prompts(preset) == (
        (system, Message("user", "Hello")),
        (system, Message("user", "Good morning")),
    )


def test_a_chat_preset_without_a_system_prompt_leaves_it_to_the_template() -> None:
    preset = Preset(**ENTRY | {"system": None})  # type: ignore[arg-type]
    assert preset_prompts(preset) == (
        (Message("user", "Hello"),),
        (Message("user", "Good morning"),),
    )


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"group": "game"}, r"preset 2 \('two'\): \"group\" has to be one of shape, trap"),
        ({"mode": "voice"}, r"\"mode\" has to be one of raw, chat"),
        ({"mode": "raw"}, r"\"system\" needs the mode chat"),
        ({"system": ""}, r"\"system\" has to be some text"),
        ({"a": ["Hello"]}, r"\"a\" has to be some text"),
        ({"lesson": " "}, r"\"lesson\" has to be some text"),
        ({"hint": "?"}, r"preset 2 has the unknown key hint"),
        ({"id": "one"}, r"more than one preset has the id one"),
    ],
)
def test_a_wrong_entry_is_named_with_its_fault(
    change: dict[str, object], complaint: str, tmp_path: Path
) -> None:
    path = write(tmp_path, ENTRY, ENTRY | {"id": "two"} | change)
    with pytest.raises(PresetError, match=complaint):
        load_presets(path)


def test_an_entry_that_lacks_a_key_is_refused(tmp_path: Path) -> None:
    short = {key: value for key, value in ENTRY.items() if key not in ("b", "system")}
    with pytest.raises(PresetError, match="preset 1 lacks b, lacks system"):
        load_presets(write(tmp_path, short))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[]", "has no list"),
        (b'{"presets": []}', "has no list"),
        (b'{"presets": ["weather"]}', "preset 1 is not an object"),
    ],
)
def test_a_file_of_another_kind_is_refused(content: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "presets.json"
    path.write_bytes(content)
    with pytest.raises(PresetError, match=complaint):
        load_presets(path)


def test_a_missing_file_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match=r"nowhere\.json can't be read: No such file"):
        load_presets(tmp_path / "nowhere.json")
