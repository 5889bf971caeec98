from __future__ import annotations

import pytest

from prefix_engine.errors import PrefixEngineError
from prefix_engine.settings import BadSetting, Settings

NUMBERS = [
    "FIRST_DIFFERENCE_MAX_PROMPT_TOKENS",
    "FIRST_DIFFERENCE_MAX_TRIALS",
    "FIRST_DIFFERENCE_KV_BUDGET_MIB",
    "FIRST_DIFFERENCE_KV_BUDGET_EACH_MIB",
    "FIRST_DIFFERENCE_MAX_WAITING",
]


def test_without_variables_everything_has_its_default() -> None:
    assert Settings.from_environment({}) == Settings()
    assert Settings() == Settings(
        model=None, device="cpu", max_prompt_tokens=2048, kv_budget_bytes=160 * 2**20
    )


def test_each_variable_sets_its_own_field() -> None:
    environ = {
        "FIRST_DIFFERENCE_MODEL": "someone/model",
        "FIRST_DIFFERENCE_DEVICE": "cuda",
        "FIRST_DIFFERENCE_MAX_PROMPT_TOKENS": "17",
        "FIRST_DIFFERENCE_MAX_TRIALS": "5",
        "FIRST_DIFFERENCE_KV_BUDGET_MIB": "3",
        "FIRST_DIFFERENCE_KV_BUDGET_EACH_MIB": "2",
        "FIRST_DIFFERENCE_MAX_WAITING": "30",
    }
    assert Settings.from_environment(environ) == Settings(
        model="someone/model",
        device="cuda",
        max_prompt_tokens=17,
        max_trials=5,
        kv_budget_bytes=3 * 2**20,
        kv_budget_each_bytes=2 * 2**20,
        max_waiting=30,
    )


def test_an_empty_variable_leaves_the_default() -> None:
    names = [*NUMBERS, "FIRST_DIFFERENCE_MODEL", "FIRST_DIFFERENCE_DEVICE"]
    assert Settings.from_environment(dict.fromkeys(names, "")) == Settings()


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", " ", "²", "٣", "1e3"])
def test_a_limit_that_is_no_whole_number_from_1_is_named_with_its_value(
    name: str, value: str
) -> None:
    with pytest.raises(BadSetting) as raised:
        Settings.from_environment({name: value})
    assert name in str(raised.value) and repr(value) in str(raised.value)
    assert isinstance(raised.value, PrefixEngineError)


def test_the_environment_of_the_process_is_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_DIFFERENCE_MAX_PROMPT_TOKENS", "99")
    assert Settings.from_environment().max_prompt_tokens == 99


@pytest.mark.parametrize("wish", ["auto", "bf16", "f32"])
def test_the_precision_is_one_of_three(wish: str) -> None:
    assert Settings.from_environment({"FIRST_DIFFERENCE_PRECISION": wish}).precision == wish


@pytest.mark.parametrize(("value", "strict"), [("1", True), ("0", False), ("", False)])
def test_the_strict_mode_is_a_switch(value: str, strict: bool) -> None:
    assert Settings.from_environment({"FIRST_DIFFERENCE_STRICT": value}).strict is strict


@pytest.mark.parametrize(
    ("name", "value"),
    [("FIRST_DIFFERENCE_PRECISION", "fp16"), ("FIRST_DIFFERENCE_STRICT", "yes")],
)
def test_another_word_is_named_with_its_variable(name: str, value: str) -> None:
    with pytest.raises(BadSetting) as raised:
        Settings.from_environment({name: value})
    assert name in str(raised.value) and repr(value) in str(raised.value)


def test_bits_can_not_be_kept_and_given_up_at_once() -> None:
    both = {"FIRST_DIFFERENCE_STRICT": "1", "FIRST_DIFFERENCE_FAST": "1"}
    with pytest.raises(BadSetting, match="set one of the two"):
        Settings.from_environment(both)
    assert Settings.from_environment({**both, "FIRST_DIFFERENCE_STRICT": "0"}).fast
