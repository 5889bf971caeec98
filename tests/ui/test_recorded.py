"""A recording is stale when the code or the weights no longer say what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prefix_engine.compare import compare
from prefix_engine.export import from_json, to_json
from prefix_engine.model.places import SMOLLM2
from prefix_engine.tokenizer import VocabularyTokenizer
from ui.presets import load_presets, preset_prompts
from ui.recorded import TWO_PROMPTS, recorded_run

RECORDINGS = sorted(TWO_PROMPTS.glob("*.json"))


def test_the_chapters_pair_is_recorded() -> None:
    a, b = preset_prompts(load_presets()[0])
    recorded = recorded_run(a, b)
    assert recorded is not None
    assert "Weather in SF" in recorded.comparison.a.text
    assert recorded_run(b, a) is None


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_recording_still_says_what_the_code_says(
    path: Path, tokenizer: VocabularyTokenizer
) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    run = from_json(data)
    assert run.comparison == compare(
        tokenizer.tokenize(run.a), tokenizer.tokenize(run.b), data["block_size"]
    )
    assert json.loads(json.dumps(to_json(run))) == data
    assert run.model.weights_sha256 == SMOLLM2.sha256
