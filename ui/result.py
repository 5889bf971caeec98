"""A finished run on the page: sentence, strips, times, KV, proof, replies."""

from __future__ import annotations

import streamlit as st

from prefix_engine.record import Reply, Run
from ui.charts import Chart, stage_chart, ttft_chart
from ui.ledger import ledger
from ui.strip import strip_payload, token_strip
from ui.text import say
from ui.wording import (
    ARM_MEANING,
    exactness,
    milliseconds,
    provenance,
    replies_compared,
)


def show_result(run: Run, guess: int | None, recorded: bool, lesson: str | None) -> None:
    """Everything a run found, in the order in which it is understood; `lesson` is what a preset
    says of its own prompts."""
    say(run.verdict.sentence, "headline")
    st.caption(provenance(run, recorded))
    for finding in run.verdict.findings:
        say(finding.sentence)
    if lesson is not None:
        say(lesson, key="lesson")
    payload = strip_payload(run.comparison, run=run.date, guess=guess)
    token_strip(payload, key="strip", mode="result")
    if run.exact is None:
        return
    left, right = st.columns([3, 2])
    with left:
        _show_times(run)
    with right:
        _show_kv(run)
    _show_replies(run)
    _show_details(run)


def _show_times(run: Run) -> None:
    st.header("Time to first token")
    chart = ttft_chart(run)
    st.plotly_chart(chart.figure, key="ttft", alt=chart.alt, config={"displayModeBar": False})
    st.markdown(f"**{run.speed.sentence}**")
    st.caption(
        "Dots are runs of B, bars their medians. "
        + "; ".join(f"{arm}: {meaning}" for arm, meaning in ARM_MEANING.items())
        + "."
    )
    disturbed = sum(summary.disturbed for summary in run.arms.values())
    if disturbed:
        st.caption(f"Disturbed by the machine, shown as ×, left out of the verdict: {disturbed}.")


def _show_kv(run: Run) -> None:
    st.header("KV cache")
    st.table(ledger(run), alt="Tokens and bytes of KV that B reuses and recomputes.")
    if run.a_refused:
        st.warning("The cache had no room for A, so nothing of it could be reused.")
    if run.exact is not None:
        st.write(exactness(run.exact))


def _show_replies(run: Run) -> None:
    if not run.replies:
        return
    st.header("Both replies")
    for column, reply in zip(st.columns(len(run.replies)), run.replies, strict=True):
        with column:
            _show_reply(reply)
    st.write(replies_compared(run))


def _show_reply(reply: Reply) -> None:
    st.caption(f"{reply.arm}: {ARM_MEANING[reply.arm]}")
    say(reply.text, "reply", key=f"reply-{reply.arm}")
    st.caption(
        f"time to first token {milliseconds(reply.ttft_s)}, "
        f"then {milliseconds(reply.later_median_s)} a token (median of {len(reply.later_s)})"
    )


def _show_details(run: Run) -> None:
    stages, trials = stage_chart(run), ttft_chart(run)
    with st.expander("Stages: where the time goes"):
        st.plotly_chart(
            stages.figure, key="stages", alt=stages.alt, config={"displayModeBar": False}
        )
        _show_table(stages)
    with st.expander("Table: every trial"):
        _show_table(trials)
    with st.expander("What this does not show"):
        st.markdown(LIMITS)


def _show_table(chart: Chart) -> None:
    st.table(chart.table, alt=chart.alt)


LIMITS = """
- One small model on one processor. A larger model saves more time by the same hit, since prefill
  costs more; the rule for what is shared is the same.
- One request at a time. A server that batches many requests shares its time as well as its cache.
- Network, queue and tokenizing on the client are not in the time to first token here.
- "Cold" is an empty cache on a warm machine; a machine that just started is slower at everything.
- Storing new KV comes after the first token and is not in these times.
"""
