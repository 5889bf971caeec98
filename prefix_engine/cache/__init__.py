"""The prefix cache. Importing this needs no torch; KV in tensors is in `storage.py`."""

from .base import (
    DEFAULT_NAMESPACE,
    CacheStats,
    Insert,
    Lease,
    PrefixCache,
    Segment,
    Storage,
    TakeKV,
)
from .counting import CountSegment, count_tokens
from .null import NullCache
from .radix import RadixCache
from .tree import NodeView

__all__ = [
    "DEFAULT_NAMESPACE",
    "CacheStats",
    "CountSegment",
    "Insert",
    "Lease",
    "NodeView",
    "NullCache",
    "PrefixCache",
    "RadixCache",
    "Segment",
    "Storage",
    "TakeKV",
    "count_tokens",
]
