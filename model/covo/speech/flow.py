"""Flow matching: convert speech codes to latents of 100 Hz, in the voice of a prompt.

A transformer predicts the direction in which noise becomes latents; :func:`midpoint` follows it
from time 0 to 1. It sees the codes of prompt and reply, the latents of the prompt (zeros for the
reply) and a speaker embedding. It attends in both directions, so a reply can only be streamed by
continuation.

Shift, scale and gate of every layer depend on time and speaker only. They are computed once for
all evaluations of a reply, so a shifted and scaled norm is one layer norm with that weight and
bias.

Unlike the published code, attention is SDPA without a bias (there, zeros are allocated in every
layer and call), and a convolution's layout is fixed instead of guessed from a tensor's shape
(there, a reply as long as the network is wide crashed).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.covo.config.device import triton_works
from model.covo.config.token2wav_config import (
    EMBED_GROUPS,
    EMBED_KERNEL,
    TIME_FEATURES,
    FlowConfig,
    SamplingConfig,
)
from model.covo.language.merging import QUERY_KEY_VALUE, MergedLinear
from model.covo.language.rotary import Rotation, rotation
from model.covo.speech.flow_ops import EAGER, FlowOps

_ROPE_BASE = 50_000.0
_TIME_PERIOD = 10_000.0
_NORM_EPS = 1e-6


@dataclass(frozen=True, slots=True)
class Conditioning:
    """Shared by all evaluations for a chunk: ``tokens`` (1, T, hidden), ``latents`` (1, T, latent)
    with zeros after the prompt, the rotation of all ``positions``, the laid-out weight of the
    ``neighbours``' convolution, and whether the length ``recurs``."""

    tokens: Tensor
    latents: Tensor
    positions: Rotation
    neighbours: Tensor
    recurs: bool


class TimeEmbedder(nn.Module):
    """Cosines and sines of the time, always in float32, through two layers."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        first = nn.Linear(TIME_FEATURES, hidden)
        self.mlp = nn.Sequential(first, nn.SiLU(), nn.Linear(hidden, hidden))

    def forward(self, time: Tensor) -> Tensor:
        """Map (batch,) in [0, 1] to (batch, hidden)."""
        half = TIME_FEATURES // 2
        order = torch.arange(half, dtype=torch.float32, device=time.device)
        angles = time.float()[:, None] * torch.exp(order * (-log(_TIME_PERIOD) / half))
        features = torch.cat((angles.cos(), angles.sin()), dim=-1)
        embedded: Tensor = self.mlp(features.to(self.mlp.get_parameter("0.weight")))
        return embedded


class FlowAttention(nn.Module):
    """Full attention with rotary positions; only the output has a bias. ``qkv_proj`` makes query,
    key and value in one product."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv_proj = MergedLinear(
            {part: nn.Linear(hidden, hidden, bias=False) for part in QUERY_KEY_VALUE.parts}
        )
        self.o_proj = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor, given: Conditioning, ops: FlowOps) -> Tensor:
        """Map (batch, time, hidden) to the same."""
        query, key, value = ops.rotate(self.qkv_proj(x), given.positions, self.heads)
        mixed = _attend(query, key, value, recurs=given.recurs)
        out: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    """Two layers with GELU (tanh form) between them."""

    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(hidden, inner)
        self.fc2 = nn.Linear(inner, hidden)

    def forward(self, x: Tensor, ops: FlowOps) -> Tensor:
        """Map (..., hidden) to the same."""
        out: Tensor = self.fc2(ops.widen(x, self.fc1.weight, self.fc1.bias))
        return out


class Block(nn.Module):
    """Attention and feed-forward, shifted, scaled and gated by the condition (adaLN)."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.attn = FlowAttention(config.hidden, config.heads)
        self.ffn = FeedForward(config.hidden, config.ffn)
        self.modulation_layer = nn.Sequential(
            nn.SiLU(), nn.Linear(config.hidden, 6 * config.hidden)
        )

    def modulation(self, condition: Tensor) -> Tensor:
        """Map conditions (n, hidden) to (n, 6, hidden): shift, 1 + scale and gate, of attention and
        of feed-forward."""
        return _shifts_and_scales(self.modulation_layer(condition), 6)

    def forward(self, x: Tensor, modulation: Tensor, given: Conditioning, ops: FlowOps) -> Tensor:
        """``x``: (batch, time, hidden); ``modulation``: (6, hidden)."""
        shift, scale, gate, shift_after, scale_after, gate_after = modulation
        mixed = self.attn(ops.norm(x, scale, shift, _NORM_EPS), given, ops)
        x, normed = ops.add_and_norm(x, gate, mixed, scale_after, shift_after, _NORM_EPS)
        return torch.addcmul(x, gate_after, self.ffn(normed, ops))


class OutputLayer(nn.Module):
    """The last norm, shifted and scaled by the condition, and the projection to latents."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.adaLN_modulation = nn.Sequential(
            nn.SiLU(), nn.Linear(config.hidden, 2 * config.hidden)
        )
        self.linear = nn.Linear(config.hidden, config.latent)

    def modulation(self, condition: Tensor) -> Tensor:
        """Map conditions (n, hidden) to (n, 2, hidden): shift and 1 + scale."""
        return _shifts_and_scales(self.adaLN_modulation(condition), 2)

    def forward(self, x: Tensor, modulation: Tensor, ops: FlowOps) -> Tensor:
        """Map (batch, time, hidden) to (batch, time, latent); ``modulation``: (2, hidden)."""
        shift, scale = modulation
        out: Tensor = self.linear(ops.norm(x, scale, shift, _NORM_EPS))
        return out


class ConvEmbedding(nn.Module):
    """The contribution of a frame's neighbours: a grouped convolution and GELU."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(hidden, hidden, EMBED_KERNEL, groups=EMBED_GROUPS)

    def forward(self, x: Tensor, given: Conditioning, ops: FlowOps) -> Tensor:
        """Map (batch, time, hidden) to the same."""
        return ops.embed(x, given.neighbours, self.conv.get_parameter("bias"))


class VectorField(nn.Module):
    """The network; parameters have the published names."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        hidden, rate = config.hidden, config.upsample
        self.token_embedding = nn.Embedding(config.codebook, config.code_width)
        self.token_proj = nn.ModuleList(
            (
                nn.Linear(config.code_width, hidden),
                nn.ConvTranspose1d(hidden, hidden, 2 * rate, stride=rate, padding=rate // 2),
            )
        )
        self.transformer_input_proj = nn.Linear(hidden + 2 * config.latent, hidden)
        self.conv_embed = ConvEmbedding(hidden)
        self.time_embedder = TimeEmbedder(hidden)
        self.cond_proj = nn.Linear(hidden + config.speaker, hidden)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.output_layer = OutputLayer(config)

    def modulation(self, times: Tensor, speaker: Tensor) -> Tensor:
        """Return what ``times`` (n,) in [0, 1] and ``speaker`` (speaker,) do to each layer:
        (n, 6 * layers + 2, hidden)."""
        embedded = self.time_embedder(times)
        same = speaker.to(embedded).expand(len(times), -1)
        condition = self.cond_proj(torch.cat((embedded, same), dim=-1))
        layers = (*self.blocks, self.output_layer)
        return torch.cat([layer.modulation(condition) for layer in layers], dim=1)

    def modulations(self, speaker: Tensor, sampling: SamplingConfig) -> Tensor:
        """Return :meth:`modulation` at the time of each evaluation of :meth:`solve`."""
        device = self.token_embedding.weight.device
        times = torch.arange(2 * (sampling.points - 1), dtype=torch.float32, device=device)
        return self.modulation(times / len(times), speaker.to(device))

    def condition(
        self, codes: Tensor, prompt_latents: Tensor, *, recurs: bool = False
    ) -> Conditioning:
        """Return what all evaluations for the codes (n,) of prompt and reply share, with T =
        ``upsample * n``. ``prompt_latents``: (p, latent), normalised; ``recurs``: as many codes
        will come again, so planning for them pays."""
        weight = self.token_embedding.weight
        linear, upsampler = self.token_proj
        projected = linear(self.token_embedding(codes.to(weight.device)[None]))
        tokens = upsampler(projected.transpose(1, 2)).transpose(1, 2)
        known = prompt_latents.to(weight)[None]
        latents = functional.pad(known, (0, 0, 0, tokens.shape[1] - known.shape[1]))
        width = self.config.hidden // self.config.heads
        return Conditioning(
            tokens,
            latents,
            _positions(tokens.shape[1], width, weight),
            _ops(weight.device).lay_out(self.conv_embed.conv.weight),
            recurs,
        )

    def forward(self, modulation: Tensor, z: Tensor, given: Conditioning, tokens: Tensor) -> Tensor:
        """Return the direction (batch, T, latent) at ``z`` (1, T, latent) for each of ``tokens``
        (batch, T, hidden), at the time and for the speaker of ``modulation`` (6 * layers + 2,
        hidden)."""
        batch, ops = len(tokens), _ops(tokens.device)
        known, now = given.latents.expand(batch, -1, -1), z.to(tokens).expand(batch, -1, -1)
        x = self.transformer_input_proj(torch.cat((tokens, known, now), dim=-1))
        x = x + self.conv_embed(x, given, ops)
        *blocks, last = modulation.split(6)
        for block, of_block in zip(self.blocks, blocks, strict=True):
            x = block(x, of_block, given, ops)
        out: Tensor = self.output_layer(x, last, ops)
        return out

    def sample(
        self, noise: Tensor, given: Conditioning, modulations: Tensor, sampling: SamplingConfig
    ) -> Iterator[Tensor]:
        """Yield the ``sampling.points`` states between ``noise`` (1, T, latent) and the normalised
        latents, both included, float32. ``modulations``: see :meth:`modulations`.

        Classifier-free guidance is ``cond + alpha * (cond - uncond)`` in one batch; uncond has
        zeros in place of the projected tokens and keeps prompt latents and speaker.
        """
        alpha, tokens = sampling.alpha, given.tokens
        if alpha is not None:
            tokens = torch.cat((torch.zeros_like(tokens), tokens))

        def direction(evaluation: int, z: Tensor) -> Tensor:
            made: Tensor = self(modulations[evaluation], z, given, tokens).float()
            if alpha is None:
                return made
            without, conditional = made.chunk(2)
            guided = torch.lerp(without, conditional, 1 + alpha)
            if sampling.rescale:
                guided = guided * (conditional.std() / guided.std())
            return guided

        return midpoint(direction, noise.float(), sampling.points)

    def solve(
        self, noise: Tensor, given: Conditioning, modulations: Tensor, sampling: SamplingConfig
    ) -> Tensor:
        """Return the last of those states: the normalised latents (1, T, latent)."""
        return deque(self.sample(noise, given, modulations, sampling), maxlen=1)[0]


def midpoint(
    direction: Callable[[int, Tensor], Tensor], start: Tensor, points: int
) -> Iterator[Tensor]:
    """Solve from time 0 to 1 with the explicit midpoint rule, yielding the state at ``points``
    evenly spaced times, ``start`` first.

    ``direction(k, state)`` is evaluated twice per interval, none at 1: evaluation k is at time
    ``k / (2 * (points - 1))``.
    """
    state, step = start, 1 / (points - 1)
    yield state
    for interval in range(points - 1):
        middle = torch.add(state, direction(2 * interval, state), alpha=0.5 * step)
        state = torch.add(state, direction(2 * interval + 1, middle), alpha=step)
        yield state


def _shifts_and_scales(made: Tensor, rows: int) -> Tensor:
    """Map (n, rows * hidden) to (n, rows, hidden) with 1 added to each scale: the second of two or
    of every three rows."""
    split: Tensor = made.unflatten(-1, (rows, -1))
    split[:, 1::3] += 1
    return split


def _ops(device: torch.device) -> FlowOps:
    """Return the fastest operations on ``device``."""
    if not triton_works(device):
        return EAGER
    from model.covo.speech.flow_kernels import FUSED

    return FUSED


def _attend(query: Tensor, key: Tensor, value: Tensor, *, recurs: bool) -> Tensor:
    """Attend, all (batch, heads, time, width). cuDNN's attention is the faster one on Hopper and
    later, but plans for each length and thread."""
    if recurs and query.element_size() == 2 and _has_fast_cudnn(query.device):
        mixed: Tensor = torch.ops.aten._scaled_dot_product_cudnn_attention(
            query, key, value, None, False
        )[0]
        return mixed
    return functional.scaled_dot_product_attention(query, key, value)


@cache
def _has_fast_cudnn(device: torch.device) -> bool:
    return (
        device.type == "cuda"
        and torch.version.hip is None  # AMD's cards report capabilities of their own
        and torch.cuda.get_device_capability(device) >= (9, 0)
    )


def _positions(length: int, width: int, like: Tensor) -> Rotation:
    order = torch.arange(0, width, 2, dtype=torch.float32, device=like.device)
    positions = torch.arange(length, dtype=torch.float32, device=like.device)
    angles = positions[:, None, None, None] * torch.pow(_ROPE_BASE, -order / width)
    cosine, sine = rotation(angles)
    return cosine.to(like.dtype), sine.to(like.dtype)
