"""The prompts that the main page offers, each with what there is to see in it."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from prefix_engine.errors import PrefixEngineError
from prefix_engine.tokenizer import Message, Prompt

PRESETS = Path(__file__).parent.parent / "assets" / "presets.json"


class PresetError(PrefixEngineError):
    """The presets can't be used as they are; the message says which one and why."""


@dataclass(frozen=True)
class Preset:
    """Two prompts A and B, and in one or two sentences what they teach.

    A "shape" shows what prompts share in practice, a "trap" what looks shared and is not. In chat
    mode `a` and `b` are the user's turns, after the `system` prompt or, where it is None, after
    whatever the model's template puts in its place. A raw preset has no system prompt.
    """

    id: str
    group: Literal["shape", "trap"]
    title: str
    mode: Literal["raw", "chat"]
    system: str | None
    a: str
    b: str
    lesson: str

    def __post_init__(self) -> None:
        optional = () if self.system is None else ("system",)
        for name in ("id", "title", "a", "b", "lesson", *optional):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f'"{name}" has to be some text')
        for name, choices in (("group", ("shape", "trap")), ("mode", ("raw", "chat"))):
            if getattr(self, name) not in choices:
                raise ValueError(f'"{name}" has to be one of {", ".join(choices)}')
        if self.mode == "raw" and self.system is not None:
            raise ValueError('"system" needs the mode chat: a raw prompt has no system turn')


def load_presets(path: Path = PRESETS) -> tuple[Preset, ...]:
    """All presets, in the order of the file: {"presets": [{a key for each field of `Preset`}]}.

    Raises `PresetError` for a file that can't be read, or an entry that is not a preset.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PresetError(f"{path} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise PresetError(f"{path} is not JSON in UTF-8: {error}.") from error
    match content:
        case {"presets": [_, *_] as entries}:
            presets = tuple(
                _preset(entry, f"{path}: preset {n}") for n, entry in enumerate(entries, 1)
            )
        case _:
            raise PresetError(f'{path} has no list "presets" with at least one preset.')
    ids = [preset.id for preset in presets]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise PresetError(f"{path}: more than one preset has the id {', '.join(twice)}.")
    return presets


def preset_prompts(preset: Preset) -> tuple[Prompt, Prompt]:
    """A and B as the tokenizer takes them."""
    return _prompt(preset, preset.a), _prompt(preset, preset.b)


def _prompt(preset: Preset, text: str) -> Prompt:
    if preset.mode == "raw":
        return text
    system = () if preset.system is None else (Message("system", preset.system),)
    return (*system, Message("user", text))


def _preset(entry: Any, where: str) -> Preset:
    if not isinstance(entry, dict):
        raise PresetError(f"{where} is not an object.")
    expected = {field.name for field in fields(Preset)}
    wrong = [f"lacks {name}" for name in sorted(expected - set(entry))]
    wrong += [f"has the unknown key {name}" for name in sorted(set(entry) - expected)]
    if wrong:
        raise PresetError(f"{where} {', '.join(wrong)}.")
    try:
        return Preset(**entry)
    except ValueError as error:
        raise PresetError(f"{where} ({entry['id']!r}): {error}.") from error
