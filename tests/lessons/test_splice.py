"""The wrong splice: which KV is taken, what comes of it, and that it is never stored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from prefix_engine.compare import compare
from prefix_engine.engine import Engine
from prefix_engine.errors import PromptTooLong
from prefix_engine.lessons import why_it_stops
from prefix_engine.lessons.splice import REPLY_TOKENS, Splice, SpliceSearch, pick_two, splice_range
from prefix_engine.lessons.why_it_stops import WhyItStopsRuns, find_out
from prefix_engine.measured import from_json
from prefix_engine.model.base import KVShape, Model, OnChunk, Slab
from prefix_engine.model.places import SMOLLM2
from prefix_engine.tokenizer import VocabularyTokenizer
from prefix_engine.watch import Watch
from tests.tiny_engine import INFO, VOCABULARY_SIZE, RowByRow, tiny_engine, tiny_model
from ui.lessons.pair import preset_pairs

pytestmark = pytest.mark.usefixtures("one_thread")

ASSETS = Path(__file__).parents[2] / "assets"
A, B = "one SF two three", "one NY two three"


class Tracer(Model):
    """Leaves the prompt's first id as KV, and likes the token best whose bits name the positions
    that hold something else than the first row does: by 1, and 1 more for each of them. So it tells
    whose KV stands where."""

    def __init__(self) -> None:
        self.info = INFO
        self.kv_shape = KVShape(1, 1, 2, torch.float32)

    def forward(
        self, ids: Sequence[int], slab: Slab, start: int, on_chunk: OnChunk | None = None
    ) -> Tensor:
        rows = slab.kv[0, 0, 0, :, 0]
        slab.kv[:, :, :, start : start + len(ids)] = ids[0] if start == 0 else rows[0]
        foreign = [at for at in range(start + len(ids)) if rows[at] != rows[0]]
        logits = torch.zeros(VOCABULARY_SIZE)
        logits[sum(2**at for at in foreign)] = 1.0 + len(foreign)
        return logits


def spliced(a: str, b: str, engine: Engine | None = None) -> Splice | None:
    return find_out(engine or tiny_engine(model=tiny_model(RowByRow)), a, b).splice


def test_own_kv_is_kept_up_to_the_last_difference_and_as_taken_behind_it() -> None:
    engine = tiny_engine(model=Tracer())
    found = spliced("axxyz", "bxxyz", engine)
    assert found is not None
    assert (found.kept, found.taken) == (1, 3)
    # rows 1, 2 and 3 are A's; row 0 is B's own, row 4 is computed anew
    foreign = engine.tokenizer.token_bytes(2 + 4 + 8)
    assert found.spliced_text.encode().startswith(foreign)
    assert found.true_text.encode().startswith(engine.tokenizer.token_bytes(0))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("axyz", "bxyz", range(1, 3)),
        ("xayaz", "xbyaz", range(2, 4)),
        ("axbyyy", "cxdyyy", range(3, 5)),
        ("axyz and more", "bxyz", range(1, 3)),
        ("axyz", "bxyzz", None),
        ("az", "bz", None),
        ("abc", "abc", None),
        ("abc", "ab", None),
        ("abxyz", "acdxyz", None),
        ("", "abc", None),
    ],
)
def test_only_positions_that_line_up_are_taken(a: str, b: str, expected: range | None) -> None:
    assert splice_range([*a.encode()], [*b.encode()]) == expected


def test_all_is_done_in_one_turn_and_a_stop_anywhere_ends_it() -> None:
    engine, heard = tiny_engine(), list[str]()

    @contextmanager
    def turn() -> Iterator[None]:
        heard.append("turn")
        yield
        heard.append("over")

    find_out(engine, A, B, Watch(turn, tell=lambda part, what: heard.append("told")))
    assert heard == ["told", "turn", "told", "told", "over"]


def test_prompts_whose_kv_would_be_too_much_at_once_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(why_it_stops, "MOST_TOKENS", 20)
    with pytest.raises(PromptTooLong, match=r"B has 21 tokens; the limit is 20"):
        find_out(tiny_engine(), A, "x" * 21)


def test_where_nothing_lines_up_there_is_no_splice() -> None:
    assert spliced("one 9 two", "one 10 two") is None


def test_the_wrong_cache_changes_the_chances_and_ones_own_kv_does_not() -> None:
    found = spliced(A, B)
    assert found is not None
    assert found.recompute_kl_nats == 0.0
    assert found.kl_nats > 1e-6
    assert found.true_chance != found.spliced_chance


def test_kl_runs_from_the_true_distribution_to_the_spliced_one() -> None:
    engine = tiny_engine(model=Tracer())
    found = spliced("axxyz", "bxxyz", engine)
    assert found is not None
    # one token at e and the others at 1 in truth; another one at e to the 4 in the spliced one
    true, other = math.e + VOCABULARY_SIZE - 1, math.e**4 + VOCABULARY_SIZE - 1
    expected = math.log(other / true) + math.e / true - 4 / true
    assert found.kl_nats == pytest.approx(expected)
    assert found.true_chance == pytest.approx(math.e / true)
    assert found.spliced_chance == pytest.approx(1 / other)
    assert found.rank == 2


def test_the_true_text_is_the_engines_own_greedy_reply() -> None:
    engine = tiny_engine(model=tiny_model(RowByRow))
    steps = engine.generate(B, store=False, max_new_tokens=REPLY_TOKENS)
    reply = b"".join(engine.tokenizer.token_bytes(step.id) for step in steps)
    found = spliced(A, B, engine)
    assert found is not None
    assert found.true_text == reply.decode("utf-8", "replace")


def test_a_stop_token_ends_the_text() -> None:
    tracer = Tracer()
    tracer.info = replace(INFO, stop_ids=frozenset({0}))
    found = spliced("axxyz", "bxxyz", tiny_engine(model=tracer))
    assert found is not None
    assert found.true_text == ""
    assert found.spliced_text != ""


def test_spliced_kv_is_never_stored_or_left_to_others() -> None:
    engine = tiny_engine(model=tiny_model(RowByRow))
    clean = engine.prefill(B, store=False).logits
    find_out(engine, A, B)
    assert engine.cache.stats.stored_tokens == 0
    assert torch.equal(engine.prefill(B).logits, clean)


def splice_of(kl: float, same: bool, rank: int = 1) -> Splice:
    texts = ("same", "same") if same else ("one", "other")
    return Splice("a", "b", 1, 2, kl, 0.0, rank, 0.5, 0.4, *texts)


def test_of_each_kind_the_pair_with_the_largest_kl_is_picked() -> None:
    tried = [splice_of(0.1, True), splice_of(0.3, False), splice_of(0.2, True), splice_of(0, False)]
    search = pick_two(tried)
    assert (search.changed, search.unchanged) == (1, 2)
    assert (search.same_texts, search.first_kept) == (2, 4)
    assert search.median_kl_nats == pytest.approx(0.15)


def test_a_list_without_both_kinds_is_refused() -> None:
    with pytest.raises(ValueError, match="a pair whose text changes"):
        pick_two([splice_of(0.1, True)])


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (splice_of(0.1, True), "nobody who reads them would notice"),
        (splice_of(0.0, True), "do not differ by more than rounding"),
        (splice_of(0.1, False), "its first token is still the true one"),
        (splice_of(0.1, False, rank=3), "the true one comes in place 3"),
    ],
)
def test_the_sentence_tells_what_a_reader_would_see(found: Splice, words: str) -> None:
    assert words in found.sentence


def test_the_found_pairs_are_what_the_code_of_today_would_offer(
    tokenizer: VocabularyTokenizer,
) -> None:
    measured = from_json((ASSETS / "splices.json").read_bytes(), SpliceSearch)
    assert measured.model.weights_sha256 == SMOLLM2.sha256
    assert pick_two(measured.result.splices) == measured.result
    for one in measured.result.splices:
        behind = splice_range(tokenizer.encode(one.a), tokenizer.encode(one.b))
        assert behind == range(one.kept, one.kept + one.taken)


def test_the_recorded_runs_are_what_the_code_of_today_would_compare(
    tokenizer: VocabularyTokenizer,
) -> None:
    measured = from_json((ASSETS / "recorded" / "why_it_stops.json").read_bytes(), WhyItStopsRuns)
    assert measured.model.weights_sha256 == SMOLLM2.sha256
    assert [one.pair for one in measured.result.runs] == [
        (pair.a, pair.b) for pair in preset_pairs().values()
    ]
    for run in measured.result.runs:
        found = run.divergence
        comparison = compare(tokenizer.tokenize(found.a), tokenizer.tokenize(found.b))
        assert found.shared == comparison.shared
        assert len(found.b_tokens) == len(comparison.b.ids)
        assert [column.same for column in found.by_position] == [
            a == b for a, b in zip(comparison.a.ids, comparison.b.ids, strict=False)
        ]
        behind = splice_range(comparison.a.ids, comparison.b.ids)
        kept = run.splice and range(run.splice.kept, run.splice.kept + run.splice.taken)
        assert kept == behind


def test_the_recorded_runs_of_the_found_pairs_say_what_the_search_found() -> None:
    runs = from_json((ASSETS / "recorded" / "why_it_stops.json").read_bytes(), WhyItStopsRuns)
    search = from_json((ASSETS / "splices.json").read_bytes(), SpliceSearch).result
    for found in (search.splices[search.changed], search.splices[search.unchanged]):
        run = runs.result.of(found.a, found.b)
        assert run is not None and run.splice is not None
        assert (run.splice.true_text, run.splice.spliced_text, run.splice.rank) == (
            found.true_text,
            found.spliced_text,
            found.rank,
        )
        assert run.splice.kl_nats == pytest.approx(found.kl_nats, rel=0.01)


@pytest.mark.parametrize("same", [1, 2, 3])
def test_the_search_is_told_in_counts_whichever_is_the_majority(same: int) -> None:
    tried = [splice_of(0.1, number < same, rank=1 + number) for number in range(4)]
    said = pick_two(tried).sentence
    assert "Of 4 pairs that differ in one word" in said
    assert (
        f"(up to {REPLY_TOKENS} tokens) as it was in {same} and changed it in {4 - same};" in said
    )
    assert "kept the first place in 1, " in said
    assert "an argument, not measured" in said
