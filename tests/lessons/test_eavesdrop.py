"""What time to first token gives away, and that a salt takes it back."""

from __future__ import annotations

import pytest

from prefix_engine.lessons.eavesdrop import eavesdrop, open_and_close
from prefix_engine.lessons.heard import Eavesdropping, Probe, SideChannel
from prefix_engine.watch import Watch
from tests.tiny_engine import tiny_engine

SYSTEM = "Answer in one sentence."
QUESTIONS = ("What is a cyst?", "Is my knee broken?", "Am I depressed?")


def heard(times_s: dict[int, list[float]], secret: int = 1, cpu: float = 2.0) -> Eavesdropping:
    probes = [
        Probe(number, question, 50, 0, seconds, cpu)
        for question, seen in times_s.items()
        for number, seconds in enumerate(seen)
    ]
    return Eavesdropping(QUESTIONS, secret, False, 10, tuple(probes))


def slow(seed: float) -> list[float]:
    return [0.2 + seed + 0.001 * i for i in range(8)]


def test_in_a_shared_namespace_only_the_secret_is_found_whole_and_with_a_salt_nothing() -> None:
    for salted in (False, True):
        engine = tiny_engine()
        made = eavesdrop(engine, SYSTEM, QUESTIONS, 2, salted, rounds=2, seed=1)
        found_whole = {p.question for p in made.probes if p.reused == p.tokens - 1}
        assert found_whole == (set() if salted else {2})
        assert all(probe.reused >= made.shared > len(SYSTEM) for probe in made.probes)
        assert engine.cache.stats.stored_tokens == 0


def test_every_question_is_sent_once_in_each_round() -> None:
    made = eavesdrop(tiny_engine(), SYSTEM, QUESTIONS, 0, False, rounds=3, seed=1)
    assert sorted((p.round, p.question) for p in made.probes) == [
        (number, question) for number in range(4) for question in range(3)
    ]


def test_a_stopped_eavesdropper_leaves_nothing_behind() -> None:
    engine = tiny_engine()

    def stop(part: float, what: str) -> None:
        if part > 0.5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        eavesdrop(engine, SYSTEM, QUESTIONS, 0, True, rounds=2, watch=Watch(tell=stop))
    assert engine.cache.stats.stored_tokens == 0


def test_what_answers_sooner_than_all_others_is_accused() -> None:
    made = heard({0: slow(0.0), 1: [0.05] * 8, 2: slow(0.1)})
    assert (made.accused, made.betrayed) == (1, True)
    assert "question 2 answers sooner" in made.sentence


def test_an_accusation_may_be_wrong_and_the_sentence_says_so() -> None:
    made = heard({0: [0.05] * 8, 1: slow(0.0), 2: slow(0.1)})
    assert (made.accused, made.betrayed) == (0, False)
    assert "mislead" in made.sentence and "question 2 was asked" in made.sentence


def test_two_that_answer_soon_accuse_nobody() -> None:
    made = heard({0: [0.05] * 8, 1: [0.05] * 8, 2: slow(0.0)})
    assert made.accused is None and "do not tell" in made.sentence


def test_the_discarded_round_accuses_nobody() -> None:
    first_only = {0: slow(0.0), 1: [0.001, *slow(0.0)[1:]], 2: slow(0.0)}
    assert heard(first_only).accused is None
    assert 0.001 not in heard(first_only).times_s(1)


def test_too_few_probes_accuse_nobody() -> None:
    few = heard({0: slow(0.0)[:5], 1: [0.05] * 5, 2: slow(0.1)[:5]})
    assert few.accused is None and "Too few probes to tell: 4" in few.sentence


def test_a_salt_that_had_nothing_to_close_is_not_praised() -> None:
    open_case, quiet = (
        heard({0: slow(0.0), 1: [0.05] * 8, 2: slow(0.1)}),
        heard({0: slow(0.0), 1: slow(0.0), 2: slow(0.0)}),
    )
    assert SideChannel(SYSTEM, open_case, quiet).closed is True
    assert SideChannel(SYSTEM, open_case, open_case).closed is False
    assert SideChannel(SYSTEM, quiet, quiet).closed is None
    assert "had no task" in SideChannel(SYSTEM, quiet, quiet).sentence


def test_both_halves_listen_for_the_same_secret_in_namespaces_apart() -> None:
    made = open_and_close(tiny_engine(), SYSTEM, QUESTIONS, rounds=1, seed=3)
    assert made.shared.secret == made.salted.secret
    assert (made.shared.salted, made.salted.salted) == (False, True)


def test_a_disturbed_probe_is_left_out() -> None:
    sound = heard({1: [0.05] * 8})
    disturbed = Probe(9, 1, 50, 0, 0.9, 1.0)
    both = Eavesdropping(QUESTIONS, 1, False, 10, (*sound.probes, disturbed))
    assert both.times_s(1) == sound.times_s(1)
