from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.memory import STORAGE_LIMIT, use_storage
from prefix_engine.cache.holdings import Holdings
from tests.tiny_engine import tiny_cache, tiny_model


@pytest.mark.parametrize("block_size", [1, 16])
@pytest.mark.parametrize("seed", range(3))
def test_kv_is_held_for_the_distinct_tokens_and_hardly_more(block_size: int, seed: int) -> None:
    slab = tiny_model().new_slab(200)
    used = use_storage(tiny_cache(block_size, budget_tokens=900), slab, requests=60, seed=seed)
    assert used.evicted_tokens > 400, "too little was evicted to tell"
    assert 1 <= used.worst_ratio <= STORAGE_LIMIT


def test_storage_that_is_kept_too_long_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Holdings, "tighten", lambda self: None)
    used = use_storage(tiny_cache(budget_tokens=900), tiny_model().new_slab(200), requests=60)
    assert used.worst_ratio > STORAGE_LIMIT


def test_the_built_in_engine_is_loaded_without_transformers() -> None:
    code = (
        "import sys; from prefix_engine.loading import load_engine;"
        "from prefix_engine.settings import Settings;"
        "load_engine(Settings()).prefill('Hello');"
        "sys.exit('transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
