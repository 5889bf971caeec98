"""Recorded runs: what the pages open with before anything was run."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from prefix_engine.export import from_json
from prefix_engine.record import Run
from prefix_engine.tokenizer import Prompt

FOLDER = Path(__file__).parent.parent / "assets" / "recorded"
TWO_PROMPTS = FOLDER / "two_prompts"


def recorded_run(a: Prompt, b: Prompt) -> Run | None:
    """The recorded run of exactly these two prompts, if there is one."""
    return next((run for run in _recordings() if (run.a, run.b) == (a, b)), None)


@cache
def _recordings() -> tuple[Run, ...]:
    paths = sorted(TWO_PROMPTS.glob("*.json"))
    return tuple(from_json(json.loads(path.read_text(encoding="utf-8"))) for path in paths)
