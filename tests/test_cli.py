from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from prefix_engine.cli import main
from prefix_engine.engine import Engine
from prefix_engine.errors import WeightsUnavailable
from prefix_engine.loading import OnProgress
from prefix_engine.settings import Settings
from prefix_engine.unloaded import UnloadedShares
from tests.tiny_engine import tiny_cache, tiny_engine

pytestmark = pytest.mark.usefixtures("one_thread")

SHARED = "You are a helpful assistant. "
A, B = SHARED + "Weather in SF?", SHARED + "Time in NYC?"


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The command gets the tiny engine; the settings it asked with are kept here."""
    asked: list[Settings] = []

    def load(settings: Settings, block_size: int, on_progress: OnProgress) -> Engine:
        asked.append(settings)
        on_progress("weights", 0.5)
        return tiny_engine(tiny_cache(block_size), max_prompt_tokens=settings.max_prompt_tokens)

    monkeypatch.setattr("prefix_engine.cli.load_engine", load)
    # whatever else the machine does meanwhile, none of these trials is left out
    monkeypatch.setattr(UnloadedShares, "share", lambda *_: 0.0)
    for name in ("MODEL", "DEVICE", "MAX_PROMPT_TOKENS", "KV_BUDGET_MIB"):
        monkeypatch.delenv(f"FIRST_DIFFERENCE_{name}", raising=False)
    monkeypatch.setenv("FIRST_DIFFERENCE_MAX_PROMPT_TOKENS", "500")
    return asked


@dataclass(frozen=True)
class Outcome:
    status: object
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    def call(*arguments: str) -> Outcome:
        try:
            status: object = main(arguments)
        except SystemExit as stop:
            status = stop.code
        return Outcome(status, *capsys.readouterr())

    return call


def assert_refused(outcome: Outcome, *words: str) -> None:
    """Status 2, nothing on stdout, one line on stderr with these words in it."""
    assert outcome.status == 2
    assert outcome.out == ""
    lines = [line for line in outcome.err.splitlines() if not line.startswith("weights …")]
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("prefix_engine: ")
    for word in words:
        assert word in lines[0]


# ---- what is printed


def test_json_is_the_only_thing_on_stdout_and_progress_goes_to_stderr(command: Command) -> None:
    outcome = command("compare", A, B, "--trials", "2", "--json")
    assert outcome.out.count("\n") == 1
    data = outcome.json
    assert data["a"]["prompt"] == A and data["b"]["prompt"] == B
    assert data["shared"] == data["reused"] == len(SHARED)
    assert "weights … 50%" in outcome.err
    for words in ("discarded round: cold", "round 1: hit", "round 2: control"):
        assert words in outcome.err


@pytest.mark.parametrize("trials", [1, 3])
def test_as_many_trials_are_kept_in_each_arm_as_were_asked_for(
    command: Command, trials: int
) -> None:
    data = command("compare", A, B, "--trials", str(trials), "--json").json
    for arm in ("cold", "control", "hit"):
        assert [trial["arm"] for trial in data["trials"]].count(arm) == trials
    assert len(data["discarded"]) == 3


def test_seven_trials_are_the_default(command: Command) -> None:
    assert len(command("compare", A, B, "--json").json["trials"]) == 21


def test_without_json_it_says_in_words_what_happened(command: Command) -> None:
    outcome = command("compare", A, B, "--trials", "1", "--reply", "2")
    assert outcome.status == 0
    assert f"{len(SHARED)} tokens reused" in outcome.out
    assert "12 recomputed" in outcome.out
    for words in ("TTFT cold: median", "TTFT control", "TTFT hit", "Too few runs to tell"):
        assert words in outcome.out
    for words in ("of a cold run", "Reply, cold", "Reply, hit", "tiny, f32, 1 threads"):
        assert words in outcome.out


def test_an_arm_that_was_disturbed_throughout_is_told(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UnloadedShares, "share", lambda *_: 1e9)
    told = command("compare", A, B, "--trials", "2").out
    assert "TTFT hit: nothing to tell (disturbed, left out: 2)" in told
    assert "Too few runs to tell" in told


def test_text_that_is_no_ascii_survives_as_json(command: Command) -> None:
    outcome = command("compare", "é 🙂", "è 🙂", "--trials", "1", "--json")
    assert outcome.out.isascii()
    assert outcome.json["b"]["prompt"] == "è 🙂"


# ---- what is asked for


def test_texts_that_begin_with_a_dash_work_after_two(command: Command) -> None:
    data = command("compare", "--trials", "1", "--json", "--", "-a - x", "--json").json
    assert (data["a"]["prompt"], data["b"]["prompt"]) == ("-a - x", "--json")


def test_the_block_size_is_that_of_the_cache(command: Command) -> None:
    data = command("compare", A, B, "--block-size", "8", "--trials", "1", "--json").json
    assert (data["block_size"], data["shared"], data["reused"]) == (8, 29, 24)


def test_chat_sends_user_turns_with_the_system_prompt_for_both(command: Command) -> None:
    arguments = ["compare", "Hi", "Ho", "--chat", "--system", SHARED, "--trials", "1", "--json"]
    data = command(*arguments).json
    for text, side in (("Hi", "a"), ("Ho", "b")):
        assert data[side]["prompt"] == [
            {"role": "system", "content": SHARED},
            {"role": "user", "content": text},
        ]
    assert data["b"]["text"].startswith("<|s|>system\n" + SHARED)


def test_chat_works_without_a_system_prompt(command: Command) -> None:
    data = command("compare", "Hi", "Ho", "--chat", "--trials", "1", "--json").json
    assert data["b"]["prompt"] == [{"role": "user", "content": "Ho"}]


def test_an_empty_b_is_compared_but_not_run(command: Command) -> None:
    outcome = command("compare", A, "", "--trials", "1", "--json")
    data = outcome.json
    assert (data["trials"], data["exact"], data["verdict"]["kind"]) == ([], None, "empty")
    assert command("compare", A, "", "--trials", "1").status == 0


def test_an_empty_a_is_run(command: Command) -> None:
    data = command("compare", "", B, "--trials", "1", "--json").json
    assert (len(data["trials"]), data["reused"]) == (3, 0)


def test_model_and_device_are_asked_of_the_command_line_before_the_environment(
    command: Command, loaded: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST_DIFFERENCE_MODEL", "from/environment")
    monkeypatch.setenv("FIRST_DIFFERENCE_DEVICE", "cuda")
    command("compare", "a", "b", "--trials", "1")
    command("compare", "a", "b", "--trials", "1", "--model", "some/model", "--device", "cpu")
    assert [(s.model, s.device) for s in loaded] == [
        ("from/environment", "cuda"),
        ("some/model", "cpu"),
    ]


# ---- files


@pytest.fixture
def files(tmp_path: Path) -> Callable[[bytes, bytes], list[str]]:
    def write(a: bytes, b: bytes) -> list[str]:
        paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
        for path, data in zip(paths, (a, b), strict=True):
            path.write_bytes(data)
        return [str(path) for path in paths]

    return write


Files = Callable[[bytes, bytes], list[str]]


def test_files_are_read_with_their_line_ends_untouched(command: Command, files: Files) -> None:
    paths = files("één\r\ntwo\n".encode(), b"\xef\xbb\xbfone\rtwo")
    data = command("compare", *paths, "--file", "--trials", "1", "--json").json
    assert data["a"]["prompt"] == "één\r\ntwo\n"
    assert data["b"]["prompt"] == "\ufeffone\rtwo"


def test_files_can_be_user_turns(command: Command, files: Files) -> None:
    paths = files(b"Hi\n", b"Ho\n")
    data = command("compare", *paths, "--file", "--chat", "--trials", "1", "--json").json
    assert data["b"]["prompt"] == [{"role": "user", "content": "Ho\n"}]


def test_a_missing_file_is_named(command: Command, files: Files, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.txt")
    outcome = command("compare", files(b"a", b"b")[0], missing, "--file")
    assert_refused(outcome, missing, "can't be read", "No such file")


def test_a_folder_is_no_file(command: Command, tmp_path: Path) -> None:
    assert_refused(command("compare", str(tmp_path), str(tmp_path), "--file"), "can't be read")


def test_a_file_that_is_not_utf_8_is_named_with_the_byte(command: Command, files: Files) -> None:
    paths = files(b"good", b"not \xff good")
    assert_refused(command("compare", *paths, "--file"), paths[1], "not UTF-8", "byte 4")


# ---- bad input


@pytest.mark.parametrize("option", ["--trials", "--block-size", "--reply"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "", "²"])
def test_a_number_that_is_no_whole_number_from_1_is_refused(
    command: Command, option: str, value: str
) -> None:
    assert_refused(command("compare", A, B, f"{option}={value}"), option, "whole number from 1")


def test_a_system_prompt_needs_chat(command: Command, loaded: list[Settings]) -> None:
    assert_refused(command("compare", A, B, "--system", "x"), "--system needs --chat")
    assert loaded == []


@pytest.mark.parametrize(
    "arguments",
    [[], ["compare"], ["compare", A], ["compare", A, B, "C"], ["contrast", A, B], ["--json"]],
)
def test_a_command_line_that_makes_no_sense_is_refused(
    command: Command, arguments: list[str]
) -> None:
    assert_refused(command(*arguments), "--help")


def test_an_unknown_option_is_refused_by_name(command: Command) -> None:
    assert_refused(command("compare", A, B, "--fast"), "--fast")


def test_half_a_character_is_refused(command: Command) -> None:
    assert_refused(command("compare", A, "x\ud800", "--trials", "1"), "U+D800")


def test_a_prompt_over_the_limit_is_refused_with_the_count(command: Command) -> None:
    outcome = command("compare", A, "x" * 501, "--trials", "1")
    assert_refused(outcome, "B has 501 tokens", "limit is 500")


def test_a_bad_setting_is_refused(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_DIFFERENCE_KV_BUDGET_MIB", "none")
    assert_refused(command("compare", A, B), "FIRST_DIFFERENCE_KV_BUDGET_MIB")


def test_an_engine_that_cannot_be_loaded_is_told_in_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Engine:
        raise WeightsUnavailable("Get the file by hand.")

    monkeypatch.setattr("prefix_engine.cli.load_engine", fail)
    assert_refused(command("compare", A, B), "Get the file by hand.")


def test_an_interrupted_command_says_so(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> Engine:
        raise KeyboardInterrupt

    monkeypatch.setattr("prefix_engine.cli.load_engine", interrupt)
    outcome = command("compare", A, B)
    assert (outcome.status, outcome.out, outcome.err) == (130, "", "prefix_engine: stopped\n")


def test_help_explains_the_two_dashes(command: Command) -> None:
    outcome = command("compare", "--help")
    assert outcome.status == 0
    assert "go after '--'" in outcome.out


def test_a_name_with_a_line_break_is_still_refused_in_one_line(command: Command) -> None:
    assert_refused(command("compare", "no\nsuch", "file", "--file"), "no such can't be read")
    assert_refused(command("compare", A, B, "--fa\nst"), "--fa st")


def test_a_number_of_thousands_of_digits_is_refused_without_echoing_it(command: Command) -> None:
    outcome = command("compare", A, B, f"--trials={'9' * 5000}")
    assert_refused(outcome, "--trials", "whole number from 1")
    assert len(outcome.err) < 200


def test_a_reply_longer_than_the_limit_is_refused_and_nothing_is_run(command: Command) -> None:
    outcome = command("compare", A, B, "--reply", "99999")
    assert_refused(outcome, "A reply of 99,999 tokens")
