"""The strip's data says what the comparison found; in predict mode it keeps the answer back."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

import ui.strip as strip
from prefix_engine.compare import compare
from tests.ui.prompts import chat, raw
from ui.strip import guess_in_words, static_strip, strip_payload, token_strip

WEATHER = compare(raw("Weather in SF today?"), raw("Weather in NYC today?"))


def payload(a: str, b: str, *, split: str = "", block_size: int = 1) -> dict[str, Any]:
    return strip_payload(compare(raw(a, split), raw(b, split), block_size))


def data_in(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


class TestPayload:
    def test_every_token_has_its_id_text_bytes_and_place(self) -> None:
        tokens = strip_payload(WEATHER)["b"]
        assert [token["text"] for token in tokens] == ["Weather", "·in", "·NYC", "·today", "?"]
        assert [token["id"] for token in tokens] == list(WEATHER.b.ids)
        assert tokens[2] | {"id": 0} == {"id": 0, "byte": 10, "hex": "204e5943", "text": "·NYC"}

    def test_survives_json(self) -> None:
        data = payload("a\u200b 東", "a 京\n", split="東京")
        assert json.loads(json.dumps(data)) == data

    def test_has_a_state_for_every_token_of_b_and_the_cut(self) -> None:
        data = strip_payload(WEATHER)
        assert [entry["state"] for entry in data["states"]] == [
            "reused",
            "reused",
            "first_difference",
            "same_recomputed",
            "same_recomputed",
        ]
        assert (data["stop"], data["cut"]) == (2, 2)

    def test_says_how_far_a_token_moved_only_where_it_did(self) -> None:
        inserted = payload("x a b", "x new a b")["states"]
        assert [entry.get("moved") for entry in inserted] == [None, None, 1, 1]
        assert not any("moved" in entry for entry in strip_payload(WEATHER)["states"])

    def test_says_why_a_matched_token_is_computed(self) -> None:
        assert payload("a b c", "a b c")["states"][-1] == {
            "state": "matched_recomputed",
            "why": "last_token",
        }
        blocked = payload("a b c d e", "a b c x e", block_size=2)
        assert blocked["states"][2] == {"state": "matched_recomputed", "why": "block"}
        assert (blocked["stop"], blocked["cut"]) == (2, 3)

    def test_a_long_run_of_spaces_is_counted(self) -> None:
        assert payload("a", "a" + " " * 40)["b"][1]["text"] == "⟨·×40⟩"
        assert payload("a", "a" + " " * 8)["b"][1]["text"] == "·" * 8

    def test_a_split_character_is_one_group_with_its_text(self) -> None:
        data = payload("ok 🌦 x", "ok 🌦 y", split="🌦")
        cells = [token for token in data["b"] if "text" not in token]
        assert [token["hex"] for token in cells] == ["f09f", "8ca6"]
        [group] = data["split"]["b"]
        assert data["b"][group["start"] : group["stop"]] == cells
        assert group["text"] == "🌦"

    def test_never_has_a_replacement_character(self) -> None:
        data = payload("a 東京 b", "a 東亰 b", split="東京亰")
        assert "\ufffd" not in json.dumps(data, ensure_ascii=False)

    def test_template_tokens_have_their_role_and_typed_ones_none(self) -> None:
        data = strip_payload(compare(chat("Be kind.", "Hi"), chat("Be kind.", "Yo")))
        roles = [(token["text"], token.get("template")) for token in data["b"]]
        assert roles[:4] == [
            ("<|im_start|>", "system"),
            ("system", "system"),
            ("⏎", "system"),
            ("Be", None),
        ]
        assert ("Yo", None) in roles
        assert roles[-1] == ("⏎", "assistant")

    def test_legend_counts_every_token_once_and_names_only_states_that_occur(self) -> None:
        legend = strip_payload(WEATHER)["legend"]
        assert [(entry["state"], entry["count"]) for entry in legend] == [
            ("reused", 2),
            ("first_difference", 1),
            ("same_recomputed", 2),
        ]

    def test_pair_names_prompts_and_block_size(self) -> None:
        pairs = [
            payload("a b", "a c")["pair"],
            payload("a b", "a d")["pair"],
            payload("a c", "a b")["pair"],
            payload("a b", "a c", block_size=2)["pair"],
        ]
        assert len(set(pairs)) == 4
        assert payload("a b", "a c")["pair"] == pairs[0]


class TestWords:
    def test_summary_tells_what_the_picture_shows(self) -> None:
        summary = strip_payload(WEATHER)["summary"]
        assert summary == (
            "B reuses 2 of 5 tokens. The first difference is token 3. "
            "Tokens of B: 2 reused; 1 first difference; 2 same token, recomputed."
        )

    def test_summary_without_a_difference_names_none(self) -> None:
        assert "difference" not in payload("a b", "a b c")["summary"]

    def test_summary_of_an_empty_b(self) -> None:
        assert payload("a b", "")["summary"].startswith("B is empty")

    def test_summary_can_be_given(self) -> None:
        assert strip_payload(WEATHER, summary="As told.")["summary"] == "As told."

    @pytest.mark.parametrize(
        ("guess", "words"),
        [
            (2, "Your guess, before token 3, is right."),
            (3, "Your guess was before token 4: 1 token too late. Reuse stops before token 3."),
            (0, "Your guess was before token 1: 2 tokens too early. Reuse stops before token 3."),
            (5, "Your guess was that all is reused: 3 tokens too late."),
        ],
    )
    def test_guess_is_told_with_its_distance(self, guess: int, words: str) -> None:
        assert guess_in_words(guess, stop=2, total=5).startswith(words)


class TestPredict:
    def test_the_answer_is_not_sent(self) -> None:
        data = data_in(static_strip(strip_payload(WEATHER, guess=1), "predict"))
        secret = ("states", "legend", "stop", "cut", "guessed")
        assert not any(data[name] for name in secret)
        assert "reuses" not in data["summary"]
        assert data["guess"] == 1

    def test_result_has_the_answer(self) -> None:
        data = data_in(static_strip(strip_payload(WEATHER, guess=1)))
        assert (data["mode"], data["stop"], data["cut"]) == ("result", 2, 2)
        assert data["guessed"].startswith("Your guess was")


class TestAnswer:
    """The browser's answer is foreign data: only a position of this pair counts."""

    @pytest.mark.parametrize(
        ("at", "expected"),
        [(0, 0), (5, 5), (6, None), (-1, None), ("2", None), (2.0, None), (True, None)],
    )
    def test_only_positions_of_b_and_its_end_count(
        self, monkeypatch: pytest.MonkeyPatch, at: object, expected: int | None
    ) -> None:
        data = strip_payload(WEATHER)
        answer = {"guess": {"pair": data["pair"], "at": at}}
        monkeypatch.setattr(strip, "_STRIP", lambda **_: answer)
        assert token_strip(data, key="k", mode="predict") == expected

    @pytest.mark.parametrize("answer", [None, 3, "x", [], {"at": 2}, {"pair": "other", "at": 2}])
    def test_an_answer_to_another_pair_is_none(
        self, monkeypatch: pytest.MonkeyPatch, answer: object
    ) -> None:
        monkeypatch.setattr(strip, "_STRIP", lambda **_: {"guess": answer})
        assert token_strip(strip_payload(WEATHER), key="k", mode="predict") is None

    def test_modes_do_not_mix_their_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = strip_payload(WEATHER)
        answers = {
            "guess": {"pair": data["pair"], "at": 1},
            "selected": {"pair": data["pair"], "at": 4},
        }
        monkeypatch.setattr(strip, "_STRIP", lambda **_: answers)
        assert token_strip(data, key="k", mode="predict") == 1
        assert token_strip(data, key="k", mode="result") == 4


class TestStatic:
    def test_prompt_text_cannot_end_the_script_that_holds_it(self) -> None:
        hostile = "</script><img src=x onerror=alert(1)><!--"
        page = static_strip(payload("a", hostile))
        assert page.count("</script>") == 1
        assert "<img" not in page and "<!--" not in page
        assert data_in(page)["text"]["b"] == hostile
