"""Directories in the published layout, whole and broken."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

import numpy as np
from safetensors.torch import load_file, save_file

from model.covo.config.network_config import CovoConfig
from model.covo.config.precision import SPEECH_AUTO, SPEECH_BF16, Precision
from model.covo.config.token2wav_config import Token2WavConfig
from model.covo.loading.checkpoint import load_network, load_token2wav
from model.errors import ModelError, NetworkConfigError, NetworkInputError, WeightsError
from tests.model.covo.golden_covo import (
    error,
    golden,
    network_folder,
    token2wav_folder,
    voice_prompt,
)
from voices.errors import VoiceError

EMBEDDING = "llm.model.embed_tokens.weight"


@pytest.fixture
def folder(tmp_path):
    return network_folder(tmp_path / "covo")


@pytest.fixture
def t2w_folder(tmp_path):
    return token2wav_folder(tmp_path / "t2w")


def change(path, **changes):
    """Write ``path`` again with tensors replaced, or without those that are None."""
    tensors = load_file(path) | {name.replace("__", "."): t for name, t in changes.items()}
    save_file({name: t for name, t in tensors.items() if t is not None}, path)


def edit_config(path, edit) -> None:
    values = json.loads(path.read_text())
    edit(values)
    path.write_text(json.dumps(values))


def fails(load, folder, kind: type[ModelError], *parts: str) -> None:
    with pytest.raises(kind) as caught:
        load(folder)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_all_parameters_are_the_file_s(folder):
    state = torch.get_rng_state()
    seen = []
    network = load_network(
        folder, merge=False, progress=lambda done, total: seen.append((done, total))
    )
    tensors = load_file(folder / "model.safetensors")
    assert {n: p.shape for n, p in network.named_parameters()} == {
        name: t.shape for name, t in tensors.items()
    }
    assert all(torch.equal(p, tensors[name]) for name, p in network.named_parameters())
    assert not any(t.is_meta for t in (*network.parameters(), *network.buffers()))
    size = sum(t.nbytes for t in tensors.values())
    assert (len(seen), seen[-1]) == (82, (size, size))
    assert torch.equal(state, torch.get_rng_state()), "something was initialised at random"


def test_merged_layers_are_the_file_s_one_after_another(folder):
    tensors = load_file(folder / "model.safetensors")
    layers = "llm.model.layers.1."
    network = load_network(folder)
    assert not any(t.is_meta for t in (*network.parameters(), *network.buffers()))
    for merged, kind, parts in (
        ("self_attn.qkv_proj", "weight", ("q_proj", "k_proj", "v_proj")),
        ("self_attn.qkv_proj", "bias", ("q_proj", "k_proj", "v_proj")),
        ("mlp.gate_up_proj", "weight", ("gate_proj", "up_proj")),
    ):
        owner = layers + merged.partition(".")[0]
        expected = torch.cat([tensors.pop(f"{owner}.{part}.{kind}") for part in parts])
        assert torch.equal(network.get_parameter(f"{layers}{merged}.{kind}"), expected)
    held = dict(network.named_parameters())
    first = {name for name in tensors if "model.layers.0." in name}
    assert all(torch.equal(held[name], tensors[name]) for name in tensors.keys() - first)


def test_in_another_precision(folder):
    network = load_network(folder, precision=Precision.BF16)
    assert {p.dtype for p in network.parameters()} == {torch.bfloat16}
    assert network.llm.model.rotary_emb.inv_freq.dtype == torch.float32


def test_fp32_is_not_rounded_to_tf32_on_a_gpu(folder, t2w_folder, monkeypatch):
    for load, where in ((load_network, folder), (load_token2wav, t2w_folder)):
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
        load(where)
        assert not torch.backends.cudnn.allow_tf32


def test_whatever_is_loaded_next_leaves_tf32_off(folder, t2w_folder, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    load_network(folder, precision=Precision.BF16)
    token2wav = load_token2wav(t2w_folder, precision=SPEECH_AUTO)
    assert not torch.backends.cudnn.allow_tf32
    assert token2wav.wavegan.tf32  # by its own word, whatever the switch says


def test_attention_makes_no_plan_for_every_length(folder, t2w_folder):
    for load, where in ((load_network, folder), (load_token2wav, t2w_folder)):
        torch.backends.cuda.enable_cudnn_sdp(True)
        load(where)
        assert not torch.backends.cuda.cudnn_sdp_enabled()


@pytest.mark.parametrize("index", [False, True])
def test_shards(folder, index):
    whole = folder / "model.safetensors"
    tensors = load_file(whole)
    whole.unlink()
    names = sorted(tensors)
    where = {}
    for shard in range(3):
        file = f"model-{shard + 1:05}-of-00003.safetensors"
        save_file({name: tensors[name] for name in names[shard::3]}, folder / file)
        where |= dict.fromkeys(names[shard::3], file)
    if index:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
        save_file({"unrelated": torch.ones(1)}, folder / "other.safetensors")
    network = load_network(folder, merge=False)
    assert all(torch.equal(p, tensors[name]) for name, p in network.named_parameters())
    merged = load_network(folder).llm.model.layers[0].mlp.gate_up_proj.weight
    gate_up = [f"llm.model.layers.0.mlp.{part}_proj.weight" for part in ("gate", "up")]
    assert torch.equal(merged, torch.cat([tensors[name] for name in gate_up]))
    (folder / "model-00002-of-00003.safetensors").unlink()
    missing = "model-00002-of-00003.safetensors is missing" if index else "27 missing"
    fails(load_network, folder, WeightsError, missing)


def test_missing_extra_and_misshapen_are_listed_together(folder):
    path = folder / "model.safetensors"
    change(
        path,
        encoder__conv1__bias=None,
        encoder__conv9__bias=torch.zeros(1),
        llm__model__norm__weight=torch.ones(65),
    )
    fails(
        load_network,
        folder,
        WeightsError,
        str(path),
        "1 missing (encoder.conv1.bias)",
        "1 extra (encoder.conv9.bias)",
        "1 misshapen (llm.model.norm.weight (65,), not (64,))",
    )


def test_a_long_list_is_cut(folder):
    save_file({"a": torch.ones(1)}, folder / "model.safetensors")
    fails(load_network, folder, WeightsError, "82 missing", "and 77 more")


@pytest.mark.parametrize("keep", [4, 1000, 4_000_000])
def test_a_truncated_file(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    fails(load_network, folder, WeightsError, str(path), "download it again")


def test_trouble_elsewhere_is_not_blamed_on_the_file(folder):
    def progress(done, total):
        raise BrokenPipeError("nobody reads the screen")

    with pytest.raises(BrokenPipeError, match="nobody reads"):
        load_network(folder, progress=progress)


def test_no_weights(folder):
    (folder / "model.safetensors").unlink()
    fails(load_network, folder, WeightsError, str(folder), "no .safetensors files")


def test_weights_that_are_not_numbers(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)[EMBEDDING]
    weights[5, 5] = torch.nan
    change(path, llm__model__embed_tokens__weight=weights)
    fails(load_network, folder, WeightsError, str(path), EMBEDDING, "not numbers")


def test_weights_that_float16_cannot_hold(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)[EMBEDDING]
    weights[5, 5] = 1e6
    change(path, llm__model__embed_tokens__weight=weights)

    def load(where):
        return load_network(where, precision=Precision.FP16)

    fails(load, folder, WeightsError, EMBEDDING, "float16")


def test_transformers_4_spelling(folder):
    path = folder / "config.json"
    new = CovoConfig.read(path)

    def old_spelling(values):
        values["llm_config"]["rope_theta"] = 1_000_000.0
        del values["llm_config"]["rope_parameters"]
        values["torch_dtype"] = values.pop("dtype")

    edit_config(path, old_spelling)
    assert CovoConfig.read(path) == new
    assert (new.backbone.rope_theta, new.backbone.dtype) == (1e6, "float32")
    assert (new.placeholder, new.codebook, new.adapter_stages) == (535, 128, 3)


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (lambda v: v.update(model_type="qwen2"), ["model_type is 'qwen2'"]),
        (lambda v: v.pop("llm_config"), ["llm_config is missing"]),
        (
            lambda v: v["llm_config"].update(hidden_size="64"),
            ["llm_config.hidden_size must be a whole"],
        ),
        (lambda v: v["llm_config"].update(use_sliding_window=True), ["use_sliding_window"]),
        (lambda v: v["llm_config"]["rope_parameters"].update(rope_type="yarn"), ["'yarn'"]),
        (
            lambda v: v["encoder_config"].update(d_model=0),
            ["encoder_config.d_model must be"],
        ),
        (lambda v: v.update(adapter_downsample=6), ["not a power of two"]),
        (lambda v: v.update(audio_token_index=9999), ["audio_token_index is 9999"]),
    ],
)
def test_configs_of_something_else(folder, edit, parts):
    edit_config(folder / "config.json", edit)
    fails(load_network, folder, NetworkConfigError, str(folder / "config.json"), *parts)


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_configs_that_are_none(folder, text):
    (folder / "config.json").write_text(text)
    fails(load_network, folder, NetworkConfigError, str(folder / "config.json"))
    (folder / "config.json").unlink()
    fails(load_network, folder, NetworkConfigError, "cannot read")


@pytest.mark.parametrize("form", ["model", "bare", "module"])
def test_token2wav_from_a_checkpoint(t2w_folder, form):
    theirs = load_token2wav(t2w_folder)
    tensors = load_file(t2w_folder / "model.safetensors")
    (t2w_folder / "model.safetensors").unlink()
    held = {
        "model": {"model": tensors},
        "bare": tensors,
        "module": {"model": {f"module.{name}": t for name, t in tensors.items()}},
    }[form]
    torch.save(held, t2w_folder / "model.pt")
    ours = dict(load_token2wav(t2w_folder).named_parameters())
    assert all(torch.equal(ours[name], p) for name, p in theirs.named_parameters())


def test_token2wav_in_half_precision_stays_near(t2w_folder):
    numbers = golden("token2wav/stages")
    token2wav = load_token2wav(t2w_folder, precision=SPEECH_BF16)
    voice = voice_prompt(t2w_folder, token2wav.config.flow)
    wave = token2wav.synthesize(numbers["tokens"], voice, noise=numbers["noise"])
    assert wave.dtype == torch.float32
    correlation = torch.corrcoef(torch.stack((wave, numbers["alpha1_wav"])))[0, 1]
    assert float(correlation) > 0.99


class Surprise:
    """What a checkpoint must not hold."""


def test_a_checkpoint_with_more_than_tensors(t2w_folder):
    (t2w_folder / "model.safetensors").unlink()
    path = t2w_folder / "model.pt"
    torch.save({"model": {"a": Surprise()}}, path)
    fails(load_token2wav, t2w_folder, WeightsError, str(path))
    torch.save({"model": {"a": 5}}, path)
    fails(load_token2wav, t2w_folder, WeightsError, str(path), "something else")
    path.write_bytes(path.read_bytes()[:300])
    fails(load_token2wav, t2w_folder, WeightsError, str(path), "download it again")
    path.unlink()
    fails(load_token2wav, t2w_folder, WeightsError, "model.pt is missing")


def test_token2wav_lacks_half_of_a_weight_norm(t2w_folder):
    change(t2w_folder / "model.safetensors", wavegan__conv_pre__weight_g=None)
    fails(load_token2wav, t2w_folder, WeightsError, "1 missing (wavegan.conv_pre.weight_g)")


def test_token2wav_of_another_design(t2w_folder):
    path = t2w_folder / "config.json"
    assert Token2WavConfig.read(path).vocoder.hop == 240
    edit_config(path, lambda v: v["model"]["wavegan"].update(activation="snake"))
    fails(load_token2wav, t2w_folder, NetworkConfigError, "activation is 'snake'")


def test_statistics_and_voices_of_another_size(t2w_folder):
    token2wav = load_token2wav(t2w_folder)
    flow = token2wav.config.flow
    np.save(t2w_folder / "prompt/speaker_embed.npy", np.zeros((1, 1024), np.float32))
    with pytest.raises(NetworkInputError, match="does not fit"):
        voice_prompt(t2w_folder, flow)
    (t2w_folder / "prompt/prompt_token.npy").write_bytes(b"no array")
    with pytest.raises(VoiceError, match=r"prompt_token\.npy"):
        voice_prompt(t2w_folder, flow)
    np.save(t2w_folder / "global_mean_var.npy", np.zeros((2, 64), np.float32))
    fails(load_token2wav, t2w_folder, WeightsError, "global_mean_var.npy has 128 numbers")


def test_statistics_in_either_shape(t2w_folder):
    flat = load_token2wav(t2w_folder)
    path = t2w_folder / "global_mean_var.npy"
    np.save(path, np.load(path).reshape(1, 2, -1))
    rows = load_token2wav(t2w_folder)
    assert error(flat.mean, rows.mean) == error(flat.deviation, rows.deviation) == 0
