"""A wrong splice on a page: what the model says from its own KV, and from a wrong cache."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd
import streamlit as st

from prefix_engine.lessons.splice import REPLY_TOKENS, Splice, SpliceSearch
from prefix_engine.measured import Measured, from_json
from ui.text import say
from ui.wording import made_on, tokens

FILE = Path(__file__).parents[2] / "assets" / "splices.json"


@cache
def found_splices() -> Measured[SpliceSearch]:
    """What the search for two telling pairs found, recorded."""
    return from_json(FILE.read_bytes(), SpliceSearch)


def show_splice(splice: Splice | None) -> None:
    """Both texts and how far apart the distributions are; or why there is nothing to show."""
    st.header("And if a cache reused it all the same?")
    if splice is None:
        st.markdown(
            "A wrong cache can be tried only where text after the last difference stands at the "
            "same positions in A and B. Here there is none: try the pair SF / NYC."
        )
        return
    st.markdown(
        f"A cache that is wrong on purpose, in memory of its own and never stored: B keeps its own "
        f"KV for {tokens(splice.kept)}, up to its last token that differs. The next "
        f"{splice.taken:,} get A's KV. Only the last token is computed."
    )
    say(splice.sentence, "headline", key="splice")
    for column, name, text in zip(
        st.columns(2),
        ("B from its own KV", "B from the wrong cache"),
        (splice.true_text, splice.spliced_text),
        strict=True,
    ):
        with column:
            st.caption(f"{name}: at most {REPLY_TOKENS} tokens, the likeliest each time")
            say(text or "(the model ends the reply at once)", "reply", key=f"splice-{name}")
    st.table(_figures(splice), alt="How far the wrong cache's next token is from the true one's.")


def show_search() -> None:
    """What the wrong cache did to all pairs that were tried."""
    made = found_splices()
    search = made.result
    say(search.sentence, key="search")
    st.caption(made_on(made.date, made.model, made.machine, recorded=True))
    with st.expander(f"All {len(search.splices)} pairs"):
        for number, one in enumerate(search.splices, 1):
            st.markdown(
                f"**{number}.** KL {one.kl_nats:.4f} nats, true first token at rank {one.rank}, "
                f"{'≡ same text' if one.same_text else '≠ another text'}"
            )
            say(f"A: {one.a}\nB: {one.b}", key=f"pair-{number}")
            say(f"true: {one.true_text}\nwrong cache: {one.spliced_text}", key=f"said-{number}")


def _figures(splice: Splice) -> pd.DataFrame:
    rows = {
        "KL(true‖wrong), nats (0: the same chances)": f"{splice.kl_nats:.4f}",
        "the same, from rounding alone": f"{splice.recompute_kl_nats:.1g}",
        "rank of the true first token": f"{splice.rank:,}",
        "its chance, from B's own KV": f"{splice.true_chance:.1%}",
        "its chance, from the wrong cache": f"{splice.spliced_chance:.1%}",
    }
    return pd.DataFrame({"measured": rows}).rename_axis("next token")
