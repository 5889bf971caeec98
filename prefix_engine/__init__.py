"""A prefix-cached language model engine that shows what it reuses, and proves it.

The usual way in: `loading.load_engine` for an engine, `run.run` for a whole comparison, `compare`
and `diagnose` for the tokens alone. No module of it is imported here, so that what
needs no torch stays light.
"""

import ctypes
import os
import sys

# Threads of a parallel region wait for each other in a busy loop, and so starve the one they wait
# for wherever anything else wants the processor: on two cores, one of them busy, nine tokens took
# 1,400 ms. With short waits they take 145 ms there, and 110 instead of 95 on an idle machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# oneDNN compiles a kernel for every number of rows and keeps a thousand of them, PyTorch keeps as
# many beside it, a megabyte for both: suffixes of all lengths made the process grow by 1 GB. A pass
# needs about ten, and a kernel is made anew in a fraction of a millisecond.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
os.environ.setdefault("LRU_CACHE_CAPACITY", "32")

# All of this is read when torch is first imported.

# Each thread that asks for memory gets an arena of its own from glibc, which gives hardly anything
# back: thirty pages at work held 150 MB that nobody used. Two arenas serve as well.
_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h
_mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
if _mallopt is not None and "MALLOC_ARENA_MAX" not in os.environ:
    _mallopt(_ARENA_MAX, 2)
