"""`python -m prefix_engine`: see `cli.py`."""

import sys

from prefix_engine.cli import main

sys.exit(main())
