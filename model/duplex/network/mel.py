"""The log-mel spectrogram as it comes: Whisper's, made causal.

Frame t is computed from the 400 samples that end with hop t, where Whisper centres it: the same
frames, 2.5 ms late, and nothing of the future is needed. Whisper floors a segment at 8 below its
maximum, which is known only at its end; here the floor is a constant of the profile.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from audio_io.clock import USER_RATE

WINDOW = 400
HOP = 160
TAIL = WINDOW - HOP
"""Samples of the past that the next frame needs."""


class StreamingLogMel(nn.Module):
    """Its state is the last TAIL samples, (batch, TAIL); zeros at the beginning."""

    window: Tensor
    filters: Tensor

    def __init__(self, mels: int, floor: float) -> None:
        super().__init__()
        self.floor = floor
        filters = mel_filter_bank(
            num_frequency_bins=WINDOW // 2 + 1,
            num_mel_filters=mels,
            min_frequency=0.0,
            max_frequency=USER_RATE / 2,
            sampling_rate=USER_RATE,
            norm="slaney",
            mel_scale="slaney",
        )
        # float32 whatever the network is: a log of powers needs the range.
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.register_buffer("filters", torch.from_numpy(filters.T).float(), persistent=False)

    def forward(self, tail: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """``audio`` (batch, hops * 160) to log-mels (batch, mels, hops), and the next tail."""
        whole = torch.cat((tail, audio), dim=-1)
        spectrum = torch.stft(
            whole, WINDOW, HOP, window=self.window, center=False, return_complex=True
        )
        power = self.filters @ (spectrum.real.square() + spectrum.imag.square())
        log = power.clamp(min=1e-10).log10().clamp(min=self.floor)
        return (log + 4.0) / 4.0, whole[..., whole.shape[-1] - TAIL :]
