"""This engine, whole, and its forward pass alone where the KV is in place already."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.peers.base import Answer, Peer, PeerMissing
from prefix_engine.engine import Engine
from prefix_engine.errors import PrefixEngineError
from prefix_engine.loading import load_engine
from prefix_engine.model.info import Precision
from prefix_engine.settings import Settings
from prefix_engine.tokenizer import Prompt, Tokenized, Tokenizer

ENGINE, SUFFIX_ONLY = "this engine", "its suffix alone"
LONG_WAITS = "this engine, long waits"
FAST = "this engine, fast mode"
OWN = (ENGINE, SUFFIX_ONLY, LONG_WAITS, FAST)


class IdsInHand(Tokenizer):
    """Gives ids that were set before, whatever the prompt: every runtime here starts from ids."""

    has_chat = False

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.ids: list[int] = []

    def encode(self, prompt: Prompt) -> list[int]:
        return list(self.ids)

    def tokenize(self, prompt: Prompt) -> Tokenized:
        return self._tokenizer.tokenize(prompt)

    def token_bytes(self, token_id: int) -> bytes:
        return self._tokenizer.token_bytes(token_id)


class EnginePeer(Peer):
    """A request through cache, load and prefill, as the app makes it; and, beside it, the suffix
    computed after KV that lies in its slab, which is what a hit would cost if reuse were free."""

    def __init__(self, precision: Precision, most_tokens: int, names: tuple[str, ...]) -> None:
        self.settings = names
        try:
            self._engine: Engine = load_engine(
                Settings(max_prompt_tokens=most_tokens, precision=precision, fast=FAST in names)
            )
        except PrefixEngineError as error:
            raise PeerMissing(str(error)) from error
        self._ids = IdsInHand(self._engine.tokenizer)
        self._engine.tokenizer = self._ids
        self._slab = self._engine.model.new_slab(most_tokens)
        self._held: dict[str, tuple[int, ...]] = {}

    def exact(self) -> str:
        return self._engine.model.info.exact

    def hold(self, setting: str, ids: Sequence[int]) -> None:
        self._held[setting] = tuple(ids)
        if setting == SUFFIX_ONLY:
            if ids:
                self._engine.model.forward(ids, self._slab, 0)
            return
        self._engine.cache.clear()
        if ids:
            self._ids.ids = list(ids)
            self._engine.prefill("")

    def answer(self, setting: str, ids: Sequence[int]) -> Answer:
        held = len(self._held[setting])
        if setting == SUFFIX_ONLY:
            began = time.perf_counter()
            logits = self._engine.model.forward(ids[held:], self._slab, held)
            first_id = int(logits.argmax())
            return Answer(time.perf_counter() - began, first_id)
        self._ids.ids = list(ids)
        made = self._engine.prefill("", store=False)
        assert made.reused == held, f"reused {made.reused} tokens of {held}"
        return Answer(made.ttft_s, made.next_id)
