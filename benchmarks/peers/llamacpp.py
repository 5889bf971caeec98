"""llama.cpp through llama-cpp-python's bindings: three weight formats, flash attention on and off.

The shipped GGUF is Q4_1. Q4_0 and BF16 are made of it with llama.cpp's own quantizer: the same
model in the formats that llama.cpp is fastest in. (Q4_0 rounds what was rounded before, so its
answers may differ; its speed does not depend on that.)
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.base import Answer, Peer, PeerMissing

FORMATS = ("Q4_1", "Q4_0", "BF16")
FLASH = {"": 0, " flash": 1}  # LLAMA_FLASH_ATTN_TYPE_DISABLED and _ENABLED
SETTINGS = tuple(f"llama.cpp {kind}{flash}" for kind in FORMATS for flash in FLASH)
ERRORS_FROM = 4  # ggml's log level of errors; below it lies what llama.cpp tells of itself


class LlamaCppPeer(Peer):
    """One context for each setting; all share their threads, so they take turns.

    The prefix stays in a context's KV: a request evaluates what comes after it, and is cut off
    again afterwards, outside the timing. Logits are computed for the last token only.
    """

    settings = SETTINGS

    def __init__(self, gguf: Path, folder: Path, most_tokens: int, threads: int) -> None:
        self._lib = _bindings()
        self._lib.llama_backend_init()
        self._contexts: dict[str, Any] = {}
        self._held = {setting: 0 for setting in SETTINGS}
        for kind in FORMATS:
            model = self._load(self._in_format(gguf, folder, kind))
            for flash in FLASH:
                context = self._context(model, most_tokens, threads, FLASH[flash])
                self._contexts[f"llama.cpp {kind}{flash}"] = context
        self._vocabulary = self._lib.llama_vocab_n_tokens(self._lib.llama_model_get_vocab(model))

    def hold(self, setting: str, ids: Sequence[int]) -> None:
        self._cut(setting, 0)
        if ids:
            self._decode(setting, self._tokens(ids))
        self._held[setting] = len(ids)

    def answer(self, setting: str, ids: Sequence[int]) -> Answer:
        held = self._held[setting]
        tokens = self._tokens(ids[held:])
        began = time.perf_counter()
        self._decode(setting, tokens)
        logits = self._lib.llama_get_logits_ith(self._contexts[setting], -1)
        first_id = int(np.ctypeslib.as_array(logits, (self._vocabulary,)).argmax())
        seconds = time.perf_counter() - began
        self._cut(setting, held)
        return Answer(seconds, first_id)

    def _tokens(self, ids: Sequence[int]) -> Any:
        return (self._lib.llama_token * len(ids))(*ids)

    def _decode(self, setting: str, tokens: Any) -> None:
        # a batch of one sequence without further ado: positions go on, the last token has logits
        batch = self._lib.llama_batch_get_one(tokens, len(tokens))
        status = self._lib.llama_decode(self._contexts[setting], batch)
        if status != 0:
            raise RuntimeError(f"llama_decode failed in {setting} with status {status}")

    def _cut(self, setting: str, tokens: int) -> None:
        memory = self._lib.llama_get_memory(self._contexts[setting])
        self._lib.llama_memory_seq_rm(memory, 0, tokens, -1)

    def _in_format(self, gguf: Path, folder: Path, kind: str) -> Path:
        if kind == FORMATS[0]:
            return gguf
        made = folder / f"{kind}.gguf"
        parameters = self._lib.llama_model_quantize_default_params()
        parameters.ftype = getattr(self._lib, f"LLAMA_FTYPE_MOSTLY_{kind}")
        parameters.allow_requantize = True
        source, target = str(gguf).encode(), str(made).encode()
        if self._lib.llama_model_quantize(source, target, ctypes.byref(parameters)) != 0:
            raise PeerMissing(f"llama.cpp could not convert {gguf.name} to {kind}")
        return made

    def _load(self, path: Path) -> Any:
        model = self._lib.llama_model_load_from_file(
            str(path).encode(), self._lib.llama_model_default_params()
        )
        if not model:
            raise PeerMissing(f"llama.cpp can't load {path.name}")
        return model

    def _context(self, model: Any, most_tokens: int, threads: int, flash: int) -> Any:
        parameters = self._lib.llama_context_default_params()
        parameters.n_ctx = parameters.n_batch = most_tokens
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.flash_attn_type = flash
        context = self._lib.llama_init_from_model(model, parameters)
        if not context:
            raise PeerMissing("llama.cpp can't make a context")
        return context


KEPT: list[object] = []
"""What the library points to, and Python must not free."""


def _bindings() -> Any:
    try:
        import llama_cpp
    except (ImportError, OSError, RuntimeError) as error:
        raise PeerMissing(
            f"llama-cpp-python is not installed ({error}): "
            "python tools/install.py requirements-bench.txt compiles it, 10 to 15 minutes"
        ) from error

    def quiet(level: int, text: bytes, user_data: object) -> None:
        if level == ERRORS_FROM:
            print(text.decode(errors="replace"), end="")

    callback = llama_cpp.llama_log_callback(quiet)
    KEPT.append(callback)
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    return llama_cpp
