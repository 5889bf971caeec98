"""Page config and navigation, nothing else. Start with `streamlit run app.py`."""

import streamlit as st

st.set_page_config(page_title="First Difference", page_icon="✂️", layout="wide")

st.navigation(
    [st.Page("pages/two_prompts.py", title="Two prompts", default=True)],
    position="top",
).run()
