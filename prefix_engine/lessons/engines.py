"""How other systems would count the same two prompts: a rule for each, with its source.

Nothing here is measured. A rule is what a system's code or its maker's page says, or, where it is
marked so, what others say of it; systems change, so each bears the date on which stored copies of
its sources were read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from prefix_engine.compare import reusable

READ_ON = "2026-11-24"
"""When stored copies of the sources were read; the pages themselves may say otherwise by now."""


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
class Source:
    """Where a rule stands: what it is called, and its address; none for this program itself."""

    name: str
    url: str = ""


@dataclass(frozen=True)
class Rule:
    """How one system counts. `says` is the rule in plain words, `supposes` what it is taken with
    here. `is_service`: a service that counts tokens by a tokenizer of its own."""

    system: str
    count: Callable[[Pair], int]
    says: str
    sources: tuple[Source, ...]
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


_VLLM = "https://github.com/vllm-project/vllm/blob/003df2961dd8830c317a61f9745ccd557da9fa06"
_SGLANG = "https://github.com/sgl-project/sglang/blob/main/python/sglang/srt"
_TENSORRT_LLM = (
    "https://github.com/NVIDIA/TensorRT-LLM/blob/002ba6a7cc5eb28f180d45d4a91142d9d927a606"
)
_TENSORRT_LLM_PAGES = "https://nvidia.github.io/TensorRT-LLM/1.3.0rc27/llm-api/reference"

RULES: tuple[Rule, ...] = (
    Rule(
        system="First Difference",
        count=_in_blocks(1),
        says="Every shared leading token, but never B's last one.",
        sources=(Source("this program, which checks it in every run"),),
        standing=Standing.OWN,
    ),
    Rule(
        system="vLLM",
        count=_in_blocks(16),
        says="Whole blocks of 16; at most B's tokens less one, rounded down to a block.",
        sources=(
            Source(
                "kv_cache_manager.py, get_computed_blocks, at 003df296",
                f"{_VLLM}/vllm/v1/core/kv_cache_manager.py",
            ),
        ),
        standing=Standing.OWN,
        supposes="Blocks of 16, the usual size.",
    ),
    Rule(
        system="SGLang",
        count=_in_blocks(1),
        says="A radix tree over single tokens; at most B's tokens less one.",
        sources=(
            Source("schedule_batch.py, main branch", f"{_SGLANG}/managers/schedule_batch.py"),
            Source("radix_cache.py, main branch", f"{_SGLANG}/mem_cache/radix_cache.py"),
        ),
        standing=Standing.OWN,
        supposes="A page size of 1, the default.",
    ),
    Rule(
        system="llama.cpp server",
        count=_in_blocks(1),
        says="What B and a slot's last prompt both begin with; at least one token is computed.",
        sources=(
            Source(
                "tools/server (n_past), master branch",
                "https://github.com/ggml-org/llama.cpp/tree/master/tools/server",
            ),
        ),
        standing=Standing.OWN,
        supposes="B gets the slot that holds A; --cache-reuse is off.",
    ),
    Rule(
        system="TensorRT-LLM",
        count=_in_blocks(1),
        says="Blocks of 32; from the block where B begins to differ, what is the same is copied.",
        sources=(
            Source("KvCacheConfig, 1.3.0rc27", f"{_TENSORRT_LLM_PAGES}/KvCacheConfig.html"),
            Source(
                "kvCacheManager.cpp, at 002ba6a7",
                f"{_TENSORRT_LLM}/cpp/tensorrt_llm/batch_manager/kvCacheManager.cpp",
            ),
        ),
        standing=Standing.OWN,
        supposes="The default, enable_partial_reuse; A has ended.",
    ),
    Rule(
        system="TensorRT-LLM, partial reuse off",
        count=_in_blocks(32),
        says="Whole blocks of 32, and never B's last token.",
        sources=(
            Source(
                "KvCacheConfig (tokens_per_block), 1.3.0rc27",
                f"{_TENSORRT_LLM_PAGES}/KvCacheConfig.html",
            ),
        ),
        standing=Standing.OWN,
    ),
    Rule(
        system="OpenAI API",
        count=_from(1024, 128),
        says="Nothing under 1,024 shared tokens; above, in steps of 128.",
        sources=(
            Source(
                "OpenAI, Prompt caching",
                "https://developers.openai.com/api/docs/guides/prompt-caching",
            ),
        ),
        standing=Standing.UNVERIFIED,
        supposes="The steps of 128 stand on older pages only.",
        is_service=True,
    ),
    Rule(
        system="Anthropic API (Opus 4.6)",
        count=_from(4096),
        says="Up to the breakpoint that the sender set; silently nothing under 4,096 tokens.",
        sources=(
            Source(
                "Anthropic, Prompt caching",
                "https://platform.claude.com/docs/en/build-with-claude/prompt-caching",
            ),
            Source(
                "LiteLLM, Prompt caching (the minimum)",
                "https://docs.litellm.ai/docs/completion/prompt_caching",
            ),
        ),
        standing=Standing.THIRD_PARTY,
        supposes="A breakpoint stands exactly where the two begin to differ.",
        is_service=True,
    ),
    Rule(
        system="Gemini API (2.5)",
        count=_from(2048),
        says="Implicit; nothing under 2,048 tokens. Other pages give other minimums.",
        sources=(
            Source("Gemini, Context caching", "https://ai.google.dev/gemini-api/docs/caching"),
        ),
        standing=Standing.UNVERIFIED,
        supposes="No step above the minimum; a hit is not promised.",
        is_service=True,
    ),
    Rule(
        system="DeepSeek API",
        count=_whole_of_a,
        says="A stored unit must match whole: B reuses A only if it goes on where A ends.",
        sources=(
            Source("DeepSeek, Context caching", "https://api-docs.deepseek.com/guides/kv_cache"),
        ),
        standing=Standing.OWN,
        supposes="No third request yet, and no unit cut at a fixed interval in a long prompt.",
        is_service=True,
    ),
)
