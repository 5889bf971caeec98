"""Hostile texts through everything: `python -m benchmarks.hostile`.

By default 10,000 texts through the tokenizer and the comparison, 500 through the engine, and 100
through the page in Chromium: typed, as links and as uploads. Prints what broke a rule; exits 1 if
anything did.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence

from benchmarks.common.hostile_checks import TextChecks, check_engine
from benchmarks.common.hostile_texts import hostile_texts
from benchmarks.common.serving import serve
from prefix_engine.engine import Engine
from prefix_engine.loading import load_engine
from prefix_engine.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--engine", type=int, default=500)
    parser.add_argument("--page", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    engine = load_engine(Settings(max_prompt_tokens=512))
    broken = 0
    for wrong in (
        through_comparison(engine, options.texts, options.seed),
        through_engine(engine, options.engine, options.seed),
        through_page(options.page, options.seed),
    ):
        for line in wrong:
            print(line, flush=True)
        broken += len(wrong)
    print(f"Broken rules: {broken}")
    return 1 if broken else 0


def through_comparison(engine: Engine, count: int, seed: int) -> list[str]:
    """Each text compared with the one before it, raw and as a chat."""
    wrong, checks = [], TextChecks(engine.tokenizer)
    for kind, text in hostile_texts(count, seed):
        try:
            checks.check(text)
        except Exception as error:
            wrong.append(_complaint("comparison", kind, text, error))
    print(f"{count:,} texts compared")
    return wrong


def through_engine(engine: Engine, count: int, seed: int) -> list[str]:
    """Each text computed, stored and found again; the cache is whole after each."""
    wrong, taken = [], 0
    for kind, text in hostile_texts(count, seed):
        try:
            taken += check_engine(engine, text)
            engine.cache.check_integrity()
        except Exception as error:
            wrong.append(_complaint("engine", kind, text, error))
    print(f"{count:,} texts at the engine: {taken:,} computed, the others refused with a reason")
    return wrong


def through_page(count: int, seed: int) -> list[str]:
    """Texts typed into the page in Chromium; every fifth as a link and as an upload too."""
    if not count:
        return []
    from playwright.sync_api import sync_playwright

    from benchmarks.common.hostile_page import HostilePage

    chromium = shutil.which("chromium")
    if chromium is None:
        return ["Chromium is not installed: nothing went through the page"]
    with serve() as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        hostile = HostilePage(browser.new_page(), served.address)
        hostile.open()
        for number, (_, text) in enumerate(hostile_texts(count, seed)):
            if number % 5 == 4:
                hostile.open_room(text)
                hostile.upload(text)
                hostile.open_linked(text)
            hostile.type_in(text)
        browser.close()
    print(f"{count:,} texts typed into the page")
    return hostile.wrong


def _complaint(where: str, kind: str, text: str, error: Exception) -> str:
    return f"{where}, {kind}: {type(error).__name__}: {error}: {text[:60]!r}"


if __name__ == "__main__":
    sys.exit(main())
