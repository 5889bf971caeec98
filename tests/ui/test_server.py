from __future__ import annotations

import gc
import threading
from typing import Any

import pytest

from prefix_engine import loading
from prefix_engine.errors import PrefixEngineError
from tests.tiny_engine import tiny_engine
from ui.server import Failed, Loading, Server


class Loader:
    """Loads fail until they are told not to; each is let go on by hand."""

    def __init__(self) -> None:
        self.calls = 0
        self.works = False
        self._go_on = threading.Semaphore(0)

    def load(self, settings: object, on_progress: object = None) -> Any:
        self.calls += 1
        assert self._go_on.acquire(timeout=30)
        if not self.works:
            raise PrefixEngineError("No weights.")
        return "an engine"

    def end_one(self, server: Server) -> None:
        self._go_on.release()
        for thread in threading.enumerate():
            if thread.name == "load-engine":
                thread.join()


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> Loader:
    made = Loader()
    monkeypatch.setattr(loading, "load_engine", made.load)
    return made


def is_loading(server: Server) -> bool:
    return isinstance(server.status, Loading)


def assert_loaded(server: Server) -> None:
    status: object = server.status
    assert status == "an engine"


def test_a_failed_load_is_told_and_can_be_tried_again(loader: Loader) -> None:
    server = Server()
    loader.end_one(server)
    assert server.status == Failed("No weights.")
    loader.works = True
    server.retry()
    assert is_loading(server)
    loader.end_one(server)
    assert_loaded(server)


def test_what_is_loaded_is_not_searched_for_garbage_after_every_run_of_a_page(
    loader: Loader,
) -> None:
    loader.works = True
    gc.unfreeze()
    try:
        loader.end_one(Server())
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()


def test_all_who_ask_for_it_again_get_one_load_and_none_throws_away_what_there_is(
    loader: Loader,
) -> None:
    server = Server()
    rooms, slot = server.rooms, server.slot
    loader.end_one(server)
    loader.works = True
    for _ in range(3):
        server.retry()
    loader.end_one(server)
    server.retry()
    assert loader.calls == 2
    assert_loaded(server)
    assert (server.rooms, server.slot) == (rooms, slot)


def test_the_operators_limit_on_who_waits_is_the_slots(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST_DIFFERENCE_MAX_WAITING", "7")
    server = Server()
    loader.end_one(server)
    assert server.slot.max_waiting == 7


def test_what_is_in_use_of_an_ended_room_is_forgotten_the_next_time(loader: Loader) -> None:
    loader.works = True
    server, engine = Server(), tiny_engine()
    loader.end_one(server)
    server.status = engine
    ids = engine.prefill("a question", namespace="room").ids
    engine.prefill("another", namespace="elsewhere")
    with engine.cache.pin(ids, "room"):
        assert not server._forget("room")
    assert server._forget("room")
    assert engine.cache.stats.stored_tokens == len("another")
