"""A model's vocabulary as its file has it: byte-level strings, special ids, chat template."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Vocabulary:
    """What a tokenizer needs from a model file.

    `tokens[id]` is the token in GPT-2's printable byte alphabet (special tokens as they are);
    `special_ids` are control tokens, never produced from a person's text; `stop_ids` end a reply.
    """

    tokens: tuple[str, ...]
    special_ids: tuple[int, ...]
    stop_ids: tuple[int, ...]
    chat_template: str | None

    def write(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), ensure_ascii=False), encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Vocabulary:
        """Read what `write` wrote."""
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Vocabulary(
            tokens=tuple(fields["tokens"]),
            special_ids=tuple(fields["special_ids"]),
            stop_ids=tuple(fields["stop_ids"]),
            chat_template=fields["chat_template"],
        )
