"""Prefill and generate through the prefix cache, with a record of every stage.

A request borrows a working slab, loads what the cache has of its prompt into it, computes the rest
there, and copies what is new back into the cache. So KV handed to a request is never altered by it,
and a request that fails or is stopped leaves the cache as it was.
"""

from __future__ import annotations

import codecs
import copy
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock

import torch

from prefix_engine.cache.base import DEFAULT_NAMESPACE, Insert, PrefixCache
from prefix_engine.cache.storage import copy_out, load
from prefix_engine.compute import compute
from prefix_engine.errors import (
    EmptyPrompt,
    PromptTooLong,
    ReplyTooLong,
    TextTooLong,
    TooManyTrials,
)
from prefix_engine.model.base import Model, Slab
from prefix_engine.stopwatch import Stopwatch, Timing
from prefix_engine.tokenizer import Prompt, Tokenized, Tokenizer
from prefix_engine.unloaded import UnloadedShares
from prefix_engine.watch import OnStep

CHARACTERS_A_TOKEN = 16
"""Of a text that is taken, at most on average: plain English has between four and five."""

NOTHING_INSERTED = Insert(stored=0, present=0, refused=False)


@dataclass(frozen=True)
class Prefill:
    """What one prefill did. Token counts: `len(ids) = reused + computed`.

    `timing` runs from the text in hand to the first token id out, with the stages tokenize, lookup,
    load, prefill and pick; storing comes after it, in `store_s`. `logits` are float32,
    [vocabulary], after the last token of the prompt; `next_id` was picked from them.
    """

    ids: tuple[int, ...]
    reused: int
    computed: int
    kv_bytes_per_token: int
    timing: Timing
    store_s: float
    insert: Insert
    logits: torch.Tensor
    next_id: int

    def __post_init__(self) -> None:
        assert self.reused + self.computed == len(self.ids) and self.computed >= 1

    @property
    def ttft_s(self) -> float:
        return self.timing.total_s

    @property
    def kv_bytes_reused(self) -> int:
        return self.reused * self.kv_bytes_per_token

    @property
    def kv_bytes_computed(self) -> int:
        return self.computed * self.kv_bytes_per_token


@dataclass(frozen=True)
class Sampling:
    """How a token is picked from logits: the likeliest at temperature 0, else by seeded chance."""

    temperature: float = 0.0
    seed: int = 0

    def picker(self) -> Callable[[torch.Tensor], int]:
        """A function from logits [vocabulary] to a token id, with its own random state."""
        if self.temperature == 0:
            return lambda logits: int(logits.argmax())
        chance = torch.Generator().manual_seed(self.seed)

        def pick(logits: torch.Tensor) -> int:
            odds = torch.softmax(logits.cpu() / self.temperature, dim=-1)
            return int(torch.multinomial(odds, 1, generator=chance))

        return pick


GREEDY = Sampling()


@dataclass(frozen=True)
class Step:
    """One generated token: the text it completes (may be empty) and the seconds it took.

    The first step takes the prompt's TTFT. Every step carries the prefill it goes on from.
    """

    id: int
    text: str
    seconds: float
    prefill: Prefill


@dataclass(frozen=True)
class Request:
    """A request in progress: its slab holds the KV of all tokens of `prefill.ids`."""

    prefill: Prefill
    slab: Slab


class Engine:
    """One model, its tokenizer and one prefix cache.

    `max_prompt_tokens` bounds a prompt, `max_new_tokens` a reply, `max_trials` a run. Safe to use
    from several threads, though requests that run at the same time disturb each other's timing.
    """

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        cache: PrefixCache,
        *,
        max_prompt_tokens: int = 4096,
        max_new_tokens: int = 256,
        max_trials: int = 50,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.cache = cache
        self.max_trials = max_trials
        room = model.info.max_tokens
        self.max_new_tokens = min(max_new_tokens, room // 2)
        self.max_prompt_tokens = min(max_prompt_tokens, room - self.max_new_tokens)
        self._unloaded = UnloadedShares(grows=model.info.device == "cpu")
        self._idle_slabs: list[Slab] = []
        self._lock = Lock()

    def prefill(
        self,
        prompt: Prompt,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        read: bool = True,
        store: bool = True,
        first_id: int | None = None,
        on_step: OnStep | None = None,
    ) -> Prefill:
        """Compute a prompt up to its first new token; see `request` for the parameters."""
        with self.request(
            prompt,
            namespace=namespace,
            read=read,
            store=store,
            first_id=first_id,
            on_step=on_step,
        ) as request:
            return request.prefill

    @contextmanager
    def request(
        self,
        prompt: Prompt,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        read: bool = True,
        store: bool = True,
        first_id: int | None = None,
        pick: Callable[[torch.Tensor], int] | None = None,
        on_step: OnStep | None = None,
    ) -> Iterator[Request]:
        """Prefill a prompt and keep its slab, and a pin on what it reused, for the block.

        `read=False` skips the lookup and computes everything; `store=False` leaves the cache as it
        is; `first_id` replaces the first token after tokenizing, for a control of equal length that
        nothing is stored of. `on_step` is outside the timing. Raises `EmptyPrompt`,
        `PromptTooLong`, `TextError`, and what `on_step` raises; the cache is whole after each.
        """
        with self._borrow_slab() as slab:
            watch = Stopwatch()
            with watch.stage("tokenize"):
                ids = self._ids(prompt, first_id)
            with watch.stage("lookup"):
                lease = self.cache.match(ids if read else (), namespace)
            with lease:
                with watch.stage("load"):
                    reused = compute(partial(load, lease.segments, slab))
                with watch.stage("prefill"):
                    logits = self._forward(ids, slab, reused, watch, on_step)
                with watch.stage("pick"):
                    next_id = compute(partial(pick or GREEDY.picker(), logits))
                timing = watch.read()
                self._unloaded.learn(len(ids) - reused, timing.cpu_over_wall)
                storing = Stopwatch()
                insert = self._store(ids, slab, namespace) if store else NOTHING_INSERTED
                yield Request(
                    Prefill(
                        ids=ids,
                        reused=reused,
                        computed=len(ids) - reused,
                        kv_bytes_per_token=self.model.kv_shape.bytes_per_token,
                        timing=self.judged(timing, len(ids) - reused),
                        store_s=storing.read().total_s,
                        insert=insert,
                        logits=logits,
                        next_id=next_id,
                    ),
                    slab,
                )

    def generate(
        self,
        prompt: Prompt,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        read: bool = True,
        store: bool = True,
        max_new_tokens: int | None = None,
        sampling: Sampling = GREEDY,
        on_step: OnStep | None = None,
    ) -> Generator[Step, None, None]:
        """Stream a reply; it ends before a stop token, or after `max_new_tokens` (the engine's own
        limit where none is given). Raises `ReplyTooLong` for more than that.

        Nothing runs before the first `next`. When the reply ends, or is closed early, the KV of its
        tokens is added to the cache, but for the last one's: it was never fed to the model.
        """
        if max_new_tokens is None:
            max_new_tokens = self.max_new_tokens
        self.check_reply_length(max_new_tokens)
        pick = sampling.picker()
        with self.request(
            prompt, namespace=namespace, read=read, store=store, pick=pick, on_step=on_step
        ) as request:
            fed = list(request.prefill.ids)
            try:
                yield from self._steps(request, fed, pick, max_new_tokens)
            finally:
                if store:
                    self._store(tuple(fed), request.slab, namespace)

    def _steps(
        self,
        request: Request,
        fed: list[int],
        pick: Callable[[torch.Tensor], int],
        max_new_tokens: int,
    ) -> Generator[Step, None, None]:
        """Yield the picked token, feed it, pick the next; `fed` grows by what has KV."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        next_id, seconds = request.prefill.next_id, request.prefill.ttft_s
        for number in range(1, max_new_tokens + 1):
            if next_id in self.model.info.stop_ids:
                return
            text = decoder.decode(self.tokenizer.token_bytes(next_id), number == max_new_tokens)
            yield Step(next_id, text, seconds, request.prefill)
            if number < max_new_tokens:
                watch = Stopwatch()
                logits = self.model.forward((next_id,), request.slab, len(fed))
                fed.append(next_id)
                next_id = compute(partial(pick, logits))
                seconds = watch.read().total_s

    def with_cache(self, cache: PrefixCache) -> Engine:
        """The same engine, its model and its memory to work in, over another cache."""
        other = copy.copy(self)
        other.cache = cache
        return other

    def judged(self, timing: Timing, computed: int) -> Timing:
        """The timing of a prefill that computed so many tokens, with the share of the processors
        that an unloaded machine gives it, as far as is known by now: later ones tell better."""
        return replace(timing, unloaded_cpu_over_wall=self._unloaded.share(computed))

    def encode(self, prompt: Prompt, name: str = "The prompt") -> list[int]:
        """The ids of a prompt that may be computed; none for an empty one. Raises `TextTooLong`,
        `PromptTooLong` and `TextError`, calling the prompt `name`."""
        self.check_size(prompt, name)
        ids = self.tokenizer.encode(prompt)
        self.check_length(len(ids), name)
        return ids

    def tokenize(self, prompt: Prompt, name: str = "The prompt") -> Tokenized:
        """The same with all that is known of each token."""
        self.check_size(prompt, name)
        tokenized = self.tokenizer.tokenize(prompt)
        self.check_length(len(tokenized.tokens), name)
        return tokenized

    def check_size(self, prompt: Prompt, name: str = "The prompt") -> None:
        """Raise `TextTooLong` for a text that would take long to tokenize, and for nothing."""
        texts = [prompt] if isinstance(prompt, str) else [message.content for message in prompt]
        characters, limit = sum(map(len, texts)), CHARACTERS_A_TOKEN * self.max_prompt_tokens
        if characters > limit:
            raise TextTooLong(characters, limit, name)

    def check_length(self, tokens: int, name: str = "The prompt") -> None:
        """Raise `PromptTooLong` for a prompt of that many tokens."""
        if tokens > self.max_prompt_tokens:
            raise PromptTooLong(tokens, self.max_prompt_tokens, name)

    def check_reply_length(self, tokens: int) -> None:
        """Raise `ReplyTooLong` for a reply of that many tokens."""
        if not 1 <= tokens <= self.max_new_tokens:
            raise ReplyTooLong(tokens, self.max_new_tokens)

    def check_trials(self, trials: int) -> None:
        """Raise `TooManyTrials` for a run of that many trials an arm."""
        if not 1 <= trials <= self.max_trials:
            raise TooManyTrials(trials, self.max_trials)

    def _ids(self, prompt: Prompt, first_id: int | None) -> tuple[int, ...]:
        ids = self.encode(prompt)
        if not ids:
            raise EmptyPrompt("The prompt is empty: type at least one character.")
        if first_id is not None:
            ids[0] = first_id
        return tuple(ids)

    def _forward(
        self,
        ids: tuple[int, ...],
        slab: Slab,
        start: int,
        watch: Stopwatch,
        on_step: OnStep | None,
    ) -> torch.Tensor:
        def on_chunk(rows: int) -> None:
            if on_step is not None:
                with watch.pause():
                    on_step(start + rows, len(ids))

        return self.model.forward(ids[start:], slab, start, on_chunk)

    def _store(self, ids: tuple[int, ...], slab: Slab, namespace: str) -> Insert:
        return self.cache.insert(ids, partial(copy_out, slab), namespace)

    @contextmanager
    def _borrow_slab(self) -> Iterator[Slab]:
        """A slab that nobody else has. One is kept for the next request, since its pages are warm;
        more would take memory that is seldom needed."""
        with self._lock:
            slab = self._idle_slabs.pop() if self._idle_slabs else None
        slab = slab or self.model.new_slab(self.max_prompt_tokens + self.max_new_tokens)
        try:
            yield slab
        finally:
            with self._lock:
                self._idle_slabs[:] = [slab]
