"""Every test of a page begins without a server, and leaves none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import streamlit as st


@pytest.fixture(autouse=True)
def no_shared_server() -> Iterator[None]:
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()
