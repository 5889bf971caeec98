"""Prompts of real text and of log-uniform length, for benchmarks that take many."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.common.documents import Document
from prefix_engine.tokenizer import Tokenizer

SHORTEST = 32
LONGEST_TAIL = 64


@dataclass(frozen=True)
class Case:
    """One prompt B, and the texts that give it its neighbours."""

    number: int
    document: Document
    start: int
    tokens: int
    tail: str


class Texts:
    """Stretches of documents, cut between tokens."""

    def __init__(self, tokenizer: Tokenizer, documents: Sequence[Document]) -> None:
        self._tokenizer = tokenizer
        self.documents = documents
        self._starts: dict[str, list[int]] = {}

    def tokens(self, document: Document) -> int:
        return len(self._bounds(document))

    def cut(self, document: Document, start: int, tokens: int) -> str:
        """The text of that many tokens, as tokenized in the whole document."""
        bounds = [*self._bounds(document), len(document.text)]
        return document.text[bounds[start] : bounds[min(start + tokens, len(bounds) - 1)]]

    def _bounds(self, document: Document) -> list[int]:
        if document.name not in self._starts:
            tokens = self._tokenizer.tokenize(document.text).tokens
            self._starts[document.name] = [token.character for token in tokens]
        return self._starts[document.name]


def make_cases(texts: Texts, count: int, longest: int, seed: int) -> list[Case]:
    """Lengths are spread evenly over a logarithmic scale; documents are taken in turn."""
    dice = random.Random(seed)
    order = list(texts.documents)
    dice.shuffle(order)
    parts = [(i + dice.random()) / count for i in range(count)]
    dice.shuffle(parts)
    cases = []
    for number, part in enumerate(parts):
        wanted = round(SHORTEST * (longest / SHORTEST) ** part)
        document = next((one for one in order if texts.tokens(one) > wanted), order[-1])
        order.remove(document)
        order.append(document)
        tokens = min(wanted, texts.tokens(document) - 1)
        start = dice.randrange(texts.tokens(document) - tokens)
        other = dice.choice([one for one in order if one is not document])
        tail = texts.cut(other, dice.randrange(LONGEST_TAIL), dice.randint(1, LONGEST_TAIL))
        cases.append(Case(number, document, start, tokens, tail))
    return cases
