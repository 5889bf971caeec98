"""What breaks in the middle of something loses nothing, and the next visitor is served.

Faults of fetching, converting and keeping the weights are in tests/model/test_weights.py; stopping
a prefill from its callback, and a cache without room, are in tests/test_engine.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from inspect import signature
from threading import Event, Thread

import pytest
import torch
from streamlit.runtime.scriptrunner_utils.exceptions import RerunException, StopException
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData

from prefix_engine.cache import Segment
from prefix_engine.engine import Engine
from prefix_engine.model.base import OnChunk, Slab
from prefix_engine.model.llama import LlamaModel
from prefix_engine.room import Rooms
from prefix_engine.run import RunWatch, run
from prefix_engine.speed import Arm
from prefix_engine.stopwatch import Stopwatch
from prefix_engine.trials import experiment
from prefix_engine.turns import ComputeSlot
from tests.tiny_engine import tiny_engine, tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")

SHARED = "You are a helpful assistant. "
A, B = SHARED + "Weather in SF?", SHARED + "Time in NYC?"
LONG = SHARED + "x" * 500
"""Takes three chunks."""
PATIENCE_S = 60.0


class Broken(Exception):
    """Stands for whatever a library raises: memory that ran out, a bad instruction."""


class Fragile(LlamaModel):
    """Breaks in a given forward pass, and leaves a slab full of wrong keys and values."""

    breaks_at: int | None = None
    passes = 0

    def forward(
        self, ids: Sequence[int], slab: Slab, start: int, on_chunk: OnChunk | None = None
    ) -> torch.Tensor:
        self.passes += 1
        logits = super().forward(ids, slab, start, on_chunk)
        if self.passes == self.breaks_at:
            slab.kv.normal_(std=100.0)
            raise Broken
        return logits


def fragile(breaks_at: int | None = None) -> tuple[Engine, Fragile]:
    model = tiny_model(Fragile)
    assert isinstance(model, Fragile)
    model.breaks_at = breaks_at
    return tiny_engine(model=model), model


def assert_as_new(engine: Engine) -> None:
    """Nothing is left of what broke, and a run comes out as on an engine that never broke."""
    stats = engine.cache.stats
    assert (stats.namespaces, stats.pinned_tokens, stats.stored_tokens) == (0, 0, 0)
    assert_serves(engine)


def assert_serves(engine: Engine) -> None:
    engine.cache.check_integrity()
    served, fresh = run(engine, A, B, 1, 3), run(tiny_engine(), A, B, 1, 3)
    assert [t.reused for t in served.trials if t.arm is Arm.HIT] == [len(SHARED)] * 2
    assert [reply.ids for reply in served.replies] == [reply.ids for reply in fresh.replies]
    assert served.exact is not None and served.exact.same_first_token


# ---- the forward pass


@pytest.mark.parametrize("breaks_at", [1, 2, 5, 8, 9, 10, 12])
def test_a_run_whose_forward_pass_breaks_anywhere_leaves_nothing(breaks_at: int) -> None:
    """Of A, of a trial, of the proof, of a reply's prompt and of a reply's token."""
    engine, _ = fragile(breaks_at)
    with pytest.raises(Broken):
        run(engine, A, B, 1, reply_tokens=3)
    assert_as_new(engine)


def test_a_broken_pass_stores_nothing_and_keeps_what_was_stored() -> None:
    engine, model = fragile(breaks_at=2)
    engine.prefill(SHARED)
    with pytest.raises(Broken):
        engine.prefill(SHARED + "more")
    assert engine.cache.stats.stored_tokens == len(SHARED)
    again = engine.prefill(SHARED + "more")
    assert (model.passes, again.reused) == (3, len(SHARED))
    torch.testing.assert_close(again.logits, tiny_engine().prefill(SHARED + "more").logits)


def test_a_reply_that_breaks_off_stores_what_has_kv() -> None:
    engine, model = fragile(breaks_at=3)
    said = []
    with pytest.raises(Broken):
        for step in engine.generate(SHARED, max_new_tokens=5):
            said.append(step.id)
    assert len(said) == 2
    assert engine.cache.stats.pinned_tokens == 0
    engine.cache.check_integrity()
    model.breaks_at = None
    assert [step.id for step in engine.generate(SHARED, max_new_tokens=5)][:2] == said


# ---- storing


def test_memory_that_runs_out_while_storing_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny_engine()

    def no_memory(slab: Slab, start: int, end: int) -> Segment:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr("prefix_engine.engine.copy_out", no_memory)
        with pytest.raises(MemoryError):
            run(engine, A, B, 1)
    assert_as_new(engine)


# ---- a visitor who vanishes


@pytest.mark.parametrize("step", range(1, 9))
@pytest.mark.parametrize("kind", [StopException, lambda: RerunException(RerunData())])
def test_a_visitor_who_vanishes_mid_prefill_frees_the_slot_and_leaves_nothing(
    step: int, kind: Callable[[], BaseException]
) -> None:
    """Streamlit's exceptions are no `Exception`s: what catches only those would let them slip."""
    engine, slot, heard = tiny_engine(), ComputeSlot(), list[int]()
    gone = kind()

    def vanish(done: int, of: int) -> None:
        heard.append(done)
        if len(heard) == step:
            raise gone

    with pytest.raises(type(gone)), closing(slot.visit("gone")) as visit:
        run(engine, LONG + "a", LONG + "b", 1, watch=RunWatch(visit.turn, vanish))
    assert len(heard) == step
    with closing(slot.visit("next")) as visit, visit.turn():
        assert_as_new(engine)


def test_a_visitor_who_vanishes_while_waiting_computes_nothing() -> None:
    engine, slot, queries = tiny_engine(), ComputeSlot(), list[int]()

    def vanish(waiting: object) -> None:
        raise StopException

    with closing(slot.visit("holder")) as holder, holder.turn():
        with pytest.raises(StopException), closing(slot.visit("gone", vanish)) as visit:
            run(engine, A, B, 1, watch=RunWatch(visit.turn))
        queries.append(engine.cache.stats.query_tokens)
    assert queries == [0]
    assert_as_new(engine)


def test_a_visitor_who_vanishes_hands_the_slot_to_who_waits_within_a_chunk() -> None:
    engine, slot = tiny_engine(), ComputeSlot()
    waits, done = Event(), Event()

    def wait_and_run() -> None:
        with closing(slot.visit("next", lambda _: waits.set())) as visit:
            run(engine, A, B, 1, watch=RunWatch(visit.turn))
        done.set()

    def vanish_as_soon_as_somebody_waits(tokens: int, of: int) -> None:
        if tokens == 0:
            Thread(target=wait_and_run, daemon=True).start()
            assert waits.wait(PATIENCE_S)
        else:
            raise StopException

    with pytest.raises(StopException), closing(slot.visit("gone")) as visit:
        watch = RunWatch(visit.turn, vanish_as_soon_as_somebody_waits)
        run(engine, LONG, B, 1, watch=watch)
    assert done.wait(PATIENCE_S)
    assert_as_new(engine)


# ---- clocks


def test_the_clock_of_the_day_takes_no_part_in_a_run_but_its_date(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may jump: by a time server, a daylight rule, a laptop that slept."""
    assert signature(ComputeSlot).parameters["clock"].default is time.monotonic
    assert signature(Rooms).parameters["clock"].default is time.monotonic
    assert signature(Stopwatch).parameters["wall"].default is time.perf_counter

    def no_clock() -> float:
        raise AssertionError("the clock of the day was read")

    monkeypatch.setattr("time.time", no_clock)
    monkeypatch.setattr("time.time_ns", no_clock)
    slot = ComputeSlot()
    with closing(slot.visit("a")) as visit:
        found = run(tiny_engine(), A, B, 1, watch=RunWatch(visit.turn))
    assert all(trial.ttft_s > 0 for trial in found.trials)


def test_a_pause_of_the_machine_shows_as_a_disturbed_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A suspended machine lets wall time pass without processor time. Here a forward pass takes one
    second of both, and the sixth, of the second trial of round 1, ten of the wall's."""
    engine, model = fragile()

    def wall_s() -> float:
        return model.passes + (9.0 if model.passes >= 6 else 0.0)

    monkeypatch.setattr(
        "prefix_engine.engine.Stopwatch", lambda: Stopwatch(wall_s, lambda: model.passes)
    )
    trials = run(engine, A, B, 5).trials
    assert [trial.disturbed for trial in trials] == [number == 4 for number in range(18)]


# ---- two at once


def test_two_engines_in_one_process_share_nothing() -> None:
    one, other = tiny_engine(), tiny_engine()
    with experiment(one, A, B) as first, experiment(other, A, B) as second:
        for ready in (first, second):
            assert ready.run(Arm.COLD).reused == 0
            assert ready.run(Arm.HIT).reused == len(SHARED)
    one.prefill(A)
    assert other.prefill(A).reused == 0
