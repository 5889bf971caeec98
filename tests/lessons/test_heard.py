"""What time to first token gives away, and that a salt takes it back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prefix_engine.lessons.heard import Eavesdropping, Probe, SideChannel
from prefix_engine.ranktest import mann_whitney

SYSTEM = "Answer in one sentence."
QUESTIONS = ("What is a cyst?", "Is my knee broken?", "Am I depressed?")


def heard(
    times_s: dict[int, list[float]],
    secret: int | None = 1,
    cpu: float = 2.0,
    whole: tuple[int, ...] = (),
) -> Eavesdropping:
    probes = [
        Probe(number, question, 50, 0, seconds, cpu)
        for question, seen in times_s.items()
        for number, seconds in enumerate(seen)
    ]
    return Eavesdropping(QUESTIONS, secret, False, 10, tuple(probes), whole=whole)


def slow(seed: float) -> list[float]:
    return [0.2 + seed + 0.001 * i for i in range(8)]


SOON = [0.05] * 8


def disturbing(made: Eavesdropping, question: int) -> Eavesdropping:
    """The same, but all probes of that question were disturbed."""
    return replace(
        made,
        probes=tuple(replace(p, disturbed=p.question == question) for p in made.probes),
    )


def test_what_answers_sooner_than_all_others_is_accused() -> None:
    made = heard({0: slow(0.0), 1: [0.05] * 8, 2: slow(0.1)})
    assert (made.accused, made.betrayed) == ((1,), True)
    assert "question 2 answers sooner" in made.sentence


def test_an_accusation_may_be_wrong_and_the_sentence_says_so() -> None:
    made = heard({0: [0.05] * 8, 1: slow(0.0), 2: slow(0.1)})
    assert (made.accused, made.betrayed) == ((0,), False)
    assert "mislead" in made.sentence and "question 2 was asked" in made.sentence


def test_two_that_answer_soon_accuse_nobody() -> None:
    made = heard({0: [0.05] * 8, 1: [0.05] * 8, 2: slow(0.0)})
    assert made.accused == () and "do not tell" in made.sentence


def test_the_discarded_round_accuses_nobody() -> None:
    first_only = {0: slow(0.0), 1: [0.001, *slow(0.0)[1:]], 2: slow(0.0)}
    assert heard(first_only).accused == ()
    assert 0.001 not in heard(first_only).times_s(1)


def test_too_few_probes_accuse_nobody() -> None:
    few = heard({0: slow(0.0)[:5], 1: [0.05] * 5, 2: slow(0.1)[:5]})
    assert few.accused == () and "of one question only 4 probes" in few.sentence


def test_a_salt_that_had_nothing_to_close_is_not_praised() -> None:
    open_case, quiet = (
        heard({0: slow(0.0), 1: [0.05] * 8, 2: slow(0.1)}),
        heard({0: slow(0.0), 1: slow(0.0), 2: slow(0.0)}),
    )
    assert SideChannel(SYSTEM, open_case, quiet).closed is True
    assert SideChannel(SYSTEM, open_case, open_case).closed is False
    assert SideChannel(SYSTEM, quiet, quiet).closed is None
    assert "had no task" in SideChannel(SYSTEM, quiet, quiet).sentence


@pytest.mark.parametrize(
    ("whole", "said"),
    [((), "None of these questions was asked"), ((0, 1, 2), "Each of these"), ((1,), "no task")],
)
def test_in_a_room_where_there_is_nothing_to_tell_no_salt_is_spoken_of(
    whole: tuple[int, ...], said: str
) -> None:
    quiet = heard({0: slow(0.0), 1: slow(0.0), 2: slow(0.0)}, secret=None, whole=whole)
    assert said in SideChannel(SYSTEM, quiet, quiet).sentence


def test_a_disturbed_probe_is_left_out_of_the_times_but_kept() -> None:
    sound = heard({1: SOON})
    disturbed = Probe(9, 1, 50, 0, 0.9, 1.0, disturbed=True)
    both = replace(sound, probes=(*sound.probes, disturbed))
    assert both.times_s(1) == sound.times_s(1)
    assert disturbed in both.counted(1)


def test_a_question_disturbed_throughout_is_noticed_and_nothing_is_told() -> None:
    made = disturbing(heard({0: slow(0.0), 1: SOON, 2: slow(0.1)}), 2)
    assert made.fewest == 0 and made.accused == ()
    assert made.sentence.startswith("Can't tell: of one question only 0")
    assert "can't tell" in SideChannel(SYSTEM, made, made).sentence


def test_with_more_questions_more_is_asked_of_each_test() -> None:
    """By chance one in twenty tests accuses; so with three questions p has to be below 0.05 / 3."""
    early = [0.0, 0.10, 0.11, 0.12, 0.13, 0.215]
    late = [0.0, 0.20, 0.21, 0.22, 0.23, 0.24]
    made = heard({0: late, 1: early, 2: late}, secret=1)
    assert made.accused == (1,)
    weaker = [0.0, 0.10, 0.11, 0.12, 0.13, 0.225]
    p = mann_whitney(weaker[1:], late[1:]).p
    assert 0.05 / 3 < p < 0.05
    assert heard({0: late, 1: weaker, 2: late}, secret=1).accused == ()


def test_in_a_room_several_may_be_betrayed() -> None:
    made = heard({0: SOON, 1: slow(0.0), 2: SOON}, secret=None, whole=(0, 2))
    assert (made.accused, made.betrayed) == ((0, 2), True)
    assert "questions 1 and 3 answer sooner" in made.sentence and "they were asked" in made.sentence


@pytest.mark.parametrize(
    ("whole", "truth"), [((), "no question was asked before"), ((1,), "question 2 was asked")]
)
def test_in_a_room_the_truth_is_what_the_engine_found(whole: tuple[int, ...], truth: str) -> None:
    made = heard({0: SOON, 1: slow(0.0), 2: slow(0.1)}, secret=None, whole=whole)
    assert not made.betrayed and "mislead" in made.sentence and truth in made.sentence
