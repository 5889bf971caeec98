"""A Llama-shaped GGUF file of a few hundred kilobytes, written as llama.cpp's converter does."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

LAYERS, HEADS, KV_HEADS, HEAD_DIM, INTERMEDIATE, VOCABULARY = 2, 16, 8, 4, 96, 5000
HIDDEN = HEADS * HEAD_DIM
TEMPLATE = "{{ messages }}"
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

Arrays = dict[str, np.ndarray]


def tiny_arrays(seed: int = 0) -> Arrays:
    """Random float32 tensors by GGUF name; the embedding is one that Q8_0 can hold exactly."""
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, dtype=np.float32)

    arrays: Arrays = {
        # whole numbers up to 127 in every block of 32: scale 1, nothing is rounded
        "token_embd": np.where(
            np.arange(HIDDEN) % 32 == 0, 127, random.integers(-126, 127, (VOCABULARY, HIDDEN))
        ).astype(np.float32),
        "output_norm": normal(HIDDEN),
    }
    for i in range(LAYERS):
        arrays |= {
            f"blk.{i}.attn_norm": normal(HIDDEN),
            f"blk.{i}.attn_q": normal(HEADS * HEAD_DIM, HIDDEN),
            f"blk.{i}.attn_k": normal(KV_HEADS * HEAD_DIM, HIDDEN),
            f"blk.{i}.attn_v": normal(KV_HEADS * HEAD_DIM, HIDDEN),
            f"blk.{i}.attn_output": normal(HIDDEN, HIDDEN),
            f"blk.{i}.ffn_norm": normal(HIDDEN),
            f"blk.{i}.ffn_gate": normal(INTERMEDIATE, HIDDEN),
            f"blk.{i}.ffn_up": normal(INTERMEDIATE, HIDDEN),
            f"blk.{i}.ffn_down": normal(HIDDEN, INTERMEDIATE),
        }
    return arrays


def write_tiny_gguf(path: Path, arrays: Arrays | None = None) -> Path:
    """Write the file and return its path; the embedding is stored as Q8_0, the rest as F32."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INTERMEDIATE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(100_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    words = [f"word{n}" for n in range(VOCABULARY - len(SPECIAL))]
    writer.add_token_list([*SPECIAL, *words])
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control] * len(SPECIAL) + [normal] * len(words))
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    for name, array in (arrays or tiny_arrays()).items():
        if name == "token_embd":
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(f"{name}.weight", gguf.quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(f"{name}.weight", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
