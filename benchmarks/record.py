"""Record the runs that the pages open with: `python -m benchmarks.record`, or `make record`.

Every recording comes from the real engine, with date, machine, versions and weights, and is written
to assets/recorded. Record on a machine that does nothing else.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from pathlib import Path

from benchmarks import records
from prefix_engine.export import to_json
from prefix_engine.loading import load_engine
from prefix_engine.run import run
from prefix_engine.settings import Settings
from ui.presets import load_presets, preset_prompts
from ui.recorded import FOLDER, TWO_PROMPTS

RECORDED_PRESETS = ("weather",)
ROUNDS = 10
REPLY_TOKENS = 24


def main() -> int:
    """Write one file for each recorded preset and for each page of the chapter."""
    engine = load_engine(Settings(), on_progress=lambda what, part: _tell(f"{what} {part:.0%}"))
    for preset in load_presets():
        if preset.id in RECORDED_PRESETS:
            a, b = preset_prompts(preset)
            made = run(engine, a, b, ROUNDS, REPLY_TOKENS)
            _write(TWO_PROMPTS / f"{preset.id}.json", json.dumps(to_json(made), indent=1))
    for module in pkgutil.iter_modules(records.__path__, f"{records.__name__}."):
        name = module.name.rpartition(".")[2]
        _write(FOLDER / f"{name}.json", importlib.import_module(module.name).make(engine))
    return 0


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
    _tell(str(path))


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
