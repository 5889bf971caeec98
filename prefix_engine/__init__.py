"""A prefix-cached language model engine that shows what it reuses, and proves it.

The usual way in: `loading.load_engine` for an engine, `run.run` for a whole comparison, `compare`
and `diagnose` for the tokens alone. Nothing is imported here, so that what
needs no torch stays light.
"""

import os

# Threads of a parallel region that wait for each other in a busy loop starve the one they wait for
# wherever anything else wants the processor: nine tokens took 2,000 ms instead of 115 beside one
# busy process on two cores. OpenMP reads this when torch is first imported, so it is set here.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
