"""Do what the app does in this process and tell its memory: `benchmarks/memory.py` starts this.

`python -m benchmarks.common.resident TOKENS …` prints one line of JSON, with the precision that was
chosen and, after each step, the resident megabytes now and at most so far.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

MB = 1_000_000
SHARED_PART = 7 / 8


def main(lengths: list[int]) -> int:
    steps = []

    def tell(step: str) -> None:
        status = Path("/proc/self/status").read_text("ascii")
        kib = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if "kB" in line}
        now, peak = (int(kib[name]) * 1024 / MB for name in ("VmRSS", "VmHWM"))
        steps.append({"step": step, "now_mb": now, "peak_mb": peak})

    import plotly.graph_objects
    import streamlit

    import ui.result
    import ui.server

    assert plotly.graph_objects and streamlit and ui.result and ui.server
    tell("the screen imported")
    from benchmarks.common.texts import english
    from prefix_engine.loading import load_engine
    from prefix_engine.run import run
    from prefix_engine.settings import Settings

    engine = load_engine(Settings.from_environment())
    tell("the engine loaded")
    for length in lengths:
        # a little shorter, since a text that is cut may have a token more
        tokens = engine.tokenizer.tokenize(english()[: 8 * length]).tokens[: length - 8]
        text = b"".join(token.data for token in tokens).decode(errors="ignore")
        first, last = int(SHARED_PART * len(text)), len(text)
        run(engine, text, text[:first] + text[: last - first], rounds=1, reply_tokens=4)
        tell(str(length))
    print(json.dumps({"precision": engine.model.info.precision, "steps": steps}))
    return 0


if __name__ == "__main__":
    sys.exit(main([int(argument) for argument in sys.argv[1:]]))
