"""Measurements: each module runs with `python -m benchmarks.NAME`."""

# before torch: it sets what torch and its libraries read when they are first imported
import prefix_engine  # noqa: F401
