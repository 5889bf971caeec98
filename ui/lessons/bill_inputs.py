"""The requests that the learner's bill is for: numbers, texts whose tokens are counted, or requests
that were measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from prefix_engine.errors import PrefixEngineError
from prefix_engine.lessons.billing import Shape, Traffic, traffic_of
from prefix_engine.lessons.token_count import PRODUCTION, Counted, count_tokens, production_encoding
from prefix_engine.lessons.workloads import load_workloads
from ui.chapter import (
    Found,
    find_kept,
    keep,
    kept_or_recorded,
    measure,
    run_button,
    show_provenance,
)
from ui.lessons.bill_words import seconds
from ui.lessons.workload_runs import find_run
from ui.text import complain, say
from ui.wording import requests, tokens

if TYPE_CHECKING:
    from prefix_engine.engine import Engine

NUMBERS, TEXTS, MEASURED = "Numbers", "A text, counted", "Measured requests"
MODEL = "the model's tokenizer"
NAME = "the_bill"

MOST_TOKENS = 1_000_000
MOST_REQUESTS = 1_000
MOST_OUTPUT = 100_000
LONGEST_GAP_S = 86_400


@dataclass(frozen=True)
class Asked:
    """Requests, the shape it was made of (None: it was measured), and whose token counts it has
    (None: typed)."""

    traffic: Traffic
    shape: Shape | None
    counted: Found[Counted] | None = None


def ask_for_traffic(engine: Engine | None) -> Asked | None:
    """Show the inputs; None while what was chosen can't be billed yet, which is then said."""
    source = st.segmented_control(
        "Whose requests?",
        [NUMBERS, TEXTS, MEASURED],
        default=NUMBERS,
        required=True,
        key="bill-source",
    )
    if source == MEASURED:
        return _measured()
    if source == TEXTS:
        return _texts(engine)
    with st.container(horizontal=True):
        prefix = _number("Shared prefix, tokens", "prefix", 5_000, MOST_TOKENS)
        novel = _number("Novel tokens in each", "novel", 100, MOST_TOKENS)
        shape = _shape(prefix, novel)
    return Asked(shape.traffic, shape)


def _shape(prefix: int, novel: int) -> Shape:
    output = _number("Answer, tokens", "output", 200, MOST_OUTPUT)
    count = _number("Requests", "requests", 20, MOST_REQUESTS, least=1)
    return Shape(prefix, novel, output, count, _gap())


def _gap() -> int:
    return _number("Seconds between requests", "gap", 60, LONGEST_GAP_S)


def _number(label: str, key: str, first: int, most: int, least: int = 0) -> int:
    # an input that is not on the page loses its value: what the learner entered is kept beside it
    entered: dict[str, int] = st.session_state.setdefault("bill-entered", {})
    st.session_state.setdefault(f"bill-{key}", entered.get(key, first))
    entered[key] = st.number_input(
        label, min_value=least, max_value=most, step=1, key=f"bill-{key}", width=190
    )
    return entered[key]


def _texts(engine: Engine | None) -> Asked | None:
    last = kept_or_recorded(NAME, Counted).result
    left, right = st.columns([3, 2])
    shared = left.text_area(
        "The same in front of every request", last.shared_text, height=180, key="bill-text"
    )
    novel = right.text_area("New in each request", last.novel_text, height=180, key="bill-novel")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        counter = st.segmented_control(
            "Counted by",
            [MODEL, PRODUCTION],
            default=MODEL,
            required=True,
            key="bill-counter",
            help=f"{PRODUCTION} is what OpenAI's models since GPT-4o count with. Other vendors "
            "have tokenizers of their own; the same text may be a fifth more tokens or fewer.",
        )
        pressed = run_button(engine, "Count the tokens")
    if pressed and engine is not None:
        _keep_count(engine, counter, shared, novel)
    found = _find_count(engine, counter, shared, novel)
    if found is None:
        return None
    show_provenance(found)
    say(
        f"{tokens(found.result.shared)} are shared and {found.result.novel:,} are novel, counted "
        f"by {found.result.tokenizer}.",
        key="counted",
    )
    with st.container(horizontal=True):
        shape = _shape(found.result.shared, found.result.novel)
    return Asked(shape.traffic, shape, found)


def _keep_count(engine: Engine, counter: str, shared: str, novel: str) -> None:
    """Count and show the page anew; where that can't be done, say why and go on as before."""
    try:
        counted = measure(lambda watch: _count(engine, counter, shared, novel), engine)
    except PrefixEngineError as error:
        complain(str(error))
        return
    keep(NAME, counted)
    st.rerun()


def _find_count(
    engine: Engine | None, counter: str, shared: str, novel: str
) -> Found[Counted] | None:
    """The count of these texts by the chosen counter, else by another; what is missing is told."""

    def is_of_these(one: Counted) -> bool:
        return (one.shared_text, one.novel_text) == (shared, novel)

    def fits(one: Counted) -> bool:
        return is_of_these(one) and _is_by(one, counter, engine)

    found = find_kept(NAME, Counted, fits)
    if found is not None:
        return found
    other = find_kept(NAME, Counted, is_of_these)
    told = f"These texts are not counted yet by {counter}."
    if other is not None:
        told += f" What follows goes on with the count by {other.result.tokenizer}."
    st.info(told)
    return other


def _is_by(one: Counted, counter: str, engine: Engine | None) -> bool:
    """Any model's count is the model's as long as it is not known which one that is."""
    if counter == PRODUCTION or engine is None:
        return (one.tokenizer == PRODUCTION) == (counter == PRODUCTION)
    return one.tokenizer == _name(engine)


def _count(engine: Engine, counter: str, shared: str, novel: str) -> Counted:
    if counter == PRODUCTION:
        return count_tokens(production_encoding().encode_ordinary, PRODUCTION, shared, novel)
    return count_tokens(engine.tokenizer.encode, _name(engine), shared, novel)


def _name(engine: Engine) -> str:
    return f"the tokenizer of {engine.model.info.label}"


def _measured() -> Asked | None:
    runs = {one.title: find_run(name, one) for name, one in load_workloads().items()}
    measured = {title: run for title, run in runs.items() if run is not None}
    if not measured:
        st.info("No measured requests are here yet: run them on the page “Where it pays”.")
        return None
    with st.container(horizontal=True):
        run = measured[st.selectbox("Requests", list(measured), key="bill-stream", width=420)]
        gap_s = _gap()
    show_provenance(run)
    traffic = traffic_of(run.result.stream, gap_s)
    say(
        f"{requests(len(traffic.calls))} as measured on the page “Where it pays”, "
        f"{seconds(gap_s)} apart: tokens counted and shared beginnings found by the engine of this "
        "project. Each whole prompt is marked for the cache, as automatic caching does; no answers "
        "are counted.",
        key="measured",
    )
    return Asked(traffic, None)
