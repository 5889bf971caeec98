"""A finished run on the page: sentence, strips, times, KV, proof, replies."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from prefix_engine.record import Reply, Run
from prefix_engine.speed import was_busy
from prefix_engine.stopwatch import DISTURBED_BELOW
from ui.charts import Chart, stage_chart, ttft_chart
from ui.ledger import ledger
from ui.strip import strip_payload, token_strip
from ui.text import page_theme, say
from ui.wording import (
    ARM_MEANING,
    LIMITS,
    PROMISES,
    provenance,
    replies_compared,
    reply_times,
    setup,
    speed,
    spreads,
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
    token_strip(payload, key="strip", mode="result", reports_clicks=False)
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
    chart = ttft_chart(run, page_theme())
    st.plotly_chart(chart.figure, key="ttft", alt=chart.alt, config={"displayModeBar": False})
    st.markdown(f"**{speed(run)}**")
    meanings = "; ".join(f"{arm}: {meaning}" for arm, meaning in ARM_MEANING.items())
    st.caption(
        f"Dots are runs of B, {run.rounds} in each arm, bars their medians. {meanings}. "
        f"From the fastest to the slowest: {spreads(run)}."
    )
    if was_busy((trial.timing.cpu_over_wall for trial in run.trials), run.machine.threads):
        st.warning("The machine was busy with other work throughout: these times say little.")
    disturbed = sum(summary.disturbed for summary in run.arms.values())
    if disturbed:
        st.caption(
            f"Disturbed by the machine, shown as ×, left out of the verdict: {disturbed}. These "
            f"got less than {DISTURBED_BELOW:g} of the processor time that such a run gets from "
            "the machine while nothing else runs."
        )


def _show_kv(run: Run) -> None:
    st.header("KV cache")
    st.table(ledger(run), alt="Tokens and bytes of KV that B reuses and recomputes.")
    if run.a_refused:
        st.warning("The cache had no room for A, so nothing of it could be reused.")
    if run.exact is not None:
        st.write(run.exact.sentence)
        st.caption(PROMISES[run.model.exact])


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
    st.caption(reply_times(reply))


def _show_details(run: Run) -> None:
    stages, trials = stage_chart(run, page_theme()), ttft_chart(run)
    with st.expander("Stages: where the time goes", expanded=True):
        st.plotly_chart(
            stages.figure, key="stages", alt=stages.alt, config={"displayModeBar": False}
        )
        _show_table(stages)
    with st.expander("Table: every trial"):
        _show_table(trials)
    with st.expander("What this does not show"):
        st.markdown("\n".join(f"- {limit}" for limit in LIMITS))
    with st.expander("Machine, model and versions"):
        st.table(pd.DataFrame({"this run": setup(run)}).rename_axis("what"))


def _show_table(chart: Chart) -> None:
    st.table(chart.table, alt=chart.alt)
