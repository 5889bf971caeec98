from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from prefix_engine.model.convert import ROWS_AT_ONCE, convert
from prefix_engine.model.geometry import LlamaGeometry
from prefix_engine.vocabulary import Vocabulary
from tests.model import tiny_gguf
from tests.model.tiny_gguf import HEAD_DIM, HEADS, HIDDEN, INTERMEDIATE, KV_HEADS, LAYERS

QUERY_ROWS, KEY_ROWS = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM


@pytest.fixture(scope="module")
def arrays() -> tiny_gguf.Arrays:
    return tiny_gguf.tiny_arrays()


@pytest.fixture(scope="module")
def gguf_file(arrays: tiny_gguf.Arrays, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", arrays)


def converted(gguf_file: Path, folder: Path) -> Path:
    safetensors = folder / "tiny.safetensors"
    convert(gguf_file, safetensors, folder / "vocabulary.json")
    return safetensors


@pytest.fixture(scope="module")
def tensors(gguf_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return load(converted(gguf_file, tmp_path_factory.mktemp("converted")))


def load(path: Path) -> dict[str, torch.Tensor]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict


def same(tensor: torch.Tensor, array: np.ndarray) -> bool:
    return torch.equal(tensor, torch.from_numpy(array).bfloat16())


def rounded(array: np.ndarray) -> np.ndarray:
    """To bfloat16, as the converted file holds it."""
    return torch.from_numpy(array).bfloat16().double().numpy()


def test_the_file_holds_the_stated_tensors_and_no_others(tensors: dict[str, torch.Tensor]) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    per_layer = {
        "attention_norm": (HIDDEN,),
        "qkv": (QUERY_ROWS + 2 * KEY_ROWS, HIDDEN),
        "attention_out": (HIDDEN, QUERY_ROWS),
        "mlp_norm": (HIDDEN,),
        "gate_up": (2 * INTERMEDIATE, HIDDEN),
        "down": (HIDDEN, INTERMEDIATE),
    }
    assert shapes == {
        "embedding": (tiny_gguf.VOCABULARY, HIDDEN),
        "final_norm": (HIDDEN,),
        **{f"layers.{i}.{name}": shape for i in range(LAYERS) for name, shape in per_layer.items()},
    }


def test_tensors_without_heads_keep_their_rows(
    arrays: tiny_gguf.Arrays, tensors: dict[str, torch.Tensor]
) -> None:
    assert same(tensors["final_norm"], arrays["output_norm"])
    for i in range(LAYERS):
        to, of = f"layers.{i}", f"blk.{i}"
        assert same(tensors[f"{to}.attention_norm"], arrays[f"{of}.attn_norm"])
        assert same(tensors[f"{to}.qkv"][QUERY_ROWS + KEY_ROWS :], arrays[f"{of}.attn_v"])
        assert same(tensors[f"{to}.attention_out"], arrays[f"{of}.attn_output"])
        assert same(tensors[f"{to}.mlp_norm"], arrays[f"{of}.ffn_norm"])
        assert same(tensors[f"{to}.gate_up"][:INTERMEDIATE], arrays[f"{of}.ffn_gate"])
        assert same(tensors[f"{to}.gate_up"][INTERMEDIATE:], arrays[f"{of}.ffn_up"])
        assert same(tensors[f"{to}.down"], arrays[f"{of}.ffn_down"])


def test_query_and_key_rows_go_from_neighbours_to_halves(
    arrays: tiny_gguf.Arrays, tensors: dict[str, torch.Tensor]
) -> None:
    assert HEAD_DIM == 4
    for head in range(HEADS):
        stored = arrays["blk.1.attn_q"][4 * head : 4 * head + 4]
        rows = tensors["layers.1.qkv"][4 * head : 4 * head + 4]
        assert same(rows, stored[[0, 2, 1, 3]] / 2)  # and 1/sqrt(4) is folded in
    for head in range(KV_HEADS):
        stored = arrays["blk.1.attn_k"][4 * head : 4 * head + 4]
        rows = tensors["layers.1.qkv"][QUERY_ROWS + 4 * head : QUERY_ROWS + 4 * head + 4]
        assert same(rows, stored[[0, 2, 1, 3]])


def test_rotating_halves_gives_the_scores_that_rotating_neighbours_gave(
    arrays: tiny_gguf.Arrays, tensors: dict[str, torch.Tensor]
) -> None:
    x = np.random.default_rng(1).standard_normal(HIDDEN).astype(np.float64)
    angles = 5.0 / 100_000.0 ** (np.arange(HEAD_DIM // 2) * 2 / HEAD_DIM)
    turns = np.exp(1j * angles)  # of position 5; position 0 is not turned

    q, k = (rounded(arrays[f"blk.0.attn_{name}"][:4]) @ x for name in "qk")
    neighbours = np.vdot((q[0::2] + 1j * q[1::2]) * turns, k[0::2] + 1j * k[1::2]).real

    qkv = tensors["layers.0.qkv"].double().numpy()
    q, k = qkv[:4] @ x, qkv[QUERY_ROWS : QUERY_ROWS + 4] @ x
    halves = np.vdot((q[:2] + 1j * q[2:]) * turns, k[:2] + 1j * k[2:]).real

    assert halves == pytest.approx(neighbours / HEAD_DIM**0.5, rel=1e-12)


def test_quantized_rows_are_dequantized_across_pieces(
    arrays: tiny_gguf.Arrays, tensors: dict[str, torch.Tensor]
) -> None:
    assert ROWS_AT_ONCE < tiny_gguf.VOCABULARY < 2 * ROWS_AT_ONCE
    assert same(tensors["embedding"], arrays["token_embd"])


def test_bf16_rounds_as_torch_does(arrays: tiny_gguf.Arrays, tmp_path: Path) -> None:
    down, up = 1 + 2**-8, 1 + 3 * 2**-8  # halfway between two bfloat16 numbers
    edges = [down, up, -down, -up, 0.0, -0.0, 1e-40, 3e38, np.nextafter(np.float32(down), 2)]
    arrays = arrays | {"output_norm": np.resize(np.float32(edges), HIDDEN)}
    gguf_file = tiny_gguf.write_tiny_gguf(tmp_path / "edges.gguf", arrays)
    found = load(converted(gguf_file, tmp_path))["final_norm"]
    bits = torch.from_numpy(arrays["output_norm"]).bfloat16().view(torch.int16)
    assert torch.equal(found.view(torch.int16), bits)


def test_the_same_gguf_gives_the_same_bytes(gguf_file: Path, tmp_path: Path) -> None:
    hashes = {
        tuple(
            hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (converted(gguf_file, tmp_path), tmp_path / "vocabulary.json")
        )
        for _ in range(2)
    }
    assert len(hashes) == 1


def test_tensors_begin_on_a_cache_line(gguf_file: Path, tmp_path: Path) -> None:
    header_bytes = int.from_bytes(converted(gguf_file, tmp_path).read_bytes()[:8], "little")
    assert (8 + header_bytes) % 64 == 0


def test_the_geometry_travels_in_the_metadata(gguf_file: Path, tmp_path: Path) -> None:
    with safe_open(converted(gguf_file, tmp_path), "pt") as file:
        metadata = file.metadata()
    assert LlamaGeometry.from_metadata(metadata) == LlamaGeometry(
        layers=LAYERS,
        heads=HEADS,
        kv_heads=KV_HEADS,
        head_dim=HEAD_DIM,
        hidden=HIDDEN,
        intermediate=INTERMEDIATE,
        vocabulary=tiny_gguf.VOCABULARY,
        context_length=128,
        rope_base=100_000.0,
        norm_eps=float(np.float32(1e-5)),
    )


def test_the_vocabulary_tells_special_tokens_from_text(gguf_file: Path, tmp_path: Path) -> None:
    converted(gguf_file, tmp_path)
    vocabulary = Vocabulary.read(tmp_path / "vocabulary.json")
    assert len(vocabulary.tokens) == tiny_gguf.VOCABULARY
    assert vocabulary.tokens[:4] == (*tiny_gguf.SPECIAL, "word0")
    assert vocabulary.special_ids == (0, 1, 2)
    assert vocabulary.stop_ids == (0, 2)
    assert vocabulary.chat_template == tiny_gguf.TEMPLATE


def test_progress_only_grows_and_ends_at_all_of_it(gguf_file: Path, tmp_path: Path) -> None:
    heard: list[float] = []
    convert(gguf_file, tmp_path / "m", tmp_path / "v", lambda message, done: heard.append(done))
    assert heard == sorted(heard)
    assert heard[0] == 0.0
    assert heard[-1] == 1.0
    assert len(heard) > LAYERS


def test_what_progress_raises_stops_the_conversion(gguf_file: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(message: str, done: float) -> None:
        if done > 0:
            raise Stop

    with pytest.raises(Stop):
        convert(gguf_file, tmp_path / "m", tmp_path / "v", stop)
