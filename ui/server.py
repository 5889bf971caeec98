"""What all visitors of this server share: one engine, loaded in the background, one slot, rooms."""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from prefix_engine.errors import CacheInUse, PrefixEngineError
from prefix_engine.room import Rooms
from prefix_engine.settings import Settings
from prefix_engine.turns import ComputeSlot

if TYPE_CHECKING:
    from prefix_engine.engine import Engine


@dataclass(frozen=True)
class Loading:
    """How far the loading is, `part` from 0 to 1."""

    what: str
    part: float


@dataclass(frozen=True)
class Failed:
    """Why there is no engine, in words that say what to do."""

    why: str


class Server:
    """Starts loading when it is made; `status` is the engine, once it is there."""

    def __init__(self) -> None:
        self.slot = ComputeSlot()
        self.rooms = Rooms(self._forget)
        self.status: Engine | Loading | Failed = Failed("Nothing was loaded yet.")
        self._retrying = threading.Lock()
        self.retry()

    def retry(self) -> None:
        """Load again if that has failed, and only then: several visitors may ask for it at once."""
        with self._retrying:
            if not isinstance(self.status, Failed):
                return
            self.status = Loading("Starting", 0.0)
        threading.Thread(target=self._load, name="load-engine", daemon=True).start()

    def _load(self) -> None:
        try:
            # not at the top: torch takes seconds to import, and the first page must not wait for it
            self.status = Loading("Importing torch", 0.0)
            from prefix_engine.loading import load_engine

            settings = Settings.from_environment()
            self.slot.max_waiting = settings.max_waiting
            engine = load_engine(settings, on_progress=self._tell)
            # Streamlit looks for garbage after every run of a page, which took 100 ms of processor
            # time among all that torch and the others keep for good; so many rooms look each second
            gc.collect()
            gc.freeze()
            self.status = engine
        except PrefixEngineError as error:
            self.status = Failed(str(error))
        except Exception as error:
            self.status = Failed(f"The model could not be loaded: {error!r}")
            raise

    def _forget(self, namespace: str) -> bool:
        """Drop the KV of a room that has ended; False if a request is still using it."""
        if not isinstance(self.status, Loading | Failed):
            try:
                self.status.cache.clear(namespace)
            except CacheInUse:
                return False
        return True

    def _tell(self, what: str, part: float) -> None:
        self.status = Loading(what, part)


@st.cache_resource(show_spinner=False)
def server() -> Server:
    """The one server of this process."""
    return Server()


def ready_engine() -> Engine | None:
    """The engine, once it is loaded."""
    status = server().status
    return None if isinstance(status, Loading | Failed) else status
