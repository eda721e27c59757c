"""BigVGAN: from latents to a wave, at once or in pieces with carried state.

:meth:`BigVgan.forward` is a stream of one piece. Each layer keeps what it needs of its exact
past (:mod:`model.covo.speech.vocoder_stream`), so that no chunking changes the result.

All convolutions but the first are causal; the anti-aliased activations are not. Together they look
13 latents ahead, but those beyond about 4 matter less than 1e-5: see :meth:`BigVgan.step`.

Unlike the published code, weight norm and SnakeBeta's exponentials are folded into the weights at
load instead of being computed in every call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.covo.config.device import triton_works
from model.covo.config.token2wav_config import VOCODER_KERNEL, BigVganConfig
from model.covo.speech import tf32
from model.covo.speech.antialias import AntiAliasedSnake, phase_filters
from model.covo.speech.vocoder_stream import Phases, SlotPlan, StreamPass, VocoderStream
from model.errors import NetworkInputError

LOOK_AHEAD = 4
"""Default look-ahead for a chunk's last samples, in latents."""
EXACT_LOOK_AHEAD = 13
"""Look-ahead in latents at which every sample is exact."""

ChunkRun = Callable[[Tensor, Tensor, Tensor | None, int], tuple[Tensor, Tensor]]
"""See :meth:`BigVgan.chunk`."""


class CausalConv(nn.Module):
    """A convolution that sees ``ahead`` steps of its future; zeros outside the signal."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        plan: SlotPlan,
        *,
        dilation: int = 1,
        ahead: int = 0,
    ) -> None:
        super().__init__()
        template = nn.Conv1d(inputs, outputs, kernel)
        self.weight, self.bias = template.weight, template.bias
        self.dilation, self.ahead = dilation, ahead
        reach = (kernel - 1) * dilation
        self.slot = plan.slot(inputs, reach, zeros=reach - ahead, ahead=ahead)

    def forward(self, x: Tensor, run: StreamPass) -> Tensor:
        """Map (batch, inputs, time) to (batch, outputs, what was not exact yet and more)."""
        return self.convolve(run.join(self.slot, x), run)

    def convolve(self, joined: Tensor, run: StreamPass) -> Tensor:
        """Map the input behind its past."""
        if self.ahead:
            joined = functional.pad(joined, (0, self.ahead))
        if run.tf32:
            return tf32.conv1d(joined, self.weight, self.bias, self.dilation)
        return functional.conv1d(joined, self.weight, self.bias, dilation=self.dilation)


class CausalUpsampler(nn.Module):
    """A transposed convolution of kernel ``2 * rate``: each step mixes with the one before."""

    def __init__(self, inputs: int, outputs: int, rate: int, plan: SlotPlan) -> None:
        super().__init__()
        template = nn.ConvTranspose1d(inputs, outputs, 2 * rate, stride=rate)
        self.weight, self.bias = template.weight, template.bias
        self.rate = rate
        self.slot = plan.slot(inputs, 1, zeros=1)
        plan.upsample(rate)

    def forward(self, x: Tensor, run: StreamPass) -> Tensor:
        """Map (batch, inputs, time) to (batch, outputs, rate * time)."""
        joined = run.join(self.slot, x)
        if run.tf32:
            mixed = tf32.conv_transpose1d(joined, self.weight, self.bias, self.rate)
        else:
            mixed = functional.conv_transpose1d(joined, self.weight, self.bias, stride=self.rate)
        return mixed[..., self.rate : -self.rate]


def _activated(
    activation: AntiAliasedSnake, convolution: CausalConv, x: Tensor, run: StreamPass
) -> Tensor:
    if run.fused:
        return convolution.convolve(activation.fused(x, run, convolution.slot), run)
    convolved: Tensor = convolution(activation(x, run), run)
    return convolved


_Unit = tuple[AntiAliasedSnake, CausalConv, AntiAliasedSnake, CausalConv]


class ResidualBlock(nn.Module):
    """Per dilation: activation, dilated convolution, activation, convolution and a shortcut."""

    def __init__(
        self, channels: int, kernel: int, dilations: tuple[int, ...], plan: SlotPlan
    ) -> None:
        super().__init__()
        self.convs1, self.convs2 = nn.ModuleList(), nn.ModuleList()
        self.activations = nn.ModuleList()
        self._units: list[_Unit] = []
        for dilation in dilations:
            before = AntiAliasedSnake(channels, plan)
            dilated = CausalConv(channels, channels, kernel, plan, dilation=dilation)
            between = AntiAliasedSnake(channels, plan)
            plain = CausalConv(channels, channels, kernel, plan)
            self.convs1.append(dilated)
            self.convs2.append(plain)
            self.activations.extend((before, between))
            self._units.append((before, dilated, between, plain))

    def forward(self, x: Tensor, run: StreamPass) -> Tensor:
        """Map (batch, channels, time) to (batch, channels, what was not exact yet and more)."""
        for before, dilated, between, plain in self._units:
            change = _activated(before, dilated, x, run)
            change = _activated(between, plain, change, run)
            # Two activations see twice their look-ahead into the future: the past that the first
            # one keeps.
            past = run.past(before.slot)
            change[..., : past.shape[-1]].add_(past)
            change[..., past.shape[-1] :].add_(x)
            x = change
        return x


class BigVgan(nn.Module):
    """The vocoder; parameters have the published names. ``tf32``: whether convolutions in float32
    may round their inputs to TF32, where there is a kernel for it."""

    def __init__(self, config: BigVganConfig) -> None:
        super().__init__()
        self.config = config
        self.tf32 = False
        plan = SlotPlan()
        self.conv_pre = CausalConv(
            config.latent, config.initial_channels, VOCODER_KERNEL, plan, ahead=VOCODER_KERNEL // 2
        )
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        width = config.initial_channels
        for stage, rate in enumerate(config.upsample_rates):
            narrow = config.channels(stage)
            self.ups.append(CausalUpsampler(width, narrow, rate, plan))
            # The branches run side by side, from the same lag to the same lag.
            lag = plan.lag
            for kernel, dilations in zip(config.block_kernels, config.block_dilations, strict=True):
                plan.lag = lag
                self.resblocks.append(ResidualBlock(narrow, kernel, dilations, plan))
            width = narrow
        self.activation_post = AntiAliasedSnake(width, plan)
        self.conv_post = CausalConv(width, 1, VOCODER_KERNEL, plan)
        self.lag = plan.lag
        self.settled = plan.settled
        self.state_size = plan.size
        self._filters: Phases | None = None

    @torch.inference_mode()
    def forward(self, latents: Tensor) -> Tensor:
        """Map (batch, latent, time) to a wave (batch, hop * time), float32 in [-1, 1]."""
        wave, _ = self.step(self.start(len(latents)), latents, last=True)
        return wave

    @torch.inference_mode()
    def start(self, batch: int = 1) -> VocoderStream:
        """Return the state before the first latent."""
        return VocoderStream(self.conv_pre.weight.new_zeros(batch, self.state_size))

    @torch.inference_mode()
    def step(
        self,
        state: VocoderStream,
        latents: Tensor,
        *,
        last: bool = False,
        look_ahead: int = LOOK_AHEAD,
        length: int | None = None,
        run: ChunkRun | None = None,
    ) -> tuple[Tensor, VocoderStream]:
        """Return the samples (batch, samples) that ``latents`` (batch, latent, time; time may be
        0) complete, and the next state.

        After n latents, samples are given up to ``hop * (n - look_ahead)``, all exact ones at
        least, and all of them with ``last``. With a look-ahead below 13, a chunk's last samples are
        computed as if nothing followed. On the tests' tiny random weights, 4 latents (40 ms) leave
        an error of 1.3e-5, 3 leave 9e-3; trained weights may differ. Errors do not accumulate,
        because the carried state is exact; ``13 - look_ahead`` latents are computed twice.

        ``length``: latents of a usual chunk. A last one with fewer is padded, so that it has the
        same shapes and, up to here, takes the same operations; the samples are the same.
        ``run``: calls :meth:`chunk`, or a graph of it.

        Raises: NetworkInputError when the stream has ended, or for latents of another shape.
        """
        if state.ended:
            raise NetworkInputError("this vocoder stream has ended; start another one")
        if latents.ndim != 3 or latents.shape[1] != self.config.latent or look_ahead < 0:
            raise NetworkInputError(
                f"the vocoder takes (batch, {self.config.latent}, time) and a look-ahead of at "
                f"least 0, not {tuple(latents.shape)} and {look_ahead}"
            )
        own, hop = latents.shape[-1], self.config.hop
        received = state.received + own
        if not received:
            return latents.new_zeros(len(latents), 0).float(), replace(state, ended=last)
        missing = None
        if length is not None and (length == own or (last and length > own)):
            missing = torch.full((), length - own, dtype=torch.int32, device=latents.device)
            latents = functional.pad(latents, (0, length - own))
        before = min(state.received, self.settled)
        wave, tails = (run or self.chunk)(latents, state.tails, missing, before)
        # Exact samples are never held back, so `given` is at least `exact` in every state.
        exact = self.exact(state.received)
        given = max(state.given, self.exact(received), hop * (received - look_ahead))
        if last:
            given = hop * received
        wave = wave[:, state.given - exact : given - exact]
        return wave, VocoderStream(tails, received, given, last)

    def exact(self, latents: int) -> int:
        """Return how many samples are exact after ``latents``."""
        return max(0, self.config.hop * latents - self.lag)

    @torch.inference_mode()
    def chunk(
        self, latents: Tensor, tails: Tensor, missing: Tensor | None, before: int
    ) -> tuple[Tensor, Tensor]:
        """Return the wave (batch, samples), float32, from the first sample that was not exact to
        the end of ``latents`` (batch, latent, time), and the next state (batch, state_size).

        Pure, and its shapes depend on those of ``latents`` and on ``before`` alone, so it can be
        captured as a CUDA graph. ``tails``: the state; ``missing``: how many of the latents are
        padding behind the signal's end, an int32 scalar on the device, or None; the next state is
        then meaningless. ``before``: the latents before, at most :attr:`settled`, from which on
        nothing depends on how many there are.
        """
        filters = self._phase_filters()
        latents = latents.to(self.conv_pre.weight)
        if missing is not None:
            steps = torch.arange(latents.shape[-1], device=latents.device)
            latents = latents.masked_fill(steps >= latents.shape[-1] - missing, 0)
        fused = triton_works(latents.device)
        if fused and missing is None:
            missing = latents.new_zeros((), dtype=torch.int32)
        kept = torch.empty_like(tails)
        rounds = self.tf32 and tf32.available(latents)
        run = StreamPass(filters, before, latents.shape[-1], missing, tails, kept, fused, rounds)
        x = self.conv_pre(latents, run)
        branches = len(self.config.block_kernels)
        for stage, upsampler in enumerate(self.ups):
            x = upsampler(x, run)
            first = stage * branches
            total = self.resblocks[first](x, run)
            for block in range(first + 1, first + branches):
                total = total + self.resblocks[block](x, run)
            x = total / branches
        x = _activated(self.activation_post, self.conv_post, x, run)
        return torch.tanh(x[:, 0].float()), kept

    def _phase_filters(self) -> Phases:
        weight = self.conv_pre.weight
        cached = self._filters
        if cached is None or (cached.up.device, cached.up.dtype) != (weight.device, weight.dtype):
            cached = self._filters = phase_filters(weight)
        return cached
