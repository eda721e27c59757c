"""BigVGAN: from latents to a wave, at once or in pieces with carried state.

:meth:`BigVgan.forward` is a stream of one piece. Each layer keeps what it needs of its past
(:mod:`model.covo.speech.vocoder_stream`) and returns only what no later input can change, so that
no chunking changes the result.

All convolutions but the first are causal; the anti-aliased activations are not. Together they look
13 latents ahead, but those beyond about 4 matter less than 1e-5: see :meth:`BigVgan.step`.

Unlike the published code, weight norm and SnakeBeta's exponentials are folded into the weights at
load instead of being computed in every call.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.covo.config.token2wav_config import VOCODER_KERNEL, BigVganConfig
from model.covo.speech.antialias import AntiAliasedSnake, phase_filters
from model.covo.speech.vocoder_stream import Phases, StreamPass, VocoderStream
from model.errors import NetworkInputError

LOOK_AHEAD = 4
"""Default look-ahead for a chunk's last samples, in latents."""
EXACT_LOOK_AHEAD = 13
"""Look-ahead in latents at which every sample is exact."""


class CausalConv(nn.Module):
    """A convolution that sees ``ahead`` steps of its future; zeros outside the signal."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, dilation: int = 1, ahead: int = 0
    ) -> None:
        super().__init__()
        template = nn.Conv1d(inputs, outputs, kernel)
        self.weight, self.bias = template.weight, template.bias
        self.dilation, self.ahead = dilation, ahead
        self.reach = (kernel - 1) * dilation

    def forward(self, x: Tensor, run: StreamPass) -> Tensor:
        """Map (batch, inputs, time) to (batch, outputs, what can be known)."""
        tail = run.tails.get((self, "input"))
        if tail is None:
            tail = x.new_zeros(*x.shape[:2], self.reach - self.ahead)
        joined = torch.cat((tail, x), dim=-1)
        if run.last:
            joined = functional.pad(joined, (0, self.ahead))
        known = joined.shape[-1] - self.reach
        if known <= 0:
            run.keep(self, "input", joined)
            return x.new_empty(len(x), len(self.weight), 0)
        run.keep(self, "input", joined[..., known:])
        return functional.conv1d(joined, self.weight, self.bias, dilation=self.dilation)


class CausalUpsampler(nn.Module):
    """A transposed convolution of kernel ``2 * rate``: each step mixes with the one before."""

    def __init__(self, inputs: int, outputs: int, rate: int) -> None:
        super().__init__()
        template = nn.ConvTranspose1d(inputs, outputs, 2 * rate, stride=rate)
        self.weight, self.bias = template.weight, template.bias
        self.rate = rate

    def forward(self, x: Tensor, run: StreamPass) -> Tensor:
        """Map (batch, inputs, time) to (batch, outputs, rate * time)."""
        if not x.shape[-1]:
            return x.new_empty(len(x), self.weight.shape[1], 0)
        before = run.tails.get((self, "input"))
        if before is None:
            before = torch.zeros_like(x[..., :1])
        run.keep(self, "input", x[..., -1:])
        mixed = functional.conv_transpose1d(
            torch.cat((before, x), dim=-1), self.weight, self.bias, stride=self.rate
        )
        return mixed[..., self.rate : -self.rate]


class ResidualBlock(nn.Module):
    """Per dilation: activation, dilated convolution, activation, convolution and a shortcut."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            CausalConv(channels, channels, kernel, dilation=dilation) for dilation in dilations
        )
        self.convs2 = nn.ModuleList(CausalConv(channels, channels, kernel) for _ in dilations)
        self.activations = nn.ModuleList(AntiAliasedSnake(channels) for _ in 2 * dilations)

    def forward(self, x: Tensor, run: StreamPass) -> Tensor:
        """Map (batch, channels, time) to (batch, channels, what can be known)."""
        pairs = zip(self.convs1, self.convs2, strict=True)
        for index, (dilated, plain) in enumerate(pairs):
            before, between = self.activations[2 * index], self.activations[2 * index + 1]
            change = plain(between(dilated(before(x, run), run), run), run)
            # The layers are late by their look-ahead; the shortcut waits for them.
            waiting = run.tails.get((plain, "shortcut"))
            if waiting is not None:
                x = torch.cat((waiting, x), dim=-1)
            known = change.shape[-1]
            run.keep(plain, "shortcut", x[..., known:])
            x = x[..., :known] + change
        return x


class BigVgan(nn.Module):
    """The vocoder; parameters have the published names."""

    def __init__(self, config: BigVganConfig) -> None:
        super().__init__()
        self.config = config
        self.conv_pre = CausalConv(
            config.latent, config.initial_channels, VOCODER_KERNEL, ahead=VOCODER_KERNEL // 2
        )
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        width = config.initial_channels
        for stage, rate in enumerate(config.upsample_rates):
            narrow = config.channels(stage)
            self.ups.append(CausalUpsampler(width, narrow, rate))
            for kernel, dilations in zip(config.block_kernels, config.block_dilations, strict=True):
                self.resblocks.append(ResidualBlock(narrow, kernel, dilations))
            width = narrow
        self.activation_post = AntiAliasedSnake(width)
        self.conv_post = CausalConv(width, 1, VOCODER_KERNEL)
        self._filters: Phases | None = None

    @torch.inference_mode()
    def forward(self, latents: Tensor) -> Tensor:
        """Map (batch, latent, time) to a wave (batch, hop * time), float32 in [-1, 1]."""
        wave, _ = self.step(self.start(), latents, last=True)
        return wave

    def start(self) -> VocoderStream:
        """Return the state before the first latent."""
        return VocoderStream()

    @torch.inference_mode()
    def step(
        self,
        state: VocoderStream,
        latents: Tensor,
        *,
        last: bool = False,
        look_ahead: int = LOOK_AHEAD,
    ) -> tuple[Tensor, VocoderStream]:
        """Return the samples (batch, samples) that ``latents`` (batch, latent, time; time may be
        0) complete, and the next state.

        After n latents, samples are given up to ``hop * (n - look_ahead)``, all exact ones at
        least, and all of them with ``last``. With a look-ahead below 13, a chunk's last samples are
        computed as if nothing followed. On the tests' tiny random weights, 4 latents (40 ms) leave
        an error of 1.3e-5, 3 leave 9e-3; trained weights may differ. Errors do not accumulate,
        because the carried state is exact; ``13 - look_ahead`` latents are computed twice.

        Raises: NetworkInputError when the stream has ended, or for latents of another shape.
        """
        if state.ended:
            raise NetworkInputError("this vocoder stream has ended; start another one")
        if latents.ndim != 3 or latents.shape[1] != self.config.latent or look_ahead < 0:
            raise NetworkInputError(
                f"the vocoder takes (batch, {self.config.latent}, time) and a look-ahead of at "
                f"least 0, not {tuple(latents.shape)} and {look_ahead}"
            )
        run = StreamPass(dict(state.tails), last, self._phase_filters())
        received = state.received + latents.shape[-1]
        if not received:
            return latents.new_zeros(len(latents), 0).float(), VocoderStream(ended=last)
        pieces = [self._run(latents, run)]
        exact = state.exact + pieces[0].shape[-1]
        # Exact samples are never held back, so `given` is at least `exact` in every state.
        given = max(state.given, exact)
        wanted = (received - look_ahead) * self.config.hop
        if wanted > given and not last:
            given = wanted
            early = StreamPass(dict(run.tails), True, run.filters)
            pieces.append(self._run(latents[..., :0], early))
        wave = torch.cat(pieces, dim=-1)[..., state.given - state.exact : given - state.exact]
        return wave, VocoderStream(run.tails, received, exact, given, last)

    def _run(self, latents: Tensor, run: StreamPass) -> Tensor:
        x = self.conv_pre(latents.to(self.conv_pre.weight), run)
        branches = len(self.config.block_kernels)
        for stage, upsampler in enumerate(self.ups):
            x = upsampler(x, run)
            first = stage * branches
            total = self.resblocks[first](x, run)
            for block in range(first + 1, first + branches):
                total = total + self.resblocks[block](x, run)
            x = total / branches
        x = self.conv_post(self.activation_post(x, run), run)
        return torch.tanh(x[:, 0].float())

    def _phase_filters(self) -> Phases:
        weight = self.conv_pre.weight
        cached = self._filters
        if cached is None or (cached.up.device, cached.up.dtype) != (weight.device, weight.dtype):
            cached = self._filters = phase_filters(weight)
        return cached
