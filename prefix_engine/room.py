"""A room: a class behind one system prompt, sharing one namespace of the cache.

Whoever has the code may look on and ask; whoever has the host key may show prompts, reveal figures,
salt the room or end it. Rooms end by themselves. Nobody is asked for a name: a visitor is a random
word that their session made up, and it stands in no record. Whoever reloads the page is a new one.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from threading import RLock
from typing import TYPE_CHECKING, Any

from prefix_engine.board import PREDICTIONS, Board, Branch, RoomRequest
from prefix_engine.compare import reusable
from prefix_engine.errors import PrefixEngineError
from prefix_engine.keeper import Keeper
from prefix_engine.tokenizer import Message, Prompt
from prefix_engine.watch import Watch, without_figures

if TYPE_CHECKING:
    from prefix_engine.cache import RadixCache
    from prefix_engine.engine import Engine

CODE_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""No letter or digit that a projector makes look like another."""
CODE_LENGTH = 6
IDLE_S = 90 * 60.0
UNJOINED_S = 5 * 60.0
"""After so long a room that nobody has joined makes place where another one is wanted."""
LIFE_S = 4 * 60 * 60.0
MAX_ROOMS = 8
QUESTION_TOKENS = 64
"""Room that a system prompt has to leave for a question."""
MAX_REQUESTS_A_MEMBER = 20
MAX_REQUESTS = 600
"""In one room: a member who reloads the page may ask again, but not for ever."""
MAX_QUESTION_CHARACTERS = 1000
COVERED = (
    "What you hear would tell what the class is still to predict: you can listen as soon as the "
    "host has revealed what was reused."
)
SALTED = (
    "The host has salted this room: each member has a namespace of their own, and in yours there "
    "is nothing of the others to listen to."
)
ENDED = "This room has ended. Ask your host for a new link."
COMPUTING = "Computing your request"


class NoRoom(PrefixEngineError):
    """There is no such room, or not any more."""


class RoomLimit(PrefixEngineError):
    """A limit that keeps one room from taking the machine from the others."""


class BadSystemPrompt(PrefixEngineError):
    """A room can't stand behind this system prompt."""


class Covered(PrefixEngineError):
    """The host has not revealed, or has covered again, what this would tell."""


class Salted(PrefixEngineError):
    """The members share no namespace just now."""


class NotHost(PrefixEngineError):
    """Only the host may do that."""


class Room:
    """Safe to use from many threads. Made by `Rooms.open`."""

    def __init__(
        self,
        system: str,
        engine: Engine,
        opened_by: str,
        clock: Callable[[], float],
        sweep: Callable[..., None],
    ) -> None:
        self.code = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))
        self.host_key = secrets.token_urlsafe(16)
        self.system = system
        self.opened_by = opened_by
        self.namespaces = {f"room-{self.code}-{secrets.token_hex(8)}"}
        (self._shared,) = self.namespaces
        self._clock = clock
        self._sweep = sweep
        self.opened_s = self._touched_s = clock()
        self._engine = engine
        self._keeper = Keeper(engine)
        self._asked: Counter[str] = Counter()
        self._last: dict[str, RoomRequest] = {}
        self._board = Board(self.code, system)
        self._salts = 0
        self._ended = False
        self._lock = RLock()

    def is_host(self, key: str) -> bool:
        """Whether it is the host's key; takes as long for a nearly right one as for any other."""
        return hmac.compare_digest(key.encode("utf-8", "replace"), self.host_key.encode())

    @property
    def ended(self) -> bool:
        """Ended by the host, or by itself: after idling, or at the end of its life."""
        with self._lock:
            now = self._clock()
            idle = now - self._touched_s > IDLE_S
            return self._ended or idle or now - self.opened_s > LIFE_S

    @property
    def board(self) -> Board:
        """The room as it is now."""
        with self._lock:
            return self._board

    def join(self) -> None:
        """Somebody has come. To look on takes nobody's place. Raises `NoRoom`."""
        with self._lock:
            self.check_open()
            if not self._board.joined:
                self._note(joined=True)

    def ask(
        self,
        visitor: str,
        question: str,
        prediction: str | None = None,
        watch: Watch | None = None,
    ) -> RoomRequest:
        """Prefill a question behind the room's system prompt; its KV stays for the next one.

        The watch is not told how many tokens there are to compute: that is the answer to what was
        predicted, and for the host to reveal. Raises `NoRoom`, `RoomLimit`, what `Engine.prefill`
        raises, `NoRoomNow` where other visitors leave no room for what this room has stored, and
        what the watch's `turn` and `tell` raise.
        """
        _check_length(question)
        watch = without_figures(watch or Watch())
        engine, prompt = self._engine, self.prompt(question)
        self._sweep()
        self._count(visitor)
        try:
            ids = engine.encode(prompt)
            with watch.turn():
                watch.tell(0.0, COMPUTING)
                # asked for now, not when the waiting began: the host may have salted meanwhile
                salted, namespace = self._namespace(visitor)
                self._keeper.restore(ids, namespace, watch.on_step)
                prefill = engine.prefill(prompt, namespace=namespace, on_step=watch.on_step)
                self._keeper.note(prompt, prefill, namespace)
            with self._lock:
                if not self.ended:
                    made = RoomRequest(
                        number=len(self._board.requests) + 1,
                        question=question,
                        prediction=prediction if prediction in PREDICTIONS else None,
                        tokens=len(prefill.ids),
                        reused=prefill.reused,
                        most=reusable(len(prefill.ids), len(prefill.ids), engine.cache.block_size),
                        ttft_s=prefill.ttft_s,
                        cpu_over_wall=prefill.timing.cpu_over_wall,
                        salted=salted,
                        stored=not prefill.insert.refused,
                        disturbed=prefill.timing.disturbed,
                    )
                    self._last[visitor] = made
                    self._note(requests=(*self._board.requests, made), askers=len(self._last))
                    return made
            # it ended while this was computed, and what has been stored since nobody else forgets
            self._sweep(namespace)
            raise NoRoom(ENDED)
        except BaseException:
            with self._lock:
                self._asked -= Counter([visitor])
            raise

    def last_of(self, visitor: str) -> RoomRequest | None:
        """The visitor's newest request on the board."""
        return self._last.get(visitor)

    def check_open(self) -> None:
        """Raise `NoRoom` if the room has ended."""
        if self.ended:
            raise NoRoom(ENDED)

    def give_way(self) -> None:
        """End because another room is wanted."""
        with self._lock:
            self._ended = True

    def tree(self, cache: RadixCache) -> tuple[Branch, ...]:
        """What the cache keeps of this room now, parents before their children."""
        with self._lock:
            namespaces = set(self.namespaces)
        nodes = cache.nodes(namespaces)
        ends = Counter[int]()
        parents = {node.parent_id for node in nodes}
        for node in reversed(nodes):
            ends[node.node_id] += node.node_id not in parents
            if node.parent_id is not None:
                ends[node.parent_id] += ends[node.node_id]
        return tuple(
            Branch(node.node_id, node.parent_id, len(node.ids), ends[node.node_id])
            for node in nodes
        )

    def listen(self) -> str:
        """The namespace that the members share, to listen there. Raises `NoRoom` if the room has
        ended, `Covered` where its figures are not revealed, `Salted` where they share none."""
        with self._lock:
            self.check_open()
            if not self._board.revealed:
                raise Covered(COVERED)
            if self._board.salted:
                raise Salted(SALTED)
            return self._shared

    def prompt(self, question: str) -> Prompt:
        """What is sent for a question: the room's system prompt, then the question."""
        return Message("system", self.system), Message("user", question)

    def show_prompts(self, key: str, shown: bool = True) -> None:
        """Let everybody read what was asked. Raises `NotHost`."""
        self._change(key, prompts_shown=shown)

    def reveal(self, key: str, revealed: bool = True) -> None:
        """Let everybody see the figures, and so how the predictions fared. Raises `NotHost`."""
        self._change(key, revealed=revealed)

    def salt(self, key: str, salted: bool = True) -> None:
        """Give each member a new namespace of their own, or the shared one back. Raises
        `NotHost`."""
        with self._lock:
            was_salted = self._board.salted
            self._change(key, salted=salted)
            self._salts += salted and not was_salted

    def end(self, key: str) -> None:
        """Close the room for everybody. Raises `NotHost`."""
        self._check_host(key)
        self.give_way()

    def _change(self, key: str, **changes: bool) -> None:
        self._check_host(key)
        with self._lock:
            self.check_open()
            self._note(**changes)

    def _note(self, **changes: Any) -> None:
        self._touched_s = self._clock()
        self._board = replace(self._board, version=self._board.version + 1, **changes)

    def _count(self, visitor: str) -> None:
        """One more request of this visitor, unless that is over a limit."""
        with self._lock:
            self.join()
            if self._asked[visitor] >= MAX_REQUESTS_A_MEMBER:
                raise RoomLimit(
                    f"You have asked {MAX_REQUESTS_A_MEMBER} times, the limit in one room. "
                    "Look on, or go on with prompts of your own on the page Two prompts."
                )
            if self._asked.total() >= MAX_REQUESTS:
                raise RoomLimit(
                    f"{MAX_REQUESTS} requests were made in this room, which is the limit. "
                    "Look on, or ask the host to open another room."
                )
            self._asked[visitor] += 1
            self._touched_s = self._clock()

    def _namespace(self, visitor: str) -> tuple[bool, str]:
        with self._lock:
            self.check_open()
            if not self._board.salted:
                return False, self._shared
            namespace = f"{self._shared}-{self._salts}-{visitor}"
            self.namespaces.add(namespace)
            return True, namespace

    def _check_host(self, key: str) -> None:
        if not self.is_host(key):
            raise NotHost("Only the host of this room may do that: use the host's link.")


def _check_length(question: str) -> None:
    if len(question) > MAX_QUESTION_CHARACTERS:
        raise RoomLimit(
            f"The question has {len(question):,} characters; the limit in a room is "
            f"{MAX_QUESTION_CHARACTERS:,}. Shorten it."
        )


class Rooms:
    """All rooms of a server. `forget` drops one namespace's KV; False if it is in use just now."""

    def __init__(
        self, forget: Callable[[str], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._forget = forget
        self._clock = clock
        self._rooms: dict[str, Room] = {}
        self._left: set[str] = set()
        self._lock = RLock()

    def open(self, system: str, engine: Engine, visitor: str) -> Room:
        """A new room behind this system prompt, the visitor's only one. Raises `RoomLimit`,
        `BadSystemPrompt`, `TextTooLong`, and `PromptTooLong` where no room is left for a question.
        """
        if not system.strip():
            raise BadSystemPrompt("The system prompt is empty: a room needs one that all share.")
        ids = engine.encode((Message("system", system),), "The system prompt")
        engine.check_length(len(ids) + QUESTION_TOKENS, "The system prompt with a question")
        with self._lock:
            self.sweep()
            if any(room.opened_by == visitor for room in self._rooms.values()):
                raise RoomLimit("You have a room open, and one is the limit. End it first.")
            if len(self._rooms) >= MAX_ROOMS:
                self._make_place()
            if len(self._rooms) >= MAX_ROOMS:
                raise RoomLimit(
                    f"{MAX_ROOMS} rooms are open, which is the limit of this server. "
                    "End one that is no longer used, or try again later."
                )
            room = Room(system, engine, visitor, self._clock, self.sweep)
            self._rooms[room.code] = room
            return room

    def find(self, code: str) -> Room:
        """The open room with that code, in capitals or not. Raises `NoRoom`."""
        with self._lock:
            self.sweep()
            room = self._rooms.get(code.strip().upper())
        if not code.strip():
            raise NoRoom("Type the code of the room: it stands on the projector.")
        if room is None:
            raise NoRoom(
                f"There is no room {code.strip()[:20]!r}: it has ended, or never was. "
                "Compare the code with the projector's, or ask your host for a new link."
            )
        return room

    def _make_place(self) -> None:
        """End the room that nobody has joined for longest, if there is one."""
        now = self._clock()
        waiting = [
            room
            for room in self._rooms.values()
            if not room.board.joined and now - room.opened_s > UNJOINED_S
        ]
        if waiting:
            min(waiting, key=lambda room: room.opened_s).give_way()
            self.sweep()

    def sweep(self, *namespaces: str) -> None:
        """Forget the rooms that have ended, their KV and that of these namespaces, which belonged
        to such a room; what is in use now, the next time."""
        with self._lock:
            self._left |= set(namespaces)
            for code in [code for code, room in self._rooms.items() if room.ended]:
                self._left |= self._rooms.pop(code).namespaces
            self._left = {name for name in self._left if not self._forget(name)}
