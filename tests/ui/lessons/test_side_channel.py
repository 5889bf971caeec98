from __future__ import annotations

from prefix_engine.tokenizer import VocabularyTokenizer
from ui.lessons.side_channel import load_shop


def test_the_questions_are_equally_long_so_that_only_reuse_tells_them_apart(
    tokenizer: VocabularyTokenizer,
) -> None:
    ids = [tokenizer.encode(question) for question in load_shop().questions]
    assert len({len(question) for question in ids}) == 1
    assert len({question[0] for question in ids}) == len(ids), "two begin with the same token"
