"""Where files lie that a benchmark needs besides what the engine loads."""

from __future__ import annotations

import os
from pathlib import Path

from prefix_engine.model.places import GGUF_VARIABLE, SMOLLM2
from prefix_engine.model.weights import cache_folders


def find_gguf() -> Path:
    """The GGUF file that the weights came from, where it is kept or was named; else where it would
    be kept."""
    named = os.environ.get(GGUF_VARIABLE)
    kept = [folder / SMOLLM2.file_name for folder in cache_folders()]
    places = [*([Path(named).expanduser()] if named else []), *kept]
    return next((path for path in places if path.is_file()), kept[0])
