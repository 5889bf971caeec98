"""How other systems would count the same two prompts: a rule for each, with its source.

Nothing here is measured. A rule is what a system's code or its maker's page says, or, where it is
marked so, what others say of it; systems change, so each bears the date on which it was read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from prefix_engine.compare import reusable

READ_ON = "2026-11-24"


class Standing(StrEnum):
    """Who says so."""

    OWN = "its own code or page"
    THIRD_PARTY = "a third party"
    UNVERIFIED = "unverified"


@dataclass(frozen=True)
class Pair:
    """Two prompts, in tokens: A is stored, B comes next, `shared` leading tokens are the same."""

    a_tokens: int
    b_tokens: int
    shared: int

    def __post_init__(self) -> None:
        if not 0 <= self.shared <= min(self.a_tokens, self.b_tokens):
            raise ValueError(f"two prompts can't share {self.shared} tokens: {self}")

    def with_longer_prefix(self, times: int) -> Pair:
        """The same two prompts, had their shared part that many times as many tokens."""
        more = (times - 1) * self.shared
        return Pair(self.a_tokens + more, self.b_tokens + more, self.shared + more)


@dataclass(frozen=True)
class Rule:
    """How one system counts. `says` is the rule in plain words, `supposes` what it is taken with
    here. `is_service`: a service that counts tokens by a tokenizer of its own."""

    system: str
    count: Callable[[Pair], int]
    says: str
    source: str
    standing: Standing
    supposes: str = ""
    is_service: bool = False
    read_on: str = READ_ON


@dataclass(frozen=True)
class Count:
    """What a rule gives for a pair: tokens of B that need no computing, and the rest."""

    rule: Rule
    reused: int
    computed: int


def count_all(pair: Pair) -> tuple[Count, ...]:
    """What every rule gives, in the order of `RULES`."""
    counts = []
    for rule in RULES:
        reused = rule.count(pair)
        counts.append(Count(rule, reused, pair.b_tokens - reused))
    return tuple(counts)


def _in_blocks(size: int) -> Callable[[Pair], int]:
    return lambda pair: reusable(pair.shared, pair.b_tokens, size)


def _from(minimum: int, step: int = 1) -> Callable[[Pair], int]:
    """Nothing below a minimum, whole steps above it."""

    def count(pair: Pair) -> int:
        return reusable(pair.shared, pair.b_tokens, step) if pair.shared >= minimum else 0

    return count


def _whole_of_a(pair: Pair) -> int:
    whole = pair.shared == pair.a_tokens
    return reusable(pair.shared, pair.b_tokens) if whole else 0


RULES: tuple[Rule, ...] = (
    Rule(
        system="First Difference",
        count=_in_blocks(1),
        says="Every shared leading token, but never B's last one.",
        source="this program, which checks it in every run",
        standing=Standing.OWN,
    ),
    Rule(
        system="vLLM",
        count=_in_blocks(16),
        says="Whole blocks of 16; at most B's tokens less one, rounded down to a block.",
        source="vllm/v1/core/kv_cache_manager.py, get_computed_blocks",
        standing=Standing.OWN,
        supposes="Blocks of 16, the usual size.",
    ),
    Rule(
        system="SGLang",
        count=_in_blocks(1),
        says="A radix tree over single tokens; at most B's tokens less one.",
        source="sglang/srt/managers/schedule_batch.py and mem_cache/radix_cache.py",
        standing=Standing.OWN,
        supposes="A page size of 1, the default.",
    ),
    Rule(
        system="llama.cpp server",
        count=_in_blocks(1),
        says="What B and a slot's last prompt both begin with; at least one token is computed.",
        source="llama.cpp, tools/server (n_past)",
        standing=Standing.OWN,
        supposes="B gets the slot that holds A; --cache-reuse is off.",
    ),
    Rule(
        system="TensorRT-LLM",
        count=_in_blocks(1),
        says="Blocks of 32; from the block where B begins to differ, what is the same is copied.",
        source="nvidia.github.io/TensorRT-LLM, KvCacheConfig; batch_manager/kvCacheManager.cpp",
        standing=Standing.OWN,
        supposes="The default, enable_partial_reuse; A has ended.",
    ),
    Rule(
        system="TensorRT-LLM, partial reuse off",
        count=_in_blocks(32),
        says="Whole blocks of 32, and never B's last token.",
        source="nvidia.github.io/TensorRT-LLM, KvCacheConfig (tokens_per_block)",
        standing=Standing.OWN,
    ),
    Rule(
        system="OpenAI API",
        count=_from(1024, 128),
        says="Nothing under 1,024 shared tokens; above, in steps of 128.",
        source="developers.openai.com, prompt caching; the steps of 128 stand on older pages only",
        standing=Standing.UNVERIFIED,
        is_service=True,
    ),
    Rule(
        system="Anthropic API (Opus 4.6)",
        count=_from(4096),
        says="Up to the breakpoint that the sender set; silently nothing under 4,096 tokens.",
        source="platform.claude.com, prompt caching; the minimum as docs.litellm.ai gives it",
        standing=Standing.THIRD_PARTY,
        supposes="A breakpoint stands exactly where the two begin to differ.",
        is_service=True,
    ),
    Rule(
        system="Gemini API (2.5)",
        count=_from(2048),
        says="Implicit; nothing under 2,048 tokens. Other pages give other minimums.",
        source="ai.google.dev/gemini-api/docs/caching",
        standing=Standing.UNVERIFIED,
        supposes="No step above the minimum; a hit is not promised.",
        is_service=True,
    ),
    Rule(
        system="DeepSeek API",
        count=_whole_of_a,
        says="A stored unit must match whole: B reuses A only if it goes on where A ends.",
        source="api-docs.deepseek.com/guides/kv_cache",
        standing=Standing.OWN,
        supposes="No third request yet, and no unit cut at a fixed interval in a long prompt.",
        is_service=True,
    ),
)
