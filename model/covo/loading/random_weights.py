"""The network with random weights, filled on its device, for measurements.

The output is meaningless, but costs as much as with real weights and stays finite in every
precision: matrices are scaled by their width, norms are 1, biases 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.covo.config.device import set_up_torch
from model.covo.config.network_config import CovoConfig
from model.covo.config.precision import SPEECH_FP32, Precision, SpeechPrecision
from model.covo.config.token2wav_config import FlowConfig, Token2WavConfig
from model.covo.language.merging import merge_projections
from model.covo.language.network import CovoNetwork
from model.covo.loading.checkpoint import Progress, planned_bytes, put
from model.covo.speech.token2wav import Token2Wav, VoicePrompt


def random_network(
    config: CovoConfig,
    *,
    device: torch.device | str = "cpu",
    precision: Precision = Precision.BF16,
    merge: bool = True,
    progress: Progress = lambda done, total: None,
) -> CovoNetwork:
    """Return the language-model side. ``merge``: as in
    :func:`~model.covo.loading.checkpoint.load_network`. Raises: NetworkConfigError."""
    with torch.device("meta"):
        network = CovoNetwork(config)
    if merge:
        merge_projections(network.llm.model)
    _fill(network, torch.device(device), precision, progress)
    network.build_constants()
    network.eval()
    return network


def random_token2wav(
    config: Token2WavConfig,
    *,
    device: torch.device | str = "cpu",
    precision: SpeechPrecision = SPEECH_FP32,
    progress: Progress = lambda done, total: None,
) -> Token2Wav:
    """Return token2wav; the latents have mean 0 and variance 1."""
    mean, variance = torch.zeros(config.flow.latent), torch.ones(config.flow.latent)
    with torch.device("meta"):
        token2wav = Token2Wav(config, mean.to(device), variance.to(device))
    _fill(token2wav, torch.device(device), precision, progress)
    token2wav.wavegan.tf32 = precision.tf32
    token2wav.eval()
    return token2wav


def random_voice(config: FlowConfig, codes: int) -> VoicePrompt:
    """Return a voice of ``codes`` codes with 3 more latents than these, as the published one."""
    generator = torch.Generator().manual_seed(0)
    return VoicePrompt(
        torch.randint(config.codebook, (codes,), generator=generator),
        torch.randn(config.upsample * codes + 3, config.latent, generator=generator),
        torch.randn(config.speaker, generator=generator),
    )


def _fill(
    module: nn.Module,
    device: torch.device,
    precision: Precision | SpeechPrecision,
    progress: Progress,
) -> None:
    set_up_torch()
    generator = torch.Generator(device).manual_seed(0)
    sizes = planned_bytes(module, precision)
    shapes = {name: parameter.shape for name, parameter in module.named_parameters()}
    total, done = sum(sizes.values()), 0
    for name, shape in shapes.items():
        own = precision.of(name)
        values = torch.empty(shape, dtype=getattr(torch, own.dtype), device=device)
        put(module, name, (_set(values, name, generator),), device, own)
        done += sizes[name]
        progress(done, total)


def _set(values: Tensor, name: str, generator: torch.Generator) -> Tensor:
    if values.ndim == 1:
        return values.zero_() if name.endswith("bias") else values.fill_(1.0)
    width = values[0].numel()
    return values.normal_(0.0, width**-0.5, generator=generator)
