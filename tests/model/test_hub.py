from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from fnmatch import fnmatch
from os import listdir
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers import AutoModelForCausalLM

from prefix_engine.cache import RadixCache
from prefix_engine.compute import compute
from prefix_engine.engine import Engine
from prefix_engine.errors import ModelRefused
from prefix_engine.model.base import Slab
from prefix_engine.model.hub import HubModel, load_hub_model
from prefix_engine.model.hub_cache import slab_cache
from prefix_engine.model.hub_files import max_tokens
from prefix_engine.model.info import ModelInfo
from tests.model.tiny_hub import (
    SHAPES,
    SIZES,
    VOCABULARY,
    byte_tokenizer,
    save_tiny_model,
    tiny_config,
    tiny_network,
)

TEXT = "Weather in SF today? What should I wear — a coat, or nothing much at all?"
IDS = byte_tokenizer()(TEXT).input_ids


@dataclass(frozen=True)
class Served:
    """A model as it is served here, and the same one in transformers' own hands."""

    folder: Path
    model: HubModel
    engine: Engine
    oracle: Any

    def uncached(self, ids: list[int]) -> tuple[Tensor, Tensor]:
        """Logits after the last token, and KV [2, layers, kv_heads, tokens, head_dim]."""
        with torch.inference_mode():
            output = self.oracle(torch.tensor([ids]))
        layers = output.past_key_values.layers
        kv = torch.stack([torch.cat((layer.keys, layer.values)) for layer in layers], dim=1)
        return output.logits[0, -1], kv


@pytest.fixture(scope="module", params=sorted(SHAPES))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = save_tiny_model(tmp_path_factory.mktemp("hub") / request.param, request.param)
    model, tokenizer = load_hub_model(str(folder), precision="f32")
    cache = RadixCache(bytes_per_token=model.kv_shape.bytes_per_token)
    engine = Engine(model, tokenizer, cache, max_new_tokens=16)
    return Served(folder, model, engine, AutoModelForCausalLM.from_pretrained(folder))


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def filled(slab: Slab, tokens: int) -> Tensor:
    return slab.kv[:, :, :, :tokens]


def test_a_model_is_loaded_tried_and_run_by_the_one_thread_that_computes(tmp_path: Path) -> None:
    computing: set[str] = set()

    def note(*_: Any) -> None:
        computing.add(threading.current_thread().name)

    folder = save_tiny_model(tmp_path / "llama", "llama")
    with register_module_forward_pre_hook(note):
        model, _ = load_hub_model(str(folder), precision="f32")
        model.forward(IDS, model.new_slab(len(IDS)), 0)
    assert computing == {compute(threading.current_thread).name}


@pytest.mark.parametrize("cached", [0, 1, 2, 30, len(IDS) - 2, len(IDS) - 1, len(IDS)])
def test_a_hit_has_the_logits_and_the_kv_of_a_run_without_a_cache(
    served: Served, cached: int
) -> None:
    served.engine.cache.clear()
    # what is cached goes on differently, so that nothing behind the cut can be of any help
    prefix = TEXT.encode()[:cached].decode(errors="ignore")
    if prefix:
        served.engine.prefill(prefix + "#" * 20 if cached < len(IDS) else prefix)
    with served.engine.request(TEXT, store=False) as request:
        assert request.prefill.reused == min(len(prefix.encode()), len(IDS) - 1)
        logits, kv = served.uncached(IDS)
        assert_same(request.prefill.logits, logits)
        assert_same(filled(request.slab, len(IDS)), kv)


@pytest.mark.parametrize("start", [0, 1, 200])
def test_chunks_give_what_one_pass_gives(served: Served, start: int) -> None:
    ids = [(7 * i) % VOCABULARY for i in range(600)]
    told: list[int] = []
    slab = served.model.new_slab(600)
    if start:
        served.model.forward(ids[:start], slab, 0)
    found = served.model.forward(ids[start:], slab, start, told.append)
    logits, kv = served.uncached(ids)
    assert_same(found, logits)
    assert_same(filled(slab, 600), kv)
    assert told == list(range(0, 600 - start, 256))


def test_what_on_chunk_raises_passes_through(served: Served) -> None:
    class Stop(Exception):
        pass

    def stop(rows: int) -> None:
        if rows:
            raise Stop

    with pytest.raises(Stop):
        served.model.forward([1] * 300, served.model.new_slab(300), 0, stop)


def test_rows_that_were_not_written_are_not_read(served: Served) -> None:
    clean, littered = served.model.new_slab(64), served.model.new_slab(64)
    littered.kv.fill_(1e30)
    for part in (IDS[:20], IDS[20:21]):
        start = 0 if len(part) == 20 else 20
        logits = [served.model.forward(part, slab, start) for slab in (clean, littered)]
        assert torch.equal(*logits)


def test_a_model_keeps_nothing_between_calls(served: Served) -> None:
    one, other = served.model.new_slab(64), served.model.new_slab(64)
    served.model.forward(IDS[:20], one, 0)
    expected = served.model.forward(IDS[20:30], one, 20)
    served.model.forward(IDS[30:60], other, 0)
    assert torch.equal(served.model.forward(IDS[20:30], one, 20), expected)


def test_a_reply_is_what_transformers_generates(served: Served) -> None:
    steps = list(served.engine.generate(TEXT, max_new_tokens=12))
    generated = served.oracle.generate(
        torch.tensor([IDS]),
        attention_mask=torch.ones(1, len(IDS)),
        max_new_tokens=12,
        do_sample=False,
        pad_token_id=0,
    )
    expected = generated[0, len(IDS) :].tolist()
    stop = expected.index(7) if 7 in expected else len(expected)
    assert [step.id for step in steps] == expected[:stop]


def test_keys_and_values_are_written_in_place(served: Served) -> None:
    slab = served.model.new_slab(8)
    shape = served.model.kv_shape
    cache = slab_cache(slab, 3)
    new = torch.ones(1, shape.kv_heads, 2, shape.head_dim)
    keys, values = cache.update(new, 2 * new, 1)
    assert keys.data_ptr() == slab.kv[0, 1].data_ptr()
    assert values.data_ptr() == slab.kv[1, 1].data_ptr()
    assert keys.shape == values.shape == (1, shape.kv_heads, 5, shape.head_dim)
    assert set(slab.kv.nonzero()[:, 3].tolist()) == {3, 4}


def test_info_says_which_model_it_is(served: Served) -> None:
    weights = (served.folder / "model.safetensors").read_bytes()
    assert served.model.info == ModelInfo(
        label=served.folder.name,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        precision="f32",
        device="cpu",
        vocabulary=VOCABULARY,
        max_tokens=640,
        stop_ids=frozenset({7}),
    )


def test_several_files_of_weights_have_the_hash_of_their_hashes(tmp_path: Path) -> None:
    tiny_network("llama").save_pretrained(tmp_path, max_shard_size="20KB")
    byte_tokenizer().save_pretrained(tmp_path)
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 1
    hashes = "".join(hashlib.sha256(shard.read_bytes()).hexdigest() for shard in shards)
    model, _ = load_hub_model(str(tmp_path), precision="f32")
    assert model.info.weights_sha256 == hashlib.sha256(hashes.encode()).hexdigest()


def test_all_ids_that_end_a_reply_are_known(tmp_path: Path) -> None:
    save_tiny_model(tmp_path, "llama", eos_token_id=[3, 5])
    assert load_hub_model(str(tmp_path), precision="f32")[0].info.stop_ids == {3, 5}


def test_bf16_is_close_to_f32(tmp_path: Path) -> None:
    save_tiny_model(tmp_path, "llama")
    logits = {}
    for precision in ("bf16", "f32"):
        model, _ = load_hub_model(str(tmp_path), precision=precision)
        assert model.info.precision == precision
        logits[precision] = model.forward(IDS, model.new_slab(len(IDS)), 0)
    assert model.kv_shape.bytes_per_token == 2 * 2 * 2 * 4 * 4
    difference = (logits["bf16"] - logits["f32"]).norm() / logits["f32"].norm()
    assert 0 < difference < 0.05


def test_rotary_angles_must_not_depend_on_the_length_of_the_prompt() -> None:
    stretched = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0, 1.0],
        "long_factor": [4.0, 4.0],
        "original_max_position_embeddings": 160,
    }
    assert max_tokens(tiny_config("llama", rope_parameters=stretched), "stretched") == 160
    assert max_tokens(tiny_config("llama"), "plain") == 640


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a window": ("mistral", {"sliding_window": 8}, "sliding window of 8 tokens"),
    "a window in some layers": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
        "there are sliding_attention layers too",
    ),
    "alternating layers": ("gemma2", {}, "there are sliding_attention layers too"),
    "local attention": (
        "gpt_neo",
        {"num_layers": 2, "attention_types": [[["global", "local"], 1]], "window_size": 8},
        "local attention, to 8 tokens",
    ),
    "Mamba": ("mamba", {}, "there are linear_attention layers too"),
    "RWKV": ("rwkv", {}, "state layers"),
    "an encoder-decoder": ("t5", {}, "encoder-decoder"),
    "cross attention": ("gpt2", {"add_cross_attention": True}, "cross attention"),
    "latent attention": ("deepseek_v3", {}, "latent attention (MLA)"),
    "pictures": ("gemma3", {}, "takes more than text"),
    "no language model": ("clip", {}, "no causal language model"),
    "fills gaps": ("bert", {"architectures": ["BertForMaskedLM"]}, "no causal language model"),
    "no limit": ("bloom", {}, "doesn't limit its positions"),
    "quantised": (
        "llama",
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        "its weights are quantised",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_its_config_before_its_weights_are_looked_for(name: str, tmp_path: Path) -> None:
    kind, changes, reason = REFUSED[name]
    sizes = {} if kind in ("bloom", "clip", "gemma3") else SIZES
    config = {"model_type": kind, **sizes, **changes}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelRefused) as refused:
        load_hub_model(str(tmp_path))
    assert reason in str(refused.value)


def test_a_model_that_needs_its_own_code_is_refused(tmp_path: Path) -> None:
    config = {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "mine.py").write_text("raise SystemExit('this code was run')")
    with pytest.raises(ModelRefused, match="needs code of its own"):
        load_hub_model(str(tmp_path))


def test_a_config_of_an_unknown_type_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mine"}))
    with pytest.raises(ModelRefused, match="type 'mine'"):
        load_hub_model(str(tmp_path))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    save_tiny_model(tmp_path, "llama")
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelRefused, match=r"no model\.safetensors.*pickled"):
        load_hub_model(str(tmp_path))


def test_weights_without_one_of_the_tensors_are_refused(tmp_path: Path) -> None:
    network = tiny_network("llama")
    tensors = network.state_dict()
    missing = "model.layers.1.mlp.up_proj.weight"
    del tensors[missing]
    network.save_pretrained(tmp_path, state_dict=tensors)
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelRefused, match=missing):
        load_hub_model(str(tmp_path), precision="f32")


def test_a_damaged_file_of_weights_is_refused(tmp_path: Path) -> None:
    save_tiny_model(tmp_path, "llama")
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ModelRefused, match="can't load"):
        load_hub_model(str(tmp_path), precision="f32")


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    tiny_network("gpt2").save_pretrained(tmp_path)
    with pytest.raises(ModelRefused, match="tokenizer"):
        load_hub_model(str(tmp_path), precision="f32")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=r"no config\.json"):
        load_hub_model(str(tmp_path))


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="no device 'abacus'"):
        load_hub_model(str(tmp_path), device="abacus")


class Broken(torch.nn.Module):
    """A network whose forward pass is given other arguments than it was called with."""

    def __init__(self, network: Any, **instead: Any) -> None:
        super().__init__()
        self.network, self.config, self.instead = network, network.config, instead

    def forward(self, tokens: Tensor, **options: Any) -> Any:
        given = {name: make(tokens) for name, make in self.instead.items()}
        return self.network(tokens, **{**options, **given})


def probe(network: Any) -> HubModel:
    return HubModel(network, ModelInfo("it", "", "", "cpu", VOCABULARY, 640, frozenset()))


def from_the_chunks_start(tokens: Tensor) -> Tensor:
    return torch.arange(tokens.shape[1])[None]


def test_the_trial_run_passes_a_sound_network() -> None:
    assert probe(Broken(tiny_network("llama"))).kv_shape.layers == 2


@pytest.mark.parametrize(
    "instead",
    [
        {"position_ids": from_the_chunks_start},
        {
            "attention_mask": lambda tokens: torch.full(
                (1, 1, tokens.shape[1], tokens.shape[1]), -torch.inf
            ).triu(1)
        },
        {"past_key_values": lambda tokens: None},
    ],
    ids=["positions from the chunk's start", "a square mask", "the cache ignored"],
)
def test_the_trial_run_refuses_a_network_that_ignores_the_prefix(instead: Any) -> None:
    with pytest.raises(ModelRefused):
        probe(Broken(tiny_network("llama"), **instead))


def test_the_trial_run_finds_wrong_keys_where_the_logits_hardly_tell() -> None:
    even = tiny_network("llama", initializer_range=0.02).bfloat16()
    assert probe(even).kv_shape.dtype == torch.bfloat16
    with pytest.raises(ModelRefused, match="something else than without a cache"):
        probe(Broken(even, position_ids=from_the_chunks_start))


def test_the_trial_run_refuses_attention_to_later_tokens() -> None:
    with pytest.raises(ModelRefused, match="something else than without a cache"):
        probe(tiny_network("bert"))


def test_the_trial_run_refuses_keys_and_values_of_different_shapes() -> None:
    latent = {"kv_lora_rank": 8, "q_lora_rank": 8, "n_routed_experts": 4, "n_group": 1}
    latent |= {"topk_group": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
    latent |= {"qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 6}
    network = tiny_network("deepseek_v3", **latent, num_key_value_heads=6)
    with pytest.raises(ModelRefused, match="differ in shape"):
        probe(network)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, in a folder for this test, with the network switched off."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_a_hub_model_in_the_hubs_cache_needs_no_network(hub_cache: Path) -> None:
    repository = hub_cache / "models--owner--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    save_tiny_model(repository / "snapshots" / ("0" * 40), "llama")
    model, tokenizer = load_hub_model("owner/tiny", precision="f32")
    assert model.info.label == "owner/tiny"
    assert tokenizer.encode(TEXT) == IDS


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("owner/nothing", "Check the name and the network"),
        ("./no/such/folder", "a hub id looks like owner/name"),
        ("no such name", "a hub id looks like owner/name"),
    ],
)
def test_what_can_not_be_found_is_refused_with_advice(
    name: str, advice: str, hub_cache: Path
) -> None:
    with pytest.raises(ModelRefused, match=f"no such folder.*{advice}"):
        load_hub_model(name)


@dataclass(frozen=True)
class FakeHub:
    """A hub with one model, and what was fetched from it."""

    remote: Path
    fetched: Path

    def snapshot_download(self, model_id: str, allow_patterns: list[str]) -> str:
        for name in listdir(self.remote):
            # as huggingface_hub matches them
            if any(fnmatch(name, pattern) for pattern in allow_patterns):
                shutil.copy(self.remote / name, self.fetched / name)
        return str(self.fetched)


@pytest.fixture
def fake_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    hub = FakeHub(tmp_path / "remote", tmp_path / "fetched")
    hub.fetched.mkdir()
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub.snapshot_download)
    return hub


def test_only_what_is_needed_is_fetched(fake_hub: FakeHub) -> None:
    needed = set(listdir(save_tiny_model(fake_hub.remote, "llama")))
    for name in ("pytorch_model.bin", "model.fp16.safetensors", "modeling.py", "README.md"):
        (fake_hub.remote / name).touch()
    load_hub_model("owner/tiny", precision="f32")
    assert set(listdir(fake_hub.fetched)) == needed


def test_several_files_of_weights_are_fetched(fake_hub: FakeHub) -> None:
    tiny_network("llama").save_pretrained(fake_hub.remote, max_shard_size="20KB")
    byte_tokenizer().save_pretrained(fake_hub.remote)
    load_hub_model("owner/tiny", precision="f32")
    assert set(listdir(fake_hub.fetched)) == set(listdir(fake_hub.remote))


def test_of_a_refused_model_only_the_config_is_fetched(fake_hub: FakeHub) -> None:
    save_tiny_model(fake_hub.remote, "mistral", sliding_window=8)
    with pytest.raises(ModelRefused, match=r"owner/tiny can't be served.*sliding window"):
        load_hub_model("owner/tiny")
    assert listdir(fake_hub.fetched) == ["config.json"]


def test_the_built_in_model_need_not_wait_for_transformers() -> None:
    program = "import sys, prefix_engine.model.hub; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
