"""Two prompts: type them, guess where reuse stops, run them, see what happened."""

from __future__ import annotations

import streamlit as st

from prefix_engine.diagnose import diagnose
from prefix_engine.errors import PrefixEngineError
from ui.editors import Inputs, ask_for_inputs
from ui.export import show_export
from ui.found import find_run, is_built_in, keep_run
from ui.making import compare_now, make_run
from ui.prediction import ask_for_guess, guess_for, is_revealed, reveal
from ui.result import show_result
from ui.server import ready_engine, server
from ui.status import show_status
from ui.text import complain, page_style, say


def main() -> None:
    page_style()
    st.title("First Difference: two prompts")
    st.markdown(
        "Requests that begin with the same tokens can share the keys and values of those tokens, "
        "their **KV cache**. The second request then skips the **prefill** (the computing) of what "
        "is shared, and its first token comes sooner. How far does the sharing go?"
    )
    show_status(server())
    inputs = ask_for_inputs()
    try:
        predict_then_reveal(inputs)
    except PrefixEngineError as error:
        complain(str(error))


def predict_then_reveal(inputs: Inputs) -> None:
    """The strips without the answer until the learner has guessed, asked for it, or run it."""
    engine = ready_engine()
    found = find_run(inputs, engine)
    if found is not None:
        comparison = found.run.comparison
    elif engine is not None:
        comparison = compare_now(engine, inputs)
    else:
        st.info("These prompts can be compared and run as soon as the model is loaded.")
        return
    if not comparison.b.tokens:
        say(diagnose(comparison).sentence, "headline")
        return
    covered = found is None or (found.recorded and not is_revealed(comparison))
    with st.container(horizontal=True, vertical_alignment="center"):
        if covered:
            then = "the recorded run answers" if found else "run"
            st.markdown(
                f"**Where will reuse stop?** Click the first token of B not reused, then {then}.",
                width="content",
            )
        run_asked = st.button("Run", type="primary", shortcut="Alt+Enter", disabled=engine is None)
        if covered and found:
            st.button("Show the recorded run", on_click=reveal, args=[comparison])
    if run_asked and engine is not None:
        keep_run(make_run(engine, server().slot, inputs))
        st.rerun()
    elif covered:
        ask_for_guess(comparison)
    elif found:
        show_result(
            found.run,
            guess_for(comparison),
            found.recorded,
            inputs.lesson if is_built_in(found.run.model) else None,
        )
        show_export(found.run, found.recorded)


main()
