"""The KV ledger: what of B's keys and values was reused and what recomputed."""

from __future__ import annotations

import pandas as pd

from prefix_engine.record import Run
from ui.wording import byte_count


def ledger(run: Run) -> pd.DataFrame:
    """Tokens and bytes, reused, recomputed and in total."""
    return pd.DataFrame(
        {
            "reused": [f"{run.reused:,}", byte_count(run.kv_bytes_reused)],
            "recomputed": [f"{run.computed:,}", byte_count(run.kv_bytes_computed)],
            "total": [f"{run.total:,}", byte_count(run.kv_bytes)],
        },
        index=pd.Index(["tokens", "KV bytes"], name="B"),
    )
