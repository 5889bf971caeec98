"""What the pages of the chapter share, in the order in which a page shows it.

Title, quotation, status; a prediction; the recorded result or the learner's own, measured here;
what it says about the quoted sentence; what it does not show; export.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import streamlit as st

from prefix_engine.lessons.held import PARTLY, Held
from prefix_engine.measured import Measured, from_json, stamp, to_json
from prefix_engine.watch import Watch
from ui.charts import Chart
from ui.progress import Progress
from ui.recorded import FOLDER
from ui.server import ready_engine, server
from ui.status import show_status
from ui.text import page_style, say
from ui.wording import made_on

if TYPE_CHECKING:
    from prefix_engine.engine import Engine

T = TypeVar("T")

MOST_KEPT = 8
"""Results of one name that a session keeps; going back to earlier inputs finds them again."""


@dataclass(frozen=True)
class Guess:
    """What the learner predicted; None where they asked to see it without guessing."""

    answer: str | None


@dataclass(frozen=True)
class Found(Generic[T]):
    """A result to show, and whether it is a recording."""

    measured: Measured[T]
    recorded: bool

    @property
    def result(self) -> T:
        return self.measured.result


def open_page(title: str, quotation: str | None, intro: str) -> Engine | None:
    """Show what a page begins with; returns the engine once it is loaded.

    `quotation` is a sentence of the chapter, word for word and without marks, None where the page
    tests none; `intro` is Markdown.
    """
    page_style()
    st.title(title)
    if quotation is not None:
        with st.container(key="quotation"):
            st.caption("The chapter says")
            say(f"“{quotation}”", key="quotation")
    st.markdown(intro)
    show_status(server())
    return ready_engine()


def ask_to_predict(key: str, question: str, options: Sequence[str]) -> Guess | None:
    """Ask before anything is revealed; None until the learner answered or asked to be shown."""
    made: Guess | None = st.session_state.get(_guess_key(key))
    if made is not None:
        return made
    # by callback: a click that is only looked at here is lost when the page runs again first
    take = partial(_take_guess, key)
    with st.container(border=True):
        question = f"**Predict.** {question}"
        st.radio(question, options, index=None, key=f"{key}-options", on_change=take)
        st.button("Show without guessing", key=f"{key}-skip", on_click=take)
    return None


def _take_guess(key: str) -> None:
    st.session_state[_guess_key(key)] = Guess(st.session_state[f"{key}-options"])


def show_guess(guess: Guess, right: str) -> None:
    """The learner's prediction beside what is so, in plain text."""
    if guess.answer is None:
        return
    verdict = "✓ right" if guess.answer == right else f"✗ it is: {right}"
    say(f"Your prediction: {guess.answer}: {verdict}.", key="guess")


def run_button(engine: Engine | None, label: str = "Run it here", key: str = "run") -> bool:
    """Whether the learner asks for a run of their own. The page's main one has a shortcut."""
    shortcut = "Alt+Enter" if key == "run" else None
    return st.button(label, key=key, type="primary", shortcut=shortcut, disabled=engine is None)


def measure(
    work: Callable[[Watch], T], engine: Engine, check: Callable[[], object] | None = None
) -> Measured[T]:
    """Do the work with progress, a Stop button and turns at the one compute slot, and stamp it.
    `check` as in `Progress`."""
    with closing(Progress(server().slot, check=check)) as progress:
        return stamp(engine, work(progress.watch()))


def keep(name: str, measured: Measured[Any]) -> None:
    """Make it the session's newest own result of that name; pages may look at each other's."""
    own = st.session_state.setdefault(f"kept-{name}", deque(maxlen=MOST_KEPT))
    own.appendleft(measured)


def kept(name: str) -> Measured[Any] | None:
    """The session's newest own result of that name, if there is one."""
    own: deque[Measured[Any]] = st.session_state.get(f"kept-{name}", deque())
    return own[0] if own else None


def kept_or_recorded(name: str, kind: type[T]) -> Found[T]:
    """The session's newest own result of that name, else the recording in assets/recorded."""
    own: Measured[T] | None = kept(name)
    return Found(own, False) if own else Found(_recording(name, cast(Any, kind)), True)


def find_kept(name: str, kind: type[T], fits: Callable[[T], bool]) -> Found[T] | None:
    """The session's newest own result of that name that `fits`, else the recording if it does."""
    own: deque[Measured[T]] = st.session_state.get(f"kept-{name}", deque())
    for measured in own:
        if fits(measured.result):
            return Found(measured, recorded=False)
    recorded = _recording(name, cast(Any, kind))
    return Found(recorded, recorded=True) if fits(recorded.result) else None


@cache
def _recording(name: str, kind: Any) -> Measured[Any]:
    return from_json((FOLDER / f"{name}.json").read_bytes(), kind)


def say_it_waits(found: Found[Any]) -> None:
    """In place of a result that opens with the learner's prediction."""
    made = "A recorded run waits" if found.recorded else "The run is done"
    st.info(f"{made}: predict above, or show it without guessing.")


def show_provenance(found: Found[Any]) -> None:
    """When, where and by which model it was measured."""
    made = found.measured
    st.caption(made_on(made.date, made.model, made.machine, found.recorded))


def draw_chart(chart: Chart, key: str) -> None:
    """A figure with its alt text."""
    st.plotly_chart(chart.figure, key=key, alt=chart.alt, config={"displayModeBar": False})


def show_chart(chart: Chart, key: str) -> None:
    """A figure with its alt text, and the same in a table."""
    draw_chart(chart, key)
    with st.expander("The same as a table"):
        st.table(chart.table, alt=chart.alt)


def show_outcome(held: Held, sentence: str, witness: str = "run") -> None:
    """Whether the witness bears the quoted sentence out."""
    verdict = {
        True: f"✓ The {witness} bears the sentence out.",
        PARTLY: f"◐ The {witness} bears the sentence out in part.",
        False: f"✗ The {witness} does not bear the sentence out.",
        None: f"? This {witness} can't tell.",
    }[held]
    with st.container(border=True):
        st.markdown(f"**{verdict}**")
        say(sentence, key="outcome")


def show_limits(limits: Sequence[str]) -> None:
    """What a learner must not conclude from the page."""
    with st.expander("What this does not show"):
        st.markdown("\n".join(f"- {limit}" for limit in limits))


def offer_json(found: Found[Any], name: str) -> None:
    """A download of exactly what is shown."""
    st.download_button(
        "Result as JSON", to_json(found.measured), f"{name}.json", "application/json", key="export"
    )


def _guess_key(key: str) -> str:
    return f"guess-{key}"
