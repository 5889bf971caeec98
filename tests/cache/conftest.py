from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture
def rapid_switching() -> Iterator[None]:
    """Threads take turns as often as the interpreter can, so that a missing lock is noticed."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)
