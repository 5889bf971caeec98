"""A small simulated trace in Mooncake's format, to try the replay and as an example of the format.

Invented, not recorded: chats and agents behind three system prompts, questions about shared
documents, and requests that share nothing. `trace.py` tells what the fields
mean.
"""

from __future__ import annotations

import json
import random
from itertools import count, islice

from prefix_engine.lessons.trace import BLOCK_TOKENS

REQUESTS = 600
SYSTEM_BLOCKS = (2, 4, 7)
DOCUMENTS = 12
NEW_CHAT, ABOUT_A_DOCUMENT, ALONE = 0.12, 0.25, 0.1
"""Chances that a request begins a chat, asks about a document, or has nothing in common with any;
the others go on with a chat."""


def sample_trace(seed: int = 12) -> tuple[str, ...]:
    """The lines of the trace, the same ones for the same seed."""
    dice, unused = random.Random(seed), count()

    def new_blocks(number: int) -> list[int]:
        return list(islice(unused, number))

    systems = [new_blocks(number) for number in SYSTEM_BLOCKS]
    documents = [systems[-1] + new_blocks(dice.randint(6, 14)) for _ in range(DOCUMENTS)]
    chats = [list(systems[0])]
    lines, now_ms = [], 0
    for _ in range(REQUESTS):
        now_ms += round(dice.expovariate(1 / 900))
        kind = dice.random()
        if kind < NEW_CHAT:
            chats.append(dice.choice(systems) + new_blocks(1))
            whole = chats[-1]
        elif kind < NEW_CHAT + ABOUT_A_DOCUMENT:
            whole = dice.choice(documents)
        elif kind < NEW_CHAT + ABOUT_A_DOCUMENT + ALONE:
            whole = new_blocks(dice.randint(1, 8))
        else:
            # a chat that went on lately goes on most likely
            chat = chats[-1 - min(int(dice.expovariate(0.3)), len(chats) - 1)]
            chat += new_blocks(dice.randint(1, 3))
            whole = chat
        # a last block of its own, filled in part
        ids = [*whole, *new_blocks(1)]
        tokens = BLOCK_TOKENS * len(whole) + dice.randint(20, BLOCK_TOKENS - 1)
        request = {
            "timestamp": now_ms,
            "input_length": tokens,
            "output_length": dice.randint(20, 600),
            "hash_ids": ids,
        }
        lines.append(json.dumps(request))
    return tuple(lines)
