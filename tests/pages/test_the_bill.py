"""The page "The bill" without a browser: prediction, bills, counting, and what it says of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from benchmarks.records.the_bill import count
from prefix_engine.lessons import prices
from prefix_engine.lessons.token_count import PRODUCTION, Counted
from prefix_engine.lessons.workloads import WorkloadRuns
from prefix_engine.loading import load_engine
from prefix_engine.measured import from_json
from prefix_engine.settings import Settings
from tests.pages.app import LOADING, open_page, words
from ui.recorded import FOLDER

PAGE = Path(__file__).parents[2] / "pages" / "the_bill.py"
SKIP = "Show without guessing"


@pytest.fixture(scope="module")
def engine() -> Any:
    return load_engine(Settings())


def opened(monkeypatch: pytest.MonkeyPatch, status: Any = LOADING) -> AppTest:
    return open_page(monkeypatch, PAGE, status)


def revealed(app: AppTest) -> AppTest:
    next(one for one in app.button if one.label == SKIP).click().run()
    assert not app.exception
    return app


def entered(app: AppTest, **numbers: int) -> AppTest:
    for name, value in numbers.items():
        app.number_input(key=f"bill-{name}").set_value(value)
    return app.run()


def chosen(app: AppTest, label: str) -> AppTest:
    return app.selectbox(key="bill-rule").set_value(label).run()


def counted_texts(app: AppTest, counter: str | None = None) -> AppTest:
    app.segmented_control(key="bill-source").set_value("A text, counted").run()
    if counter:
        app.segmented_control(key="bill-counter").set_value(counter).run()
    assert not app.exception
    return app


def count_now(app: AppTest) -> AppTest:
    next(one for one in app.button if one.label == "Count the tokens").click().run()
    assert not app.exception
    return app


def test_what_is_quoted_is_only_what_prices_can_test(monkeypatch: pytest.MonkeyPatch) -> None:
    said = words(opened(monkeypatch))
    assert "“… pay-per-token APIs bill cache-hit tokens cheaper …”" in said
    assert "millions of requests" not in said


def test_nothing_is_revealed_before_the_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch)
    assert "caching pays" not in words(app)
    assert "read 0.1 × input; write 1.25 × input" in words(app)
    assert not app.table
    app.radio[0].set_value("from the 3rd request on").run()
    assert "Your prediction: from the 3rd request on: ✗ it is: from the 2nd request on." in words(
        app
    )
    assert "caching pays from the 2nd request on" in words(app)


def test_other_requests_or_another_rule_are_another_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = revealed(opened(monkeypatch))
    assert "caching costs more" not in words(entered(app, gap=400))
    app.radio[0].set_value("from the 2nd request on").run()
    assert "✗ it is: never with these requests." in words(app)
    assert "caching costs more" in words(app)
    app = chosen(app, "Anthropic: Claude Opus 4.6, 1-hour cache")
    assert "Your prediction" not in words(app) and not app.table
    assert "Your prediction" in words(chosen(app, "Anthropic: Claude Opus 4.6, 5-minute cache"))


def test_the_outcome_says_that_the_rules_were_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    said = words(revealed(opened(monkeypatch)))
    assert "The list of chosen rules bears the sentence out." in said
    assert "chosen because they price caching" in said
    assert "read in a stored copy of the vendor's own page, which may have changed since" in said


def test_it_bills_without_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    app = revealed(opened(monkeypatch))
    # 5,000 x 6.25 + 19 x 5,000 x 0.5 + 20 x 100 x 5 of a million, against 20 x 5,100 x 5
    assert "costs 0.08875 USD instead of 0.51 USD: 82.6% less." in words(app)
    assert "The answers cost 0.1 USD more, cached or not." in words(app)
    assert "Calculated, not measured · prices read on 2026-11-24" in words(app)


def test_what_would_change_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    app = revealed(entered(opened(monkeypatch), gap=400))
    assert "caching costs more: 0.635 USD instead of 0.51 USD" in words(app)
    assert "it had expired 19 times" in words(app)
    assert "With 5 minutes between requests, caching pays." in words(app)


def test_below_the_minimum_nothing_is_cached_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = revealed(entered(opened(monkeypatch), prefix=1_000))
    assert "No prefix here reaches the minimum of 4,096 tokens" in words(app)
    assert "With a shared prefix of 4,096 tokens, caching pays." in words(app)


def test_an_unverified_fact_is_named_beside_the_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    app = revealed(chosen(opened(monkeypatch), "OpenAI: GPT-4.1"))
    assert "Unverified here: granularity." in words(app)
    assert "weakest fact: ? unverified" in words(app)
    app = revealed(chosen(app, "DeepSeek: flash (V4.1), off-peak"))
    assert "Unverified here" not in words(app)


def test_each_api_counts_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    app = revealed(opened(monkeypatch))
    assert "its prompt count, 2,000, leaves it out" in words(app)
    app = revealed(chosen(app, "OpenAI: GPT-5.6 and later"))
    assert "its prompt count, 102,000, includes it" in words(app)


def test_rules_without_prices_are_told_and_not_billed(monkeypatch: pytest.MonkeyPatch) -> None:
    app = revealed(opened(monkeypatch))
    assert "Amazon: Bedrock, models with cache points: Each model has prices" in words(app)
    assert not any("Bedrock" in one for one in app.table[-1].value.index)


def test_numbers_stay_while_another_source_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    app = entered(opened(monkeypatch), prefix=7_777)
    app.segmented_control(key="bill-source").set_value("A text, counted").run()
    app.segmented_control(key="bill-source").set_value("Numbers").run()
    assert app.number_input(key="bill-prefix").value == 7_777


def test_texts_open_as_recorded_and_are_counted_anew_by_the_model(
    monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    app = counted_texts(opened(monkeypatch, engine))
    assert "Recorded on" in words(app)
    app.text_area[0].set_value("one two three")
    app.text_area[1].set_value(" four five").run()
    assert "These texts are not counted yet by the model's tokenizer." in words(app)
    count_now(app)
    assert "3 tokens are shared and 2 are novel, counted by the tokenizer of SmolLM2" in words(app)
    assert "Measured here on" in words(app)


def test_a_production_encoding_that_is_not_here_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, engine: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    app = count_now(counted_texts(opened(monkeypatch, engine), PRODUCTION))
    assert "The encoding o200k_base is not on this machine" in words(app)
    assert "counted by the tokenizer of SmolLM2" in words(app)
    assert revealed(app).table


def test_a_count_by_another_tokenizer_is_never_passed_off_as_the_chosen_ones(
    monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    def encoding() -> SimpleNamespace:
        return SimpleNamespace(encode_ordinary=lambda text: text.split())

    monkeypatch.setattr("ui.lessons.bill_inputs.production_encoding", encoding)
    app = counted_texts(opened(monkeypatch, engine), PRODUCTION)
    said = words(app)
    assert "These texts are not counted yet by o200k_base." in said
    assert "What follows goes on with the count by the tokenizer of SmolLM2" in said
    assert "counted by o200k_base" in words(count_now(app))
    app.segmented_control(key="bill-counter").set_value("the model's tokenizer").run()
    assert "not counted yet" not in words(app)
    assert "counted by the tokenizer of SmolLM2" in words(app)


def test_a_broken_price_file_is_told_with_its_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('[[rule]]\nid = "mine"\nprice = 3\n', encoding="utf-8")
    monkeypatch.setattr(prices.load_prices, "__defaults__", (path,))
    assert "prices.toml, rule 1 (mine): " in words(opened(monkeypatch))


def test_where_no_rule_has_its_prices_that_is_told_and_no_bill_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(
        '[[rule]]\nid = "mine"\nvendor = "Mine"\nname = "No price"\nread_on = 2026-11-24\n'
        'source = "https://example.org/prices"\nnote = "It says nothing of prices."\n',
        encoding="utf-8",
    )
    monkeypatch.setattr(prices.load_prices, "__defaults__", (path,))
    app = opened(monkeypatch)
    assert "No rule in assets/prices.toml has all the prices" in words(app)
    assert not app.selectbox


def test_the_recording_is_of_these_texts_and_this_tokenizer(engine: Any) -> None:
    recorded = from_json((FOLDER / "the_bill.json").read_bytes(), Counted)
    assert recorded.result == count(engine)


def test_measured_requests_are_billed_with_what_they_really_shared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = opened(monkeypatch)
    app.segmented_control(key="bill-source").set_value("Measured requests").run()
    app = revealed(chosen(app, "Groq: models with prompt caching"))
    runs = from_json((FOLDER / "where_it_pays.json").read_bytes(), WorkloadRuns).result.runs
    requests = runs[0].stream.requests
    assert "Recorded on" in words(app)
    assert f"{len(requests)} requests as measured" in words(app)
    assert f"{sum(one.shared for one in requests):,} tokens read from the cache" in words(app)
    assert "With 7,201 seconds between requests, caching changes nothing." in words(app)


def test_measured_requests_say_which_minimum_they_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch)
    app.segmented_control(key="bill-source").set_value("Measured requests").run()
    said = words(revealed(app))
    assert "The longest beginning that is shared here has" in said
    assert "short of the minimum of 4,096 tokens." in said
    assert "No other gap between these requests turns the verdict." in said
