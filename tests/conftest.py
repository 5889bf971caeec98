"""What tests of several modules share: the built-in model, and what a skipped browser test means.

The model comes from the user's cache folder, or from FIRST_DIFFERENCE_CACHE where that is set.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from prefix_engine.model.llama import LlamaModel
    from prefix_engine.model.weights import LocalWeights
    from prefix_engine.tokenizer import VocabularyTokenizer
    from prefix_engine.vocabulary import Vocabulary

REQUIRE_BROWSER = "FIRST_DIFFERENCE_REQUIRE_BROWSER"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a browser is required, a browser test that is skipped has failed."""
    report = yield
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if skipped and "browser" in item.path.parts and os.environ.get(REQUIRE_BROWSER):
        report.outcome = "failed"
        report.longrepr = f"Skipped although {REQUIRE_BROWSER} is set: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def local_weights() -> LocalWeights:
    """The built-in model's files."""
    from prefix_engine.model.weights import ensure_weights

    return ensure_weights()


@pytest.fixture(scope="session")
def vocabulary(local_weights: LocalWeights) -> Vocabulary:
    from prefix_engine.vocabulary import Vocabulary

    return Vocabulary.read(local_weights.vocabulary)


@pytest.fixture(scope="session")
def tokenizer(vocabulary: Vocabulary) -> VocabularyTokenizer:
    from prefix_engine.tokenizer import VocabularyTokenizer

    return VocabularyTokenizer(vocabulary)


@pytest.fixture(scope="session")
def model(local_weights: LocalWeights, vocabulary: Vocabulary) -> LlamaModel:
    """The built-in model, in the precision that suits this machine."""
    from prefix_engine.loading import read_llama
    from prefix_engine.model.precision import choose_precision

    return read_llama(local_weights, vocabulary, choose_precision().chosen)


@pytest.fixture
def one_thread() -> Generator[None, None, None]:
    """Torch computes with one thread: for a tiny model, others are only in the way."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
