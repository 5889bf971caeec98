"""The token strip alone on a Streamlit page, for the browser tests."""

from __future__ import annotations

import streamlit as st

from prefix_engine.compare import compare
from tests.ui.prompts import raw
from ui.strip import strip_payload, token_strip

COMPARISON = compare(raw("Weather in SF today?"), raw("Weather in NYC today?"))

# something changes at every rerun, so that the strip is updated, not left alone
st.session_state.reruns = st.session_state.get("reruns", 0) + 1
changing = {"reruns": st.session_state.reruns}

payload = strip_payload(COMPARISON) | changing
guess = token_strip(payload, key="predict", mode="predict")
st.text(f"guessed: {guess}")
if st.toggle("Reveal"):
    payload = strip_payload(COMPARISON, run="today", guess=guess) | changing
    st.text(f"selected: {token_strip(payload, key='result', mode='result')}")
    st.button("Rerun")
st.text(f"reruns: {st.session_state.reruns}")
