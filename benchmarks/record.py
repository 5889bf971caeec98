"""Record the runs that the pages open with: `python -m benchmarks.record`, or `make record`.

With names of pages, only those: `python -m benchmarks.record two_prompts the_bill`.

Every recording comes from the real engine, with date, machine, versions and weights, and is written
to assets/recorded. Record on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import records
from prefix_engine.engine import Engine
from prefix_engine.export import to_json
from prefix_engine.loading import load_engine
from prefix_engine.run import run
from prefix_engine.settings import Settings
from ui.presets import load_presets, preset_prompts
from ui.recorded import FOLDER, TWO_PROMPTS

MAIN = "two_prompts"
RECORDED_PRESETS = ("weather",)
ROUNDS = 10
REPLY_TOKENS = 24


def main(arguments: Sequence[str] | None = None) -> int:
    """Write one file for each recorded preset and for each page of the chapter."""
    pages = [module.name for module in pkgutil.iter_modules(records.__path__)]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record", description=__doc__)
    parser.add_argument("pages", nargs="*", metavar="PAGE", choices=[[], MAIN, *pages])
    wanted = parser.parse_args(arguments).pages or [MAIN, *pages]
    engine = load_engine(Settings(), on_progress=lambda what, part: _tell(f"{what} {part:.0%}"))
    if MAIN in wanted:
        record_presets(engine)
    for name in pages:
        if name in wanted:
            maker = importlib.import_module(f"{records.__name__}.{name}")
            _write(FOLDER / f"{name}.json", maker.make(engine))
    return 0


def record_presets(engine: Engine) -> None:
    """The runs of the main page's presets that are recorded."""
    for preset in load_presets():
        if preset.id in RECORDED_PRESETS:
            made = run(engine, *preset_prompts(preset), ROUNDS, REPLY_TOKENS)
            _write(TWO_PROMPTS / f"{preset.id}.json", json.dumps(to_json(made), indent=1))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
    _tell(str(path))


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
