from __future__ import annotations

import subprocess
import sys


def test_the_cache_is_imported_without_torch() -> None:
    code = "import sys, prefix_engine.cache; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
