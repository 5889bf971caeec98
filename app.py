"""Page config and navigation, nothing else. Start with `streamlit run app.py`."""

import streamlit as st

st.set_page_config(page_title="First Difference", page_icon="✂️", layout="wide")

# not in sections: on a phone Streamlit's list of them is one that screen readers can't make out
st.navigation(
    [
        st.Page("pages/two_prompts.py", title="Two prompts", default=True),
        st.Page("pages/why_it_stops.py", title="Why it stops"),
        st.Page("pages/put_novel_tokens_late.py", title="Put novel tokens late"),
        st.Page("pages/where_it_pays.py", title="Where it pays"),
        st.Page("pages/one_user_many_users.py", title="One user, many users"),
        st.Page("pages/inside_the_cache.py", title="Inside the cache"),
        st.Page("pages/the_bill.py", title="The bill"),
        st.Page("pages/room.py", title="Room"),
        st.Page("pages/side_channel.py", title="The side channel"),
    ],
    position="top",
).run()
