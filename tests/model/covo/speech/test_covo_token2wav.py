"""Speech codes to latents to a wave, against the public code's numbers, and the wrong inputs."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from model.covo.config.token2wav_config import SamplingConfig
from model.covo.speech.antialias import kaiser_sinc, phase_filters
from model.errors import NetworkConfigError, NetworkInputError
from tests.model.covo.golden_covo import TOLERANCE, error, golden

SETTINGS = {
    "alpha1": SamplingConfig(alpha=1.0),
    "alphaNone": SamplingConfig(alpha=None),
    "alpha2": SamplingConfig(alpha=2.0),
    "alpha1_rescale": SamplingConfig(alpha=1.0, rescale=True),
}


@pytest.fixture
def numbers() -> dict[str, Tensor]:
    return golden("token2wav/stages")


class Taps:
    """What went into and came out of modules while this is open."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        self.outputs: dict[str, Tensor] = {}
        self.inputs: dict[str, Tensor] = {}
        self._hooks = [
            module.register_forward_hook(self._hook(name)) for name, module in modules.items()
        ]

    def _hook(self, name: str):
        def keep(_module, inputs, output):
            self.inputs[name], self.outputs[name] = inputs[0], output

        return keep

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for hook in self._hooks:
            hook.remove()


def test_token_projection(token2wav, voice, numbers):
    field = token2wav.token2latent
    modules = {
        "token_embedding_out": field.token_embedding,
        "token_proj_linear_out": field.token_proj[0],
    }
    with Taps(modules) as taps:
        given = token2wav.condition(numbers["tokens"], voice)
    assert error(taps.outputs["token_embedding_out"], numbers["token_embedding_out"]) < TOLERANCE
    assert (
        error(taps.outputs["token_proj_linear_out"], numbers["token_proj_linear_out"]) < TOLERANCE
    )
    assert error(given.tokens, numbers["token_proj_out"]) < TOLERANCE
    assert error(given.latents, numbers["latent_cond"]) < TOLERANCE


def test_one_call_of_the_vector_field(token2wav, voice, numbers):
    field = token2wav.token2latent
    modules = {
        "vf_time_embed": field.time_embedder,
        "vf_cond": field.cond_proj,
        "vf_input_proj": field.transformer_input_proj,
        "vf_conv_embed": field.conv_embed,
        "vf_block0_attn": field.blocks[0].attn,
        "vf_block0": field.blocks[0],
        "vf_block1": field.blocks[1],
        "vf_out": field,
    }
    given = token2wav.condition(numbers["tokens"], voice)
    with torch.inference_mode(), Taps(modules) as taps:
        (modulation,) = field.modulation(numbers["vf_t"], voice.speaker)
        field(modulation, numbers["noise"], given, given.tokens)
    assert error(taps.inputs["vf_input_proj"], numbers["vf_inputs"]) < TOLERANCE
    wrong = {
        name: difference
        for name, ours in taps.outputs.items()
        if (difference := error(ours, numbers[name])) >= TOLERANCE
    }
    assert not wrong
    with torch.inference_mode():
        without = field(modulation, numbers["noise"], given, torch.zeros_like(given.tokens))
    assert error(without, numbers["vf_out_uncond"]) < TOLERANCE


@pytest.mark.parametrize("name", SETTINGS)
def test_sampled_latents(token2wav, voice, numbers, name):
    ours = token2wav.latents(
        numbers["tokens"], voice, noise=numbers["noise"], sampling=SETTINGS[name]
    )
    assert error(ours, numbers[f"{name}_latents"]) < TOLERANCE
    if f"{name}_vocoder_in" in numbers:
        into = token2wav.vocoder_input(ours, voice)
        assert error(into, numbers[f"{name}_vocoder_in"]) < TOLERANCE


def test_the_way_from_noise_to_latents(token2wav, voice, numbers):
    given, field = token2wav.condition(numbers["tokens"], voice), token2wav.token2latent
    with torch.inference_mode():
        modulations = field.modulations(voice.speaker, SETTINGS["alpha1"])
        states = list(field.sample(numbers["noise"], given, modulations, SETTINGS["alpha1"]))
    assert error(torch.cat(states), numbers["alpha1_trajectory"]) < TOLERANCE


def test_the_network_is_called_18_times(token2wav, voice, numbers):
    used = []
    field = token2wav.token2latent
    hook = field.register_forward_hook(lambda _, inputs, __: used.append(inputs[0].clone()))
    token2wav.latents(numbers["tokens"], voice, noise=numbers["noise"])
    hook.remove()
    assert len(used) == 18
    with torch.inference_mode():
        for evaluation, modulation in enumerate(used):
            (at_its_time,) = field.modulation(torch.tensor([evaluation / 18]), voice.speaker)
            assert error(modulation, at_its_time) < 1e-6


def test_the_anti_aliasing_filter(numbers):
    assert error(kaiser_sinc(), numbers["aa_filter"][0, 0]) < 1e-6


class _WithoutFloat64(TorchDispatchMode):
    """Make the meta device refuse float64, as MPS does."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            assert not (isinstance(tensor, Tensor) and tensor.is_meta and tensor.dtype.itemsize > 4)
        return made


def test_the_filters_reach_a_device_without_float64():
    with _WithoutFloat64():
        phases = phase_filters(torch.empty(0, device="meta"))
    assert {phases.up.device.type, phases.down.device.type, phases.taps.device.type} == {"meta"}
    assert phase_filters(torch.empty(0)).taps.dtype is torch.float32


def test_inside_the_vocoder(token2wav, numbers):
    vocoder = token2wav.wavegan
    modules = {
        "voc_conv_pre": vocoder.conv_pre,
        "voc_ups0": vocoder.ups[0],
        "voc_rb0_act0": vocoder.resblocks[0].activations[0],
        "voc_rb0": vocoder.resblocks[0],
        "voc_pre_tanh": vocoder.conv_post,
    }
    with Taps(modules) as taps:
        vocoder(numbers["alpha1_vocoder_in"])
    taps.outputs["voc_pre_tanh"] = taps.outputs["voc_pre_tanh"][0, 0]
    wrong = {
        name: difference
        for name, ours in taps.outputs.items()
        if (difference := error(ours, numbers[name])) >= TOLERANCE
    }
    assert not wrong


@pytest.mark.parametrize("name", ["alpha1", "alphaNone"])
def test_codes_to_wave(token2wav, voice, numbers, name):
    wave = token2wav.synthesize(
        numbers["tokens"], voice, noise=numbers["noise"], sampling=SETTINGS[name]
    )
    assert len(wave) == token2wav.samples(20, voice) == (4 * 20 - 3) * 240
    assert error(wave, numbers[f"{name}_wav"]) < TOLERANCE


def test_a_seed_is_a_wave(token2wav, voice):
    codes = torch.arange(3)
    quick = SamplingConfig(points=2)
    first, again, other = (
        token2wav.synthesize(codes, voice, seed=seed, sampling=quick) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert error(first, other) > 0.01


def test_no_codes_are_an_empty_wave(token2wav, voice):
    wave = token2wav.synthesize(torch.zeros(0, dtype=torch.long), voice)
    assert wave.shape == (token2wav.samples(0, voice),) == (0,)


def test_a_length_that_equals_the_width(token2wav, voice):
    # 13 codes of the prompt and 51 of the reply are the hidden size, 64.
    wave = token2wav.synthesize(
        torch.zeros(51, dtype=torch.long), voice, sampling=SamplingConfig(2)
    )
    assert len(wave) == (4 * 51 - 3) * 240


@pytest.mark.parametrize("code", [-1, 128])
def test_codes_outside_of_the_codebook(token2wav, voice, code):
    with pytest.raises(NetworkInputError, match=f"speech code {code} is outside"):
        token2wav.synthesize(torch.tensor([5, code]), voice)


def test_voices_of_another_size(token2wav, voice):
    wrong = [
        replace(voice, latents=torch.zeros(56, 8)),
        replace(voice, latents=torch.zeros(55, 64)),
        replace(voice, speaker=torch.zeros(1024)),
        replace(voice, codes=torch.zeros(0, dtype=torch.long)),
    ]
    for voice_of_another in wrong:
        with pytest.raises(NetworkInputError, match="does not fit the network"):
            token2wav.synthesize(torch.tensor([1]), voice_of_another)
    broken = replace(voice, speaker=torch.full((16,), torch.nan))
    with pytest.raises(NetworkInputError, match="not numbers"):
        token2wav.synthesize(torch.tensor([1]), broken)


def test_wrong_settings(token2wav, voice):
    with pytest.raises(NetworkInputError, match="noise"):
        token2wav.latents(torch.tensor([1]), voice, noise=torch.zeros(1, 3, 8))
    with pytest.raises(NetworkConfigError, match="2 time points"):
        SamplingConfig(points=1)
