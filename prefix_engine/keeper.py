"""Keeps what some requests stored, though others may need the room between two of their turns.

A cache that only counts, with the real one's rules and limits and nobody else in it, tells what a
request would find. Where the real one has less, others have driven it out: then the nearest earlier
prompt is computed and stored again, before the request's clock starts. So a class that shares one
small cache gets the figures that each would get alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prefix_engine.cache import count_tokens
from prefix_engine.compare import common_prefix
from prefix_engine.tokenizer import Prompt
from prefix_engine.watch import OnStep

if TYPE_CHECKING:
    from prefix_engine.engine import Engine, Prefill

Ids = tuple[int, ...]


class Keeper:
    """For requests in namespaces that nobody else stores in, made one after another."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._alone = engine.cache.counting_twin()
        self._stored: dict[str, dict[Ids, Prompt]] = {}

    @property
    def evicted_tokens(self) -> int:
        """What these requests themselves would have driven out, alone in the cache."""
        return self._alone.stats.evicted_tokens

    def shared(self, ids: Ids, namespace: str) -> int:
        """The most leading tokens in common with an earlier request, stored still or not."""
        return max((common_prefix(ids, one) for one in self._stored.get(namespace, ())), default=0)

    def restore(self, ids: Sequence[int], namespace: str, on_step: OnStep | None = None) -> int:
        """Have in the cache what a request of these tokens would find alone; so many tokens it is.

        To be called in the request's turn. Raises `NoRoomNow` where others leave no room for it,
        and what `on_step` raises.
        """
        from prefix_engine.trials import kept  # torch, as the engine has by now

        expected = self._alone.peek(ids, namespace)
        if self._engine.cache.peek(ids, namespace) < expected:
            earlier = self._stored[namespace]
            nearest = max(earlier, key=lambda one: common_prefix(ids, one))
            with kept(self._engine, earlier[nearest], namespace, on_step):
                pass
        return expected

    def note(self, prompt: Prompt, prefill: Prefill, namespace: str) -> None:
        """A request was served, and stored unless that was refused."""
        with self._alone.match(prefill.ids, namespace):
            pass
        if prefill.insert.refused:
            return
        self._alone.insert(prefill.ids, count_tokens, namespace)
        self._stored.setdefault(namespace, {})[prefill.ids] = prompt
