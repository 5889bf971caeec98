"""A room: one namespace behind one system prompt, limits, host's rights, and how it ends."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from prefix_engine.board import EVERYTHING, NOTHING, SYSTEM, Board, RoomRequest
from prefix_engine.cache import PrefixCache, RadixCache
from prefix_engine.engine import Engine
from prefix_engine.errors import CacheInUse, PrefixEngineError, PromptTooLong
from prefix_engine.room import (
    IDLE_S,
    LIFE_S,
    MAX_QUESTION_CHARACTERS,
    MAX_REQUESTS,
    MAX_REQUESTS_A_MEMBER,
    MAX_ROOMS,
    UNJOINED_S,
    Covered,
    NoRoom,
    NotHost,
    Room,
    RoomLimit,
    Rooms,
    Salted,
)
from prefix_engine.unloaded import UnloadedShares
from prefix_engine.watch import Watch
from tests.late import LateTurns
from tests.tiny_engine import tiny_cache, tiny_engine

SYSTEM_PROMPT = "Answer in one sentence."
somebody = (f"visitor {number}" for number in count())


class Clock:
    """Stands still until it is moved, to whatever time."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def engine() -> Engine:
    return tiny_engine()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rooms(engine: Engine, clock: Clock) -> Rooms:
    return Rooms(forget_in(engine.cache), clock)


@pytest.fixture
def room(rooms: Rooms, engine: Engine) -> Room:
    return rooms.open(SYSTEM_PROMPT, engine, next(somebody))


def forget_in(cache: PrefixCache) -> Callable[[str], bool]:
    def forget(namespace: str) -> bool:
        try:
            cache.clear(namespace)
        except CacheInUse:
            return False
        return True

    return forget


def test_the_first_request_finds_nothing_and_the_next_members_the_system_prompt(
    engine: Engine, room: Room
) -> None:
    first = room.ask("ann", "Why is the sky blue?")
    second = room.ask("ben", "How do magnets work?")
    again = room.ask("cid", "Why is the sky blue?")
    assert (first.reused, first.answer) == (0, NOTHING)
    assert second.reused >= len(SYSTEM_PROMPT) and second.answer == SYSTEM
    assert (again.reused, again.answer) == (again.tokens - 1, EVERYTHING)


def test_two_rooms_with_the_same_system_prompt_share_nothing(engine: Engine, rooms: Rooms) -> None:
    one, other = (
        rooms.open(SYSTEM_PROMPT, engine, next(somebody)),
        rooms.open(SYSTEM_PROMPT, engine, next(somebody)),
    )
    one.ask("ann", "Why?")
    assert other.ask("ann", "Why?").reused == 0
    assert one.ask("ben", "Why?").reused > 0


def test_a_salted_room_shares_with_oneself_only(engine: Engine, room: Room) -> None:
    room.ask("ann", "Why?")
    room.salt(room.host_key)
    assert room.ask("ben", "Why?").reused == 0
    assert room.ask("ben", "Why?").reused > 0
    room.salt(room.host_key, False)
    assert room.ask("cid", "Why?").reused > 0
    room.salt(room.host_key)
    assert room.ask("ben", "Why?").reused == 0, "a new salt finds nothing of an old one"
    room.salt(room.host_key)
    assert room.ask("ben", "Why?").reused > 0, "salted already, it changes nothing"


def test_the_board_counts_what_was_asked(engine: Engine, room: Room) -> None:
    room.join()
    asked = [
        room.ask("ann", "Why?", NOTHING),
        room.ask("ben", "How?", EVERYTHING),
        room.ask("ben", "When?", SYSTEM),
        room.ask("cid", "Where?", "no such choice"),
    ]
    board = room.board
    assert board.askers == 3
    assert [request.number for request in board.requests] == [1, 2, 3, 4]
    assert board.tokens_saved == sum(request.reused for request in asked) > 0
    assert board.hit_rate == board.tokens_saved / sum(request.tokens for request in asked)
    assert board.first in (None, asked[0])
    assert set(board.later_ttft_s) <= {request.ttft_s for request in asked[1:]}
    assert board.tally == {NOTHING: 1, SYSTEM: 1, EVERYTHING: 1}
    assert board.right == {NOTHING: 1, SYSTEM: 1, EVERYTHING: 0}


def test_the_rooms_tree_has_one_trunk_and_an_end_for_each_question(
    engine: Engine, rooms: Rooms, room: Room
) -> None:
    rooms.open(SYSTEM_PROMPT, engine, next(somebody)).ask("eve", "Elsewhere?")
    room.ask("ann", "Why?")
    room.ask("ben", "how?")
    assert isinstance(engine.cache, RadixCache)
    tree = room.tree(engine.cache)
    (trunk,) = [one for one in tree if one.parent is None]
    ends = [one for one in tree if one.parent is not None]
    assert (trunk.ends, trunk.tokens > len(SYSTEM_PROMPT)) == (2, True)
    assert [one.parent for one in ends] == [trunk.id, trunk.id]
    stored = [request.tokens for request in room.board.requests]
    assert sorted(trunk.tokens + one.tokens for one in ends) == sorted(stored)


def test_a_piece_that_only_one_prompt_goes_through_is_not_called_shared(
    engine: Engine, room: Room
) -> None:
    for question in ("Why?", "Why?", "How is it?", "How was it?"):
        room.ask("ann", question)
    assert isinstance(engine.cache, RadixCache)
    tree = room.tree(engine.cache)
    assert len(tree) == 6, "the trunk, How and two ends, Why in two: its last token came again"
    assert sorted(one.ends for one in tree) == [1, 1, 1, 1, 2, 3]


def test_what_strangers_drive_out_is_back_before_the_next_request() -> None:
    engine = tiny_engine(tiny_cache(budget_tokens=200))
    room = Rooms(forget_in(engine.cache)).open(SYSTEM_PROMPT, engine, "host")
    first = room.ask("ann", "Why?")
    engine.prefill("x" * 190, namespace="a stranger's")
    assert isinstance(engine.cache, RadixCache) and room.tree(engine.cache) == ()
    again = room.ask("ben", "Why?", EVERYTHING)
    assert (first.reused, again.reused, again.answer) == (0, again.tokens - 1, EVERYTHING)


def test_what_the_rooms_own_requests_drive_out_stays_out() -> None:
    engine = tiny_engine(tiny_cache(budget_tokens=100))
    room = Rooms(forget_in(engine.cache)).open(SYSTEM_PROMPT, engine, "host")
    room.ask("ann", "w" * 30)
    room.ask("ann", "y" * 30)
    assert room.ask("ben", "w" * 30).answer == SYSTEM


def test_with_blocks_all_that_can_be_reused_is_everything() -> None:
    engine = tiny_engine(tiny_cache(block_size=16))
    room = Rooms(forget_in(engine.cache)).open(SYSTEM_PROMPT, engine, "host")
    room.ask("ann", "Why is the sky blue today?")
    again = room.ask("ben", "Why is the sky blue today?")
    assert again.reused < again.tokens - 1 and again.answer == EVERYTHING
    assert room.ask("ben", "How?").answer == SYSTEM


def test_who_has_asked_finds_it_again_whatever_became_of_the_page(room: Room) -> None:
    assert room.last_of("ann") is None
    room.ask("ann", "Why?")
    second = room.ask("ann", "How?")
    room.ask("ben", "When?")
    assert room.last_of("ann") == second


def test_who_only_waits_or_was_refused_is_not_counted_as_having_asked(room: Room) -> None:
    counted: list[int] = []

    @contextmanager
    def turn() -> Iterator[None]:
        room.ask("ben", "While ann waits?")
        counted.append(room.board.askers)
        yield

    room.ask("ann", "Why?", watch=Watch(turn))
    too_long = "w" * (MAX_QUESTION_CHARACTERS + 1)
    with pytest.raises(RoomLimit, match=r"1,001 characters; the limit in a room is 1,000"):
        room.ask("cid", too_long)
    assert [*counted, room.board.askers] == [1, 2]


def test_listening_is_for_what_is_revealed_and_shared(engine: Engine, room: Room) -> None:
    with pytest.raises(Covered, match="as soon as the host has revealed"):
        room.listen()
    room.reveal(room.host_key)
    room.ask("ann", "Why?")
    assert engine.prefill(room.prompt("Why?"), namespace=room.listen()).reused > 0
    room.salt(room.host_key)
    with pytest.raises(Salted, match="nothing of the others to listen to"):
        room.listen()
    room.salt(room.host_key, False)
    assert room.listen() in room.namespaces
    room.end(room.host_key)
    with pytest.raises(NoRoom):
        room.listen()


def test_who_has_a_room_ends_nobody_elses_by_asking_for_another(
    engine: Engine, rooms: Rooms, clock: Clock
) -> None:
    opened = [rooms.open(SYSTEM_PROMPT, engine, next(somebody)) for _ in range(MAX_ROOMS)]
    clock.now_s += UNJOINED_S + 1
    with pytest.raises(RoomLimit, match="You have a room open"):
        rooms.open(SYSTEM_PROMPT, engine, opened[-1].opened_by)
    assert not any(room.ended for room in opened)


def test_an_empty_board_has_no_rate_and_no_times(room: Room) -> None:
    assert (room.board.hit_rate, room.board.first, room.board.later_median_s) == (None,) * 3


def test_only_the_host_may_change_a_room(room: Room) -> None:
    for act in (room.show_prompts, room.reveal, room.salt, room.end):
        for key in ("", room.code, room.host_key[:-1], "\ud800"):
            with pytest.raises(NotHost):
                act(key)
    assert not (room.board.prompts_shown or room.board.revealed or room.board.salted or room.ended)
    room.show_prompts(room.host_key)
    room.reveal(room.host_key)
    assert room.board.prompts_shown and room.board.revealed
    room.end(room.host_key)
    assert room.ended


def test_an_ended_room_lets_nobody_in_and_its_kv_is_forgotten(
    engine: Engine, rooms: Rooms, room: Room
) -> None:
    room.ask("ann", "Why?")
    room.salt(room.host_key)
    room.ask("ben", "Why?")
    room.end(room.host_key)
    with pytest.raises(NoRoom):
        room.ask("ann", "Why?")
    with pytest.raises(NoRoom):
        room.join()
    with pytest.raises(NoRoom):
        rooms.find(room.code)
    assert engine.cache.stats.stored_tokens == 0


def test_kv_in_use_when_a_room_ends_is_forgotten_later(
    engine: Engine, rooms: Rooms, room: Room
) -> None:
    asked = room.ask("ann", "Why?")
    (namespace,) = room.namespaces
    ids = engine.tokenizer.encode(room.prompt("Why?"))
    with engine.cache.pin(ids, namespace):
        room.end(room.host_key)
        rooms.sweep()
        assert engine.cache.stats.stored_tokens == asked.tokens
    rooms.sweep()
    assert engine.cache.stats.stored_tokens == 0


@pytest.mark.parametrize("prepare", ["open", "find", "ask"])
def test_the_kv_of_a_room_that_idled_out_goes_when_anybody_does_anything(
    engine: Engine, rooms: Rooms, room: Room, clock: Clock, prepare: str
) -> None:
    room.ask("ann", "Why?")
    clock.now_s += IDLE_S
    other = rooms.open(SYSTEM_PROMPT, engine, "another host")
    asked = other.ask("ben", "Why?")
    clock.now_s += 1
    assert room.ended and engine.cache.stats.stored_tokens == 2 * asked.tokens
    if prepare == "open":
        rooms.open(SYSTEM_PROMPT, engine, "a third")
    elif prepare == "find":
        rooms.find(other.code)
    else:
        other.ask("cid", "Why?")
    assert engine.cache.stats.stored_tokens == asked.tokens


def test_a_room_that_ends_while_its_request_computes_keeps_nothing_of_it(
    engine: Engine, rooms: Rooms, room: Room
) -> None:
    def end(part: float, what: str) -> None:
        room.end(room.host_key)
        rooms.sweep()

    with pytest.raises(NoRoom):
        room.ask("ann", "Why?", watch=Watch(tell=end))
    assert room.board.requests == ()
    assert engine.cache.stats.stored_tokens == 0


def test_the_time_of_waiting_is_in_no_time_on_the_board(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = LateTurns(monkeypatch)
    assert 0 < room.ask("ann", "Why?", watch=Watch(turns.turn)).ttft_s < 1


@pytest.mark.parametrize(
    ("passes_s", "gives_way"),
    [(UNJOINED_S, False), (UNJOINED_S + 1, True), (2 * UNJOINED_S, True)],
)
def test_where_a_room_is_wanted_the_one_that_nobody_joined_for_longest_gives_way(
    engine: Engine, rooms: Rooms, clock: Clock, passes_s: float, gives_way: bool
) -> None:
    opened = []
    for number in range(MAX_ROOMS):
        opened.append(rooms.open(SYSTEM_PROMPT, engine, next(somebody)))
        clock.now_s += number == 1  # the first two are the oldest, and the first is joined
    opened[0].join()
    clock.now_s += passes_s - 1
    assert not any(room.ended for room in opened)
    if gives_way:
        rooms.open(SYSTEM_PROMPT, engine, next(somebody))
    else:
        with pytest.raises(RoomLimit):
            rooms.open(SYSTEM_PROMPT, engine, next(somebody))
    assert [room.ended for room in opened] == [False, gives_way, *[False] * (MAX_ROOMS - 2)]


@pytest.mark.parametrize(("passes_s", "ended"), [(IDLE_S, False), (IDLE_S + 1, True)])
def test_a_room_ends_when_nothing_happens_in_it(
    engine: Engine, room: Room, clock: Clock, passes_s: float, ended: bool
) -> None:
    room.join()
    clock.now_s += IDLE_S
    room.ask("ann", "Why?")
    clock.now_s += passes_s
    assert room.ended is ended


def test_a_room_ends_in_the_end_however_busy_it_is(
    engine: Engine, room: Room, clock: Clock
) -> None:
    room.join()
    for _ in range(int(LIFE_S / IDLE_S)):
        clock.now_s += IDLE_S
        room.reveal(room.host_key)
    clock.now_s += IDLE_S
    assert room.ended


def test_a_code_is_found_however_it_is_typed(rooms: Rooms, room: Room) -> None:
    assert rooms.find(f" {room.code.lower()} ") is room
    for wrong in ("", "AAAAAA", "<script>", "x" * 100_000):
        with pytest.raises(NoRoom) as refusal:
            rooms.find(wrong)
        assert len(str(refusal.value)) < 160


@pytest.mark.parametrize("system", ["", " \n", "long " * 115, "\ud800", "long " * 10_000])
def test_a_room_needs_a_system_prompt_that_leaves_room_for_a_question(
    engine: Engine, rooms: Rooms, system: str
) -> None:
    with pytest.raises(PrefixEngineError):
        rooms.open(system, engine, "host")
    rooms.open("long " * 90, engine, "host")


def test_only_so_many_rooms_at_once(engine: Engine, rooms: Rooms) -> None:
    opened = [rooms.open(SYSTEM_PROMPT, engine, next(somebody)) for _ in range(MAX_ROOMS)]
    with pytest.raises(RoomLimit, match=rf"^{MAX_ROOMS} rooms are open, .* or try again later\.$"):
        rooms.open(SYSTEM_PROMPT, engine, next(somebody))
    opened[0].end(opened[0].host_key)
    rooms.open(SYSTEM_PROMPT, engine, next(somebody))


def test_one_room_a_visitor(engine: Engine, rooms: Rooms) -> None:
    one = rooms.open(SYSTEM_PROMPT, engine, "ann")
    with pytest.raises(RoomLimit, match="End it first"):
        rooms.open(SYSTEM_PROMPT, engine, "ann")
    one.end(one.host_key)
    rooms.open(SYSTEM_PROMPT, engine, "ann")


def test_only_so_many_requests_a_room_whoever_asks(
    engine: Engine, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_REQUESTS > MAX_REQUESTS_A_MEMBER
    monkeypatch.setattr("prefix_engine.room.MAX_REQUESTS", 3)
    for _ in range(3):
        room.ask(next(somebody), "Why?")
    with pytest.raises(RoomLimit, match=r"^3 requests .* ask the host to open another room\.$"):
        room.ask(next(somebody), "Why?")


def test_only_so_many_requests_a_member(engine: Engine, room: Room) -> None:
    for number in range(MAX_REQUESTS_A_MEMBER):
        room.ask("ann", f"{number}?")
    told = rf"^You have asked {MAX_REQUESTS_A_MEMBER} times, .* on the page Two prompts\.$"
    with pytest.raises(RoomLimit, match=told):
        room.ask("ann", "more?")
    assert room.ask("ben", "0?").reused > 0


def test_a_refused_or_stopped_request_counts_for_nothing(engine: Engine, room: Room) -> None:
    def stop(part: float, what: str) -> None:
        raise InterruptedError

    for _ in range(MAX_REQUESTS_A_MEMBER + 1):
        with pytest.raises(PromptTooLong):
            room.ask("ann", "long " * 200)
        with pytest.raises(InterruptedError):
            room.ask("ann", "Why?", watch=Watch(tell=stop))
    assert (room.board.requests, room.board.askers) == ((), 0)
    assert room.ask("ann", "Why?").reused == 0
    engine.cache.check_integrity()


def test_a_request_of_a_full_cache_is_served_and_says_that_nothing_was_stored() -> None:
    engine = tiny_engine(tiny_cache(budget_tokens=4))
    room = Rooms(forget_in(engine.cache)).open(SYSTEM_PROMPT, engine, "host")
    assert not room.ask("ann", "Why?").stored
    assert room.board.not_stored == 1


def test_members_may_ask_all_at_once(engine: Engine, room: Room) -> None:
    threads = [
        threading.Thread(target=room.ask, args=(f"visitor {i}", f"Question {i}?"))
        for i in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    board = room.board
    assert sorted(request.number for request in board.requests) == list(range(1, 13))
    assert {request.question for request in board.requests} == {f"Question {i}?" for i in range(12)}
    engine.cache.check_integrity()


def test_a_request_is_computed_in_its_turn_and_salted_as_the_room_then_is(
    engine: Engine, room: Room
) -> None:
    heard: list[str] = []

    @contextmanager
    def turn() -> Iterator[None]:
        room.salt(room.host_key)  # while the request waits
        heard.append("turn begins")
        yield
        heard.append("turn ends")

    room.ask("ann", "Why?")
    watch = Watch(turn, tell=lambda part, what: heard.append("computes"))
    asked = room.ask("ben", "Why?", watch=watch)
    assert (asked.salted, asked.reused) == (True, 0)
    assert (heard[0], heard[-1], set(heard[1:-1])) == ("turn begins", "turn ends", {"computes"})


def test_who_watches_a_request_is_told_no_figures(engine: Engine, room: Room) -> None:
    def on_step(done: int, total: int) -> None:
        pytest.fail("a watch that is told how far it is knows what was reused")

    told: list[tuple[float, str]] = []
    watch = Watch(on_step=on_step, tell=lambda part, what: told.append((part, what)))
    room.ask("ann", "Why?", watch=watch)
    cold = set(told)
    told.clear()
    room.ask("ben", "Why?", watch=watch)
    assert set(told) == cold and not any(char.isdigit() for _, what in cold for char in what)


def test_every_change_has_a_version_of_its_own(engine: Engine, room: Room) -> None:
    versions = [room.board.version]
    for change in (
        room.join,
        lambda: room.ask("ann", "Why?"),
        lambda: room.reveal(room.host_key),
        lambda: room.show_prompts(room.host_key),
        lambda: room.salt(room.host_key),
    ):
        change()
        versions.append(room.board.version)
    assert len(set(versions)) == 6
    room.join()
    assert room.board.version == versions[-1]


def test_keys_of_hosts_cannot_be_guessed(engine: Engine, rooms: Rooms) -> None:
    keys = [rooms.open(SYSTEM_PROMPT, engine, next(somebody)).host_key for _ in range(4)]
    randomness = [base64.urlsafe_b64decode(key + "==") for key in keys]
    assert all(len(one) >= 16 for one in randomness)
    # each byte of two random keys is equal once in 256 times
    assert all(sum(map(int.__eq__, a, b)) < 6 for a in randomness for b in randomness if a != b)
    assert len(set(keys)) == 4


def made(
    number: int, reused: int, ttft_s: float, share: float = 1.5, disturbed: bool = False
) -> RoomRequest:
    """A request that got this share of the processors."""
    return RoomRequest(number, "Why?", None, 100, reused, 99, ttft_s, share, False, True, disturbed)


def test_disturbed_requests_are_left_out_of_first_and_later() -> None:
    board = Board(
        "ABCDEF",
        "",
        requests=(
            made(1, 0, 0.900, disturbed=True),
            made(2, 90, 0.010),
            made(3, 90, 0.700, disturbed=True),
            made(4, 0, 0.100),
            made(5, 90, 0.012),
        ),
    )
    assert board.disturbed == (board.requests[0], board.requests[2])
    assert board.first == board.requests[3]
    assert board.later_ttft_s == (0.010, 0.012)


def test_a_request_is_marked_that_got_less_than_the_unloaded_machine_gives(
    engine: Engine, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    for share, disturbed in ((0.0, False), (1e9, True)):
        monkeypatch.setattr(UnloadedShares, "share", lambda *_, got=share: got)
        assert room.ask("ann", "Why?").disturbed is disturbed


@pytest.mark.parametrize(("share", "busy"), [(0.9, True), (1.5, False)])
def test_a_room_whose_cold_requests_all_got_little_was_busy_throughout(
    share: float, busy: bool
) -> None:
    # what a hit got says nothing of the cold ones
    requests = made(1, 0, 0.9, 0.8), made(2, 0, 0.9, share), made(3, 90, 0.01, 1.5)
    assert Board("", "", requests=requests).was_busy(threads=2) is busy
