"""One user and many: what each arm reuses, on the tiny engine, and what is calculated from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from prefix_engine.compare import common_prefix, reusable
from prefix_engine.lessons.crowd import Crowd, Material, Who, measure_crowd, requests_of, sharing
from prefix_engine.lessons.stream import Served, ServedTrial, Stream
from prefix_engine.measured import from_json
from prefix_engine.speed import SpeedKind
from tests.tiny_engine import tiny_engine
from ui.lessons.crowd import MOST_USERS, ROUNDS, USERS, load_material

if TYPE_CHECKING:
    from prefix_engine.tokenizer import Tokenizer

RECORDED = Path(__file__).parents[2] / "assets/recorded/one_user_many_users.json"
SYSTEM = "Be kind to all."
MATERIAL = Material(
    system=SYSTEM,
    questions=("Why?", "How?", "Is it?", "To whom?"),
    replies=("So.", "Thus."),
    unrelated=("1 + 1 =", "Sing!", "x = []"),
)
SHARED = len(f"{SYSTEM}\n\nPassenger: ")


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    return measure_crowd(tiny_engine(), MATERIAL, 4, 1)


def reused(crowd: Crowd, who: Who) -> list[int]:
    return [one.reused for one in crowd.of(who).requests]


def test_one_user_with_unrelated_prompts_reuses_nothing(crowd: Crowd) -> None:
    assert reused(crowd, Who.UNRELATED) == [0, 0, 0]


def test_one_user_alone_reuses_a_system_prompt(crowd: Crowd) -> None:
    assert reused(crowd, Who.SYSTEM) == [0, SHARED, SHARED]


def test_a_chat_reuses_all_of_the_conversation_so_far(crowd: Crowd) -> None:
    chat = crowd.of(Who.CHAT).requests
    assert [one.reused for one in chat] == [0, *(one.tokens for one in chat[:-1])]


def test_the_same_request_again_computes_its_last_token(crowd: Crowd) -> None:
    assert crowd.of(Who.REPEAT).requests[1].computed == 1


def test_many_users_share_a_system_prompt_as_one_user_does(crowd: Crowd) -> None:
    assert reused(crowd, Who.CROWD) == [0, SHARED, SHARED, SHARED]
    assert {one.user for one in crowd.of(Who.CROWD).requests} == {
        "user 1",
        "user 2",
        "user 3",
        "user 4",
    }


def test_users_with_a_namespace_each_share_nothing(crowd: Crowd) -> None:
    assert reused(crowd, Who.SALTED) == [0, 0, 0, 0]


def test_both_arms_of_many_users_send_the_same_prompts() -> None:
    shared, salted = (
        [(one.prompt, one.user) for one in requests_of(who, MATERIAL, 3)]
        for who in (Who.CROWD, Who.SALTED)
    )
    assert shared == salted


def test_nothing_is_left_in_the_cache() -> None:
    engine = tiny_engine()
    measure_crowd(engine, MATERIAL, 2, 1)
    assert engine.cache.stats.stored_tokens == 0


def stream(*requests: tuple[int, int]) -> Stream:
    trial = ServedTrial(1, 0, 0.1, 0.2, 2.0, 2.0, 0.0)
    return Stream(
        tuple(Served("", "", tokens, reused, reused, (trial,)) for tokens, reused in requests)
    )


def test_as_many_users_as_were_measured_are_summed_up() -> None:
    found = sharing(stream((100, 0), (110, 80), (90, 70)), 2)
    assert (found.tokens, found.reused, found.measured) == (210, 80, True)
    assert sharing(stream((100, 0), (110, 80), (90, 70)), 3).measured


def test_further_users_are_calculated_from_the_mean_later_request() -> None:
    found = sharing(stream((100, 0), (110, 80), (90, 70)), 1001)
    assert (found.tokens, found.reused, found.measured) == (100_100, 75_000, False)
    assert found.prefilled == 25_100


def test_one_user_alone_in_the_crowd_reuses_nothing() -> None:
    assert sharing(stream((100, 0), (110, 80)), 1).hit_rate == 0


def test_few_trials_allow_no_word_on_speed() -> None:
    assert measure_crowd(tiny_engine(), MATERIAL, 2, 1).speed.kind is SpeedKind.TOO_FEW


def test_every_user_of_the_largest_crowd_has_a_question_of_their_own() -> None:
    material = load_material()
    assert len(set(material.questions)) >= MOST_USERS
    assert len(material.replies) == len(material.unrelated) - 1


def test_the_recording_is_of_todays_prompts_and_tokens(tokenizer: Tokenizer) -> None:
    found = from_json(RECORDED.read_bytes(), Crowd).result
    assert found.users == USERS
    for arm in found.arms:
        earlier: list[list[int]] = []
        asked = list(requests_of(arm.who, load_material(), USERS))
        for served, one in zip(arm.stream.requests, asked, strict=True):
            ids = tokenizer.encode(one.prompt)
            shared = max((common_prefix(ids, before) for before in earlier), default=0)
            assert len(served.trials) == ROUNDS
            assert (served.tokens, served.reused) == (len(ids), reusable(shared, len(ids)))
            if arm.who is not Who.SALTED:
                earlier.append(ids)
