from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest

from prefix_engine.turns import ComputeSlot, Waiting
from ui.progress import Progress, wait_in_words

SLOT: ComputeSlot


@pytest.fixture(autouse=True)
def slot(monkeypatch: pytest.MonkeyPatch) -> Iterator[ComputeSlot]:
    made = ComputeSlot(back_s=0)
    monkeypatch.setitem(globals(), "SLOT", made)
    yield made


def page() -> None:
    """Two turns at the slot, as a measurement takes them; what a turn sees is kept."""
    from contextlib import closing

    import streamlit as st

    from tests.ui import test_progress
    from ui.progress import Progress

    seen = st.session_state.setdefault("seen", [])
    if st.button("Run"):
        try:
            with closing(Progress(test_progress.SLOT)) as progress:
                watch = progress.watch()
                for part in (0.0, 0.5):
                    watch.tell(part, f"part {part}")
                    with watch.turn():
                        assert watch.on_step is not None
                        watch.on_step(3, 9)
                        seen.append(test_progress.SLOT._holder is not None)
                if st.session_state.get("fails"):
                    raise ValueError("it went wrong")
        except ValueError as error:
            st.error(str(error))


def opened() -> AppTest:
    return AppTest.from_function(page, default_timeout=60)


def pressed(app: AppTest) -> AppTest:
    return app.button[0].click().run()


def test_each_turn_holds_the_slot_and_gives_it_back(slot: ComputeSlot) -> None:
    app = pressed(opened().run())
    assert not app.exception
    assert app.session_state["seen"] == [True, True]
    assert slot._holder is None and slot._between is None


def test_each_chunk_asks_the_session_whether_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def visitor() -> str:
        nonlocal asked
        asked += 1
        if asked == 3:  # the visit, the first part, and now its first chunk
            raise ValueError("gone")
        return "somebody"

    monkeypatch.setattr("ui.progress.visitor", visitor)
    app = pressed(opened().run())
    assert [error.value for error in app.error] == ["gone"]
    assert app.session_state["seen"] == []


@pytest.mark.parametrize("fails", [False, True])
def test_when_it_is_over_neither_stop_nor_the_bar_stays(fails: bool) -> None:
    app = opened()
    app.session_state["fails"] = fails
    app = pressed(app.run())
    assert [button.label for button in app.button] == ["Run"]
    assert not app.get("progress")
    assert len(app.error) == fails


def told(monkeypatch: pytest.MonkeyPatch, *parts_and_times_s: tuple[float, float]) -> list[str]:
    """What the bar says when these parts are done at these times of the first turn and later."""
    said: list[str] = []
    now_s = 100.0
    monkeypatch.setattr("ui.progress.time", SimpleNamespace(monotonic=lambda: now_s, sleep=int))
    monkeypatch.setattr("ui.progress.visitor", lambda: "somebody")
    progress = Progress(ComputeSlot(back_s=0))
    monkeypatch.setattr(progress, "_update", said.append)
    watch = progress.watch()
    watch.tell(0.0, "begun")
    now_s += 60  # so long one waits for the first turn, and that says nothing of the run
    with watch.turn():
        pass
    for part, at_s in parts_and_times_s:
        now_s = 160.0 + at_s
        watch.tell(part, "done")
    return said


def test_the_time_left_is_told_as_soon_as_the_time_taken_says_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = told(monkeypatch, (0.05, 4.0), (0.25, 10.0), (0.5, 30.0), (1.0, 50.0))
    left = " · about 30 s left"
    assert said == ["begun", "done", f"done{left}", f"done{left}", "done"]


def test_what_is_checked_while_one_waits_may_end_the_waiting(
    slot: ComputeSlot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check() -> None:
        raise ValueError("it has ended")

    monkeypatch.setattr("ui.progress.visitor", lambda: "somebody")
    progress = Progress(slot, check=check)
    with (
        slot.visit("somebody else").turn(),
        pytest.raises(ValueError, match="it has ended"),
        progress.watch().turn(),
    ):
        pass
    assert not slot._waiting


def test_who_waits_is_told_the_place_and_the_session_is_asked_even_when_nothing_is_new(
    slot: ComputeSlot, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    asked = waited = 0

    def visitor() -> str:
        nonlocal asked
        asked += 1
        if asked == 4:  # the visit, and the third time while it waits
            raise ValueError("gone")
        return "somebody"

    def check() -> None:
        nonlocal waited
        waited += 1
        assert asked == 1 + waited

    monkeypatch.setattr("ui.progress.visitor", visitor)
    progress = Progress(slot, check=check)
    bar = SimpleNamespace(progress=lambda part, text: said.append(text))
    monkeypatch.setattr(progress, "_bar", bar)
    with (
        slot.visit("somebody else").turn(),
        pytest.raises(ValueError, match="gone"),
        progress.watch().turn(),
    ):
        pass
    assert said == ["Waiting for your turn: 1 before you"]
    assert not slot._waiting


def test_who_has_to_wait_computes_after_who_holds_the_slot(slot: ComputeSlot) -> None:
    app = opened().run()
    order: list[str] = []
    with slot.visit("somebody else").turn():
        waiting = threading.Thread(
            target=lambda: order.append(str(pressed(app).session_state["seen"]))
        )
        waiting.start()
        while not slot._waiting:
            assert waiting.is_alive()
            time.sleep(0.01)
        order.append("given back")
    waiting.join()
    assert order == ["given back", "[True, True]"]


@pytest.mark.parametrize(
    ("estimate_s", "words"),
    [
        (None, "2 before you"),
        (0.4, "2 before you, less than 1 s"),
        (7.6, "2 before you, about 8 s"),
    ],
)
def test_a_wait_is_told_with_its_estimate(estimate_s: float | None, words: str) -> None:
    assert wait_in_words(Waiting(2, estimate_s)) == f"Waiting for your turn: {words}"
