"""A trace of many requests on the page: the example or an upload, in caches of all sizes."""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import TYPE_CHECKING

import streamlit as st

from prefix_engine.errors import PrefixEngineError
from prefix_engine.lessons.sample_trace import sample_trace
from prefix_engine.lessons.trace import BLOCK_TOKENS, BadTrace, Limits, read_trace
from prefix_engine.lessons.trace_curve import TraceCurve, ceiling_sentence, draw_curve
from ui.chapter import show_chart, show_limits
from ui.lessons.trace_chart import hit_chart
from ui.progress import Progress
from ui.server import server
from ui.text import complain, page_theme, say
from ui.wording import requests

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

MAX_MB = 5
"""No more than `server.maxUploadSize` in .streamlit/config.toml, which the server enforces."""
LIMITS = (
    "Nothing is measured: hits are calculated from the ids that the requests have in common. How "
    "much sooner a first token would come is not in it.",
    f"An id stands for a block of {BLOCK_TOKENS} tokens, and only whole blocks count. A cache with "
    "smaller blocks would find more.",
    "A trace has no replies. A server that keeps their KV too finds more in the next turn, and "
    "needs more room.",
    "The room is counted in blocks, nothing else: how many bytes a block takes depends on the "
    "model, and room for requests still running, for weights and for copies on other machines is "
    "left out.",
    "Requests come one after the other, each stored at once. In a real server many run at the same "
    "time, and a prefix can't be reused before it is computed.",
)
EXAMPLE, UPLOAD = "the example (simulated)", "a file of mine"
KEPT = "trace-curve"


def show_trace() -> None:
    """Choose a trace and see what caches of all sizes would find; no model takes part in it."""
    st.divider()
    st.header("How large must the cache be?")
    st.markdown(
        "A **trace** is a list of requests that a server had: not their texts, only which blocks "
        "of 512 tokens they begin with. That is enough to calculate what a cache of any size "
        "would have found. The least recently used is **evicted** when it is full. The format is "
        "that of the traces published with Mooncake (FAST '25): a JSON object a line, with "
        "`timestamp`, `input_length`, `output_length` and `hash_ids`."
    )
    source = st.radio("Trace", (EXAMPLE, UPLOAD), horizontal=True, key="trace-source")
    try:
        curve = example_curve() if source == EXAMPLE else uploaded_curve()
    except PrefixEngineError as error:
        complain(str(error))
        return
    if curve is not None:
        show_curve(curve, simulated=source == EXAMPLE)


@st.cache_data(show_spinner=False)
def example_curve() -> TraceCurve:
    return draw_curve("example", read_trace(sample_trace()))


def uploaded_curve() -> TraceCurve | None:
    """The curve of an uploaded file, once it was replayed. Raises `BadTrace`."""
    file = st.file_uploader(
        f"Trace, JSON lines, at most {MAX_MB} MB",
        type=["jsonl"],
        max_upload_size=MAX_MB,
        key="trace-file",
    )
    if file is None:
        st.info("Choose a file. It is read here, kept in memory and not stored.")
        return None
    content = checked_content(file)
    digest = hashlib.sha256(content).hexdigest()
    kept: tuple[str, TraceCurve] | None = st.session_state.get(KEPT)
    if kept is not None and kept[0] == digest:
        return kept[1]
    trace = read_trace(content.splitlines(), Limits())
    st.write(f"{requests(len(trace.requests))} with {trace.input_tokens:,} input tokens.")
    if not st.button("Replay it", key="replay"):
        return None
    with closing(Progress(server().slot)) as progress:
        curve = draw_curve(file.name, trace, progress.watch())
    st.session_state[KEPT] = digest, curve
    st.rerun()


def checked_content(file: UploadedFile) -> bytes:
    if file.size > MAX_MB * 10**6:
        raise BadTrace(
            f"{file.name} has {file.size / 1e6:.1f} MB; at most {MAX_MB} MB are read. Take its "
            "first lines only: nothing was read."
        )
    return file.getvalue()


def show_curve(curve: TraceCurve, simulated: bool) -> None:
    say(ceiling_sentence(curve), "headline")
    about = "a simulated trace made for this project" if simulated else "the file"
    if not simulated:
        say(curve.name, key="trace-name")
    st.caption(
        f"Calculated, not measured, from {about}: {curve.requests:,} requests, "
        f"{curve.distinct_blocks:,} different blocks. In the order of the file; replies are not "
        "in a trace, so what they would add is left out."
    )
    show_chart(hit_chart(curve, page_theme()), "trace")
    if simulated:
        st.download_button(
            "The example as a file",
            "\n".join(sample_trace()) + "\n",
            "example_trace.jsonl",
            "application/jsonl",
            key="trace-example",
        )
    show_limits(LIMITS)
