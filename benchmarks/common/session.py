"""One visitor of a Streamlit page, without a browser: the websocket and what comes through it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Button_pb2 import Button
from streamlit.proto.Common_pb2 import DoubleArray, StringArray
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol


class PageError(Exception):
    """The page showed an exception."""


@dataclass
class _Again:
    """A part of the page that wants to be run again and again, next at `due_s`."""

    every_s: float
    due_s: float


class Session:
    """What the page shows, by place, as it comes in; parts that ask for it are run again in time,
    while messages are taken."""

    def __init__(self, socket: ClientConnection, query: str, page_name: str) -> None:
        self._socket = socket
        self._query = query
        self._page_name = page_name
        self._page = ""
        self._elements: dict[tuple[int, ...], Element] = {}
        self._widgets: dict[str, WidgetState] = {}
        self._again: dict[str, _Again] = {}

    async def run(self, button: str | None = None) -> None:
        """Let the page run, as it does when it is opened, or because a button was pressed. Raises
        `LookupError` where no such button can be pressed."""
        message = self._message()
        if button is not None:
            message.rerun_script.widget_states.widgets.add(
                id=self._button_id(button), trigger_value=True
            )
        self._elements.clear()
        self._again.clear()
        await self._socket.send(message.SerializeToString())

    def fill(self, label: str, value: str) -> None:
        """Let a text area hold this text, or a radio this option, from the next run on. Raises
        `LookupError` where there is none of that label."""
        for one in self._elements.values():
            kind = one.WhichOneof("type")
            if kind in ("text_area", "radio") and getattr(one, kind).label == label:
                widget_id = getattr(one, kind).id
                self._widgets[widget_id] = WidgetState(id=widget_id, string_value=value)
                return
        raise LookupError(f"nothing to fill has the label {label!r}")

    @property
    def codes(self) -> list[str]:
        """What the page offers to be copied."""
        return [
            one.code.code_text
            for one in self._elements.values()
            if one.WhichOneof("type") == "code"
        ]

    async def until(self, met: Callable[[ForwardMsg], bool]) -> float:
        """Take messages until one meets the condition; the time (monotonic) when it came. Raises
        `PageError` for a page that shows an exception."""
        while True:
            message = ForwardMsg.FromString(await self._receive())
            self._note(message)
            if met(message):
                return time.monotonic()

    def shown(self, text: str) -> bool:
        """Whether that text stands anywhere on the page, as it came in since it was run last."""
        return any(text in str(one) for one in self._elements.values())

    @property
    def complaint(self) -> str:
        """The last plain text on the page: where something went wrong, what."""
        texts = [
            one.text.body for one in self._elements.values() if one.WhichOneof("type") == "text"
        ]
        return texts[-1] if texts else ""

    def can_press(self, button: str) -> bool:
        """Whether there is such a button and it is enabled."""
        return any(one.label == button and not one.disabled for one in self._buttons())

    def _message(self) -> BackMsg:
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_script_hash = self._query, self._page
        if not self._page:
            state.page_name = self._page_name
        state.widget_states.widgets.extend(self._widgets.values())
        return message

    async def _receive(self) -> bytes:
        while True:
            due_s = min((one.due_s for one in self._again.values()), default=None)
            try:
                async with asyncio.timeout_at(due_s):
                    return await self._socket.recv(decode=False)
            except TimeoutError:
                if due_s is None or due_s > asyncio.get_running_loop().time():
                    raise  # somebody else's
                await self._run_parts()

    async def _run_parts(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for fragment, one in self._again.items():
            if one.due_s <= now_s:
                message = self._message()
                message.rerun_script.fragment_id = fragment
                message.rerun_script.is_auto_rerun = True
                one.due_s = now_s + one.every_s
                await self._socket.send(message.SerializeToString())

    def _note(self, message: ForwardMsg) -> None:
        match message.WhichOneof("type"):
            case "navigation":
                self._page = message.navigation.page_script_hash
            case "auto_rerun":
                asked = message.auto_rerun
                self._again[asked.fragment_id] = _Again(
                    asked.interval, asyncio.get_running_loop().time() + asked.interval
                )
            case "delta" if message.delta.WhichOneof("type") == "new_element":
                element = message.delta.new_element
                if element.WhichOneof("type") == "exception":
                    raise PageError(f"{element.exception.type}: {element.exception.message}")
                self._elements[tuple(message.metadata.delta_path)] = element
                self._keep_value(element)

    def _keep_value(self, element: Element) -> None:
        """A browser sends back what stands in the widgets, whoever put it there."""
        state, is_set = _state_of(element)
        if state is not None and (is_set or state.id not in self._widgets):
            self._widgets[state.id] = state

    def _buttons(self) -> list[Button]:
        return [one.button for one in self._elements.values() if one.WhichOneof("type") == "button"]

    def _button_id(self, label: str) -> str:
        for one in self._buttons():
            if one.label == label and not one.disabled:
                return one.id
        raise LookupError(f"no button {label!r} can be pressed")


def _state_of(element: Element) -> tuple[WidgetState | None, bool]:
    """A widget's value as a browser sends it, and whether the page has set it."""
    match element.WhichOneof("type"):
        case "text_area":
            area = element.text_area
            text = area.value if area.set_value else area.default
            return WidgetState(id=area.id, string_value=text), area.set_value
        case "slider":
            slider = element.slider
            numbers = DoubleArray(data=slider.value if slider.set_value else slider.default)
            return WidgetState(id=slider.id, double_array_value=numbers), slider.set_value
        case "selectbox":
            box = element.selectbox
            chosen = box.raw_value if box.set_value else box.options[box.default]
            return WidgetState(id=box.id, string_value=chosen), box.set_value
        case "button_group":
            group = element.button_group
            named = [group.options[number].content for number in group.default]
            names = StringArray(data=group.raw_values if group.set_value else named)
            return WidgetState(id=group.id, string_array_value=names), group.set_value
    return None, False


@asynccontextmanager
async def visit(port: int, query: str = "", page_name: str = "") -> AsyncIterator[Session]:
    """A session at the server on that port, its page (the main one) not run yet."""
    address = f"ws://localhost:{port}/_stcore/stream"
    async with connect(
        address, subprotocols=[Subprotocol("streamlit")], max_size=None, open_timeout=60
    ) as socket:
        yield Session(socket, query, page_name)


def finished(message: ForwardMsg) -> bool:
    """Whether the page has run to its end."""
    return message.WhichOneof("type") == "script_finished" and message.script_finished in (
        ForwardMsg.FINISHED_SUCCESSFULLY,
        ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY,
    )


def painted(message: ForwardMsg) -> bool:
    """Whether this is something to see."""
    return message.WhichOneof("type") == "delta"


def shows(text: str) -> Callable[[ForwardMsg], bool]:
    """Whether an element has that text anywhere in it."""

    def met(message: ForwardMsg) -> bool:
        return message.WhichOneof("type") == "delta" and text in str(message.delta.new_element)

    return met
