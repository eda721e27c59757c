"""Flow matching: convert speech codes to latents of 100 Hz, in the voice of a prompt.

A transformer predicts the direction in which noise becomes latents; :func:`midpoint` follows it
from time 0 to 1. It sees the codes of prompt and reply, the latents of the prompt (zeros for the
reply) and a speaker embedding. It attends in both directions, so a reply can only be streamed by
continuation.

Unlike the published code, attention is SDPA without a bias (there, zeros are allocated in every
layer and call), and a convolution's layout is fixed instead of guessed from a tensor's shape
(there, a reply as long as the network is wide crashed).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.covo.config.token2wav_config import (
    EMBED_GROUPS,
    EMBED_KERNEL,
    TIME_FEATURES,
    FlowConfig,
    SamplingConfig,
)
from model.covo.language.rotary import Rotation, rotate, rotation

_ROPE_BASE = 50_000.0
_TIME_PERIOD = 10_000.0
_NORM_EPS = 1e-6


@dataclass(frozen=True, slots=True)
class Conditioning:
    """Shared by all calls for one reply: ``tokens`` (1, T, hidden), ``latents`` (1, T, latent) with
    zeros after the prompt, ``speaker`` (1, speaker) and the rotation of all ``positions``."""

    tokens: Tensor
    latents: Tensor
    speaker: Tensor
    positions: Rotation


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
        embedded: Tensor = self.mlp(features.to(next(self.parameters()).dtype))
        return embedded


class FlowAttention(nn.Module):
    """Full attention with rotary positions; only the output has a bias."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(hidden, hidden, bias=False)
        self.k_proj = nn.Linear(hidden, hidden, bias=False)
        self.v_proj = nn.Linear(hidden, hidden, bias=False)
        self.o_proj = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor, positions: Rotation) -> Tensor:
        """Map (batch, time, hidden) to the same."""
        query = rotate(self._split(self.q_proj(x)), positions).transpose(1, 2)
        key = rotate(self._split(self.k_proj(x)), positions).transpose(1, 2)
        value = self._split(self.v_proj(x)).transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1)


class FeedForward(nn.Module):
    """Two layers with GELU (tanh form) between them."""

    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(hidden, inner)
        self.fc2 = nn.Linear(inner, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., hidden) to the same."""
        out: Tensor = self.fc2(functional.gelu(self.fc1(x), approximate="tanh"))
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

    def forward(self, x: Tensor, condition: Tensor, positions: Rotation) -> Tensor:
        """``x``: (batch, time, hidden); ``condition``: (batch or 1, hidden)."""
        modulation = self.modulation_layer(condition)[:, None].chunk(6, dim=-1)
        shift, scale, gate = modulation[:3]
        x = x + gate * self.attn(_modulate(x, shift, scale), positions)
        shift, scale, gate = modulation[3:]
        out: Tensor = x + gate * self.ffn(_modulate(x, shift, scale))
        return out


class OutputLayer(nn.Module):
    """The last norm, shifted and scaled by the condition, and the projection to latents."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.adaLN_modulation = nn.Sequential(
            nn.SiLU(), nn.Linear(config.hidden, 2 * config.hidden)
        )
        self.linear = nn.Linear(config.hidden, config.latent)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map (batch, time, hidden) to (batch, time, latent)."""
        shift, scale = self.adaLN_modulation(condition)[:, None].chunk(2, dim=-1)
        out: Tensor = self.linear(_modulate(x, shift, scale))
        return out


class ConvEmbedding(nn.Module):
    """The contribution of a frame's neighbours: a grouped convolution and GELU."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            hidden, hidden, EMBED_KERNEL, padding=EMBED_KERNEL // 2, groups=EMBED_GROUPS
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, time, hidden) to the same."""
        return functional.gelu(self.conv(x.transpose(1, 2))).transpose(1, 2)


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

    def condition(self, codes: Tensor, prompt_latents: Tensor, speaker: Tensor) -> Conditioning:
        """Return what all calls for the codes (n,) of prompt and reply share, T = ``upsample * n``.

        ``prompt_latents``: (p, latent), normalised; ``speaker``: (speaker,). Raises:
        NetworkInputError for a code outside the codebook.
        """
        self.config.check_codes(int(edge) for edge in codes.aminmax())
        weight = self.token_embedding.weight
        linear, upsampler = self.token_proj
        projected = linear(self.token_embedding(codes.to(weight.device)[None]))
        tokens = upsampler(projected.transpose(1, 2)).transpose(1, 2)
        known = prompt_latents.to(weight)[None]
        latents = functional.pad(known, (0, 0, 0, tokens.shape[1] - known.shape[1]))
        width = self.config.hidden // self.config.heads
        positions = _positions(tokens.shape[1], width, weight)
        return Conditioning(tokens, latents, speaker.to(weight)[None], positions)

    def forward(self, time: Tensor, z: Tensor, given: Conditioning, tokens: Tensor) -> Tensor:
        """Return the direction (batch, T, latent) at ``time`` (1,) and ``z`` (1, T, latent) for
        each of ``tokens`` (batch, T, hidden)."""
        batch = len(tokens)
        known, now = given.latents.expand(batch, -1, -1), z.to(tokens).expand(batch, -1, -1)
        x = self.transformer_input_proj(torch.cat((tokens, known, now), dim=-1))
        x = x + self.conv_embed(x)
        # The batch shares one condition: compute it once and broadcast it.
        condition = self.cond_proj(torch.cat((self.time_embedder(time), given.speaker), dim=-1))
        for block in self.blocks:
            x = block(x, condition, given.positions)
        out: Tensor = self.output_layer(x, condition)
        return out

    def guided(
        self, time: Tensor, z: Tensor, given: Conditioning, sampling: SamplingConfig
    ) -> Tensor:
        """Return the direction (1, T, latent) with classifier-free guidance, float32.

        ``cond + alpha * (cond - uncond)`` in one batch; uncond has zeros in place of the projected
        tokens and keeps prompt latents and speaker.
        """
        if sampling.alpha is None:
            direction: Tensor = self(time, z, given, given.tokens)
            return direction.float()
        tokens = torch.cat((torch.zeros_like(given.tokens), given.tokens))
        without, conditional = self(time, z, given, tokens).float().chunk(2)
        guided: Tensor = conditional + sampling.alpha * (conditional - without)
        if sampling.rescale:
            guided = guided * (conditional.std() / guided.std())
        return guided

    def sample(
        self, noise: Tensor, given: Conditioning, sampling: SamplingConfig
    ) -> Iterator[Tensor]:
        """Yield the ``sampling.points`` states between ``noise`` (1, T, latent) and the normalised
        latents, both included, float32."""

        def direction(time: float, z: Tensor) -> Tensor:
            return self.guided(torch.full((1,), time, device=z.device), z, given, sampling)

        return midpoint(direction, noise.float(), sampling.points)

    def solve(self, noise: Tensor, given: Conditioning, sampling: SamplingConfig) -> Tensor:
        """Return the last of those states: the normalised latents (1, T, latent)."""
        return deque(self.sample(noise, given, sampling), maxlen=1)[0]


def midpoint(
    direction: Callable[[float, Tensor], Tensor], start: Tensor, points: int
) -> Iterator[Tensor]:
    """Solve from time 0 to 1 with the explicit midpoint rule, yielding the state at ``points``
    evenly spaced times, ``start`` first. Two evaluations per interval, none at 1."""
    state = start
    yield state
    times = [index / (points - 1) for index in range(points)]
    for begin, end in pairwise(times):
        step = end - begin
        middle = state + (0.5 * step) * direction(begin, state)
        state = state + step * direction(begin + 0.5 * step, middle)
        yield state


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], eps=_NORM_EPS) * (1 + scale) + shift


def _positions(length: int, width: int, like: Tensor) -> Rotation:
    order = torch.arange(0, width, 2, dtype=torch.float32, device=like.device)
    positions = torch.arange(length, dtype=torch.float32, device=like.device)
    cosine, sine = rotation(positions[:, None, None] * torch.pow(_ROPE_BASE, -order / width))
    return cosine.to(like.dtype), sine.to(like.dtype)
