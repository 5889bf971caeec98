from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from prefix_engine.loading import load_engine, read_llama
from prefix_engine.model.exactness import keeps_bits
from prefix_engine.model.linear import Linear
from prefix_engine.model.llama import FRAME, LlamaModel
from prefix_engine.model.precision import choose_precision
from prefix_engine.model.weights import LocalWeights
from prefix_engine.settings import Settings
from prefix_engine.tokenizer import VocabularyTokenizer
from prefix_engine.vocabulary import Vocabulary
from tests.tiny_engine import GEOMETRY, INFO, tiny_tensors

TEXT = "Weather in SF today? What should I wear, and is it cold in the evening by the water?"


def tiny(*, drift: float = 0.0, strict: bool = False) -> LlamaModel:
    def make_linear(weight: Tensor) -> Linear:
        """Sums that don't depend on the number of rows, unless they drift with it."""
        return lambda x: (
            (x[:, None].double() @ weight.t().double())[:, 0].float() * (1 + drift * len(x))
        )

    return LlamaModel(GEOMETRY, tiny_tensors(), INFO, make_linear=make_linear, strict=strict)


@pytest.mark.usefixtures("one_thread")
def test_a_model_that_keeps_its_bits_is_found_out() -> None:
    assert keeps_bits(tiny())


@pytest.mark.usefixtures("one_thread")
def test_a_model_whose_bits_depend_on_the_number_of_rows_is_found_out() -> None:
    assert not keeps_bits(tiny(drift=1e-6))


@pytest.mark.usefixtures("one_thread")
def test_in_the_strict_mode_the_number_of_rows_is_always_the_same() -> None:
    assert keeps_bits(tiny(drift=1e-6, strict=True))


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_the_built_in_model_keeps_its_bits_at_every_cut(
    model: LlamaModel, tokenizer: VocabularyTokenizer
) -> None:
    if model.info.exact != "bits":
        pytest.skip("on this machine a hit's difference is measured, not promised to be none")
    assert_no_bit_depends_on_the_cut(model, tokenizer.encode(TEXT), step=3)


@pytest.mark.usefixtures("threads")
def test_the_strict_mode_keeps_the_promise_of_the_built_in_model(
    local_weights: LocalWeights,
    vocabulary: Vocabulary,
    tokenizer: VocabularyTokenizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("prefix_engine.model.linear._lay_out", unavailable)
    precision = choose_precision().chosen
    strict = read_llama(local_weights, vocabulary, precision, strict=True)
    assert strict.info.exact == "frames"
    assert_no_bit_depends_on_the_cut(strict, (tokenizer.encode(TEXT) * 4)[:70], step=23)


@pytest.mark.usefixtures("local_weights")
def test_what_the_operator_asks_for_is_what_is_loaded() -> None:
    small = Settings(max_prompt_tokens=16)
    strict = load_engine(replace(small, strict=True))
    assert strict.model.info.exact == "frames"
    assert strict.cache.block_size == FRAME
    fast = load_engine(replace(small, fast=True))
    assert fast.model.info.exact == "fast"


def unavailable(weight: Tensor) -> Tensor:
    raise RuntimeError


def assert_no_bit_depends_on_the_cut(model: LlamaModel, ids: list[int], step: int) -> None:
    whole = model.new_slab(len(ids))
    logits = model.forward(ids, whole, 0)
    for cut in {*range(1, len(ids), step), len(ids) - 2, len(ids) - 1}:
        parts = model.new_slab(len(ids))
        # as another prompt left it, that was longer and ended otherwise
        model.forward([*ids[:cut], *ids[: len(ids) - cut][::-1]], parts, 0)
        last = model.forward(ids[cut:], parts, cut)
        assert torch.equal(last, logits) and torch.equal(parts.kv, whole.kv), cut
