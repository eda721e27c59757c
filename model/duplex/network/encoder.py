"""Run Whisper's encoder and the adapter as a stream: each chunk of audio yields its features.

The modules and weights are those of :mod:`model.covo.language.encoder`, run differently:

- The log-mel frame t is computed from the 400 samples that end with hop t, where Whisper centres
  it: the same frames, 2.5 ms late.
- The first convolution looks one log-mel frame (10 ms) ahead, so its output is delayed by that
  frame. Together the signal is heard 12.5 ms late. The strided convolutions end with the chunk.
- A frame attends to its own chunk and the ``look_back`` frames before it, whose keys and values
  are carried. The cost of a chunk is constant.
- Whisper's positions are absolute and end after 30 s. They are taken modulo ``position_period``.

A step over several chunks computes the same as one step for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder, WhisperEncoderLayer

from audio_io.clock import USER_RATE
from model.covo.language.encoder import AudioAdapter, DownsampleLayer
from model.covo.speech.chunk_graphs import run_directly
from model.duplex.protocol.profile import DuplexProfile
from model.errors import NetworkInputError

WINDOW = 400
HOP = 160
TAIL = WINDOW - HOP
"""Past samples that the next log-mel frame needs."""
TOGETHER = 16
"""Chunks that attend as one. One by one, each has its whole past copied for a few frames, fewer
than a fused kernel takes at a time; together, they have masked keys."""


class StreamingLogMel(nn.Module):
    """Whisper's log-mel spectrogram, made causal and floored at ``floor``.

    Its state is the last TAIL samples, (batch, TAIL), zeros at the start.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, mels: int, floor: float) -> None:
        super().__init__()
        self.floor = floor
        filters = WhisperFeatureExtractor(feature_size=mels, sampling_rate=USER_RATE).mel_filters
        # float32 whatever the network's dtype: a log of powers needs the range.
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.register_buffer("filters", torch.from_numpy(filters.T).float(), persistent=False)

    def forward(self, tail: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-mels (batch, mels, hops) of ``audio`` (batch, hops * 160), and the next
        tail."""
        whole = torch.cat((tail, audio), dim=-1)
        spectrum = torch.stft(
            whole, WINDOW, HOP, window=self.window, center=False, return_complex=True
        )
        power = self.filters @ (spectrum.real.square() + spectrum.imag.square())
        log = power.clamp(min=1e-10).log10().clamp(min=self.floor)
        return (log + 4.0) / 4.0, whole[..., whole.shape[-1] - TAIL :]


@dataclass(frozen=True, slots=True)
class EncoderState:
    """The state of a stream. Its tensors are never written to; keep one to go back to it.

    Args:
        wave: the last samples, (batch, 240).
        mel: carried by the first convolution, (batch, mels, 2).
        conv: carried by the second convolution, (batch, width, 1).
        keys, values: (layers, batch, heads, look_back, head width).
        adapter: carried by each adapter stage, (batch, width, 1).
        frames: encoder frames so far.
        origin: the position of the first frame.
    """

    wave: Tensor = field(repr=False)
    mel: Tensor = field(repr=False)
    conv: Tensor = field(repr=False)
    keys: Tensor = field(repr=False)
    values: Tensor = field(repr=False)
    adapter: tuple[Tensor, ...] = field(repr=False)
    frames: int = 0
    origin: int = 0


class StreamingEncoder(nn.Module):
    """The ``encoder`` and ``adapter`` of a network, run by ``profile``."""

    def __init__(
        self, encoder: WhisperEncoder, adapter: AudioAdapter, profile: DuplexProfile
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.adapter = adapter
        self.profile = profile
        self._chunk = profile.encoder_frames
        weight = encoder.conv1.weight
        self.log_mel = StreamingLogMel(weight.shape[1], profile.encoder.mel_floor)
        self.log_mel.to(weight.device)

    def start(self, batch: int = 1, origin: int = 0) -> EncoderState:
        """Return the state before the first sample.

        ``origin``: the first position. Training draws it, so that no position is special.
        """
        weight, settings = self.encoder.conv1.weight, self.encoder.config
        width, heads = settings.d_model, settings.encoder_attention_heads
        carried = (settings.encoder_layers, batch, heads, self.profile.encoder.look_back)
        zeros = weight.new_zeros
        return EncoderState(
            wave=torch.zeros(batch, TAIL, device=weight.device),
            mel=zeros(batch, weight.shape[1], 2),
            conv=zeros(batch, width, 1),
            keys=zeros(*carried, width // heads),
            values=zeros(*carried, width // heads),
            adapter=tuple(zeros(batch, width, 1) for _ in self.adapter.downsample_layers),
            origin=origin,
        )

    def forward(
        self,
        state: EncoderState,
        audio: Tensor,
        run: Callable[..., tuple[Tensor, ...]] = run_directly,
        *,
        recompute: bool = False,
    ) -> tuple[Tensor, EncoderState]:
        """Return the features (batch, chunks * features_per_chunk, LLM width) of ``audio``, and
        the next state.

        ``audio``: (batch, chunks * chunk_samples), float32 at 16 kHz. ``run``: how to run what
        depends on tensors alone, directly or as graphs. ``recompute``: keep only each layer's
        inputs for the backward pass. Raises: NetworkInputError if it is not whole chunks.
        """
        if audio.ndim != 2 or not audio.shape[1] or audio.shape[1] % self.profile.chunk_samples:
            raise NetworkInputError(
                f"the streaming encoder takes whole chunks of {self.profile.chunk_samples} "
                f"samples, shape (batch, samples), not {tuple(audio.shape)}"
            )
        chunks = audio.shape[1] // self.profile.chunk_samples
        begin, end = state.frames, state.frames + chunks * self._chunk
        positions = torch.arange(begin, end, device=audio.device) + state.origin
        positions %= self.profile.encoder.position_period
        carried = (state.wave, state.mel, state.conv, state.keys, state.values, *state.adapter)
        valid = self._valid(begin, chunks, audio)
        if valid is None:
            compute = partial(self._compute, recompute, None)
            made = run("all keys", compute, audio, positions, *carried)
        else:
            compute = partial(self._compute, recompute)
            made = run("some keys", compute, valid, audio, positions, *carried)
        features, wave, mel, conv, keys, values, *adapter = made
        after = EncoderState(
            wave, mel, conv, keys, values, tuple(adapter), frames=end, origin=state.origin
        )
        return features, after

    def _compute(
        self,
        recompute: bool,
        valid: Tensor | None,
        audio: Tensor,
        positions: Tensor,
        wave: Tensor,
        mel: Tensor,
        conv: Tensor,
        keys: Tensor,
        values: Tensor,
        *adapter: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return the features and the next state's tensors. ``valid``: see :meth:`_valid`;
        ``positions``: of the encoder's frames."""
        log, wave = self.log_mel(wave, audio)
        mels = torch.cat((mel, log.to(mel)), dim=-1)
        # Pad with the past in front and nothing behind.
        first = functional.gelu(_unpadded(self.encoder.conv1, mels))
        firsts = torch.cat((conv, first), dim=-1)
        x = functional.gelu(_unpadded(self.encoder.conv2, firsts)).transpose(1, 2)
        x = x + self.encoder.embed_positions(positions)
        parts = self._parts(valid, x)
        new_keys, new_values, kept = [], [], []
        for index, layer in enumerate(self.encoder.layers):
            past = keys[index], values[index]
            one = cast(WhisperEncoderLayer, layer)
            if recompute:
                x, key, value = checkpoint(
                    _layer,
                    one,
                    x,
                    *past,
                    parts,
                    use_reentrant=False,
                    preserve_rng_state=False,
                )
            else:
                x, key, value = _layer(one, x, *past, parts)
            new_keys.append(key)
            new_values.append(value)
        x = self.encoder.layer_norm(x)
        for stage, before in zip(self.adapter.downsample_layers, adapter, strict=True):
            x, after = _downsample(cast(DownsampleLayer, stage), before, x)
            kept.append(after)
        keys, values = torch.stack(new_keys), torch.stack(new_values)
        return x, wave, mels[..., -2:], first[..., -1:], keys, values, *kept

    def _valid(self, frames: int, chunks: int, audio: Tensor) -> Tensor | None:
        """Return which keys of the ``chunks`` in ``audio`` exist: (look_back + frames,).

        None once ``look_back`` frames have passed: all keys exist from then on.
        """
        back = self.profile.encoder.look_back
        if frames >= back:
            return None
        keys = torch.arange(back + chunks * self._chunk, device=audio.device)
        return keys + frames >= back

    def _parts(self, valid: Tensor | None, x: Tensor) -> list[_Part]:
        """Divide the frames of ``x`` (batch, frames, width) into groups of chunks, all of a part
        equally large: whole ones, and what is left."""
        back, chunk, (batch, end, _) = self.profile.encoder.look_back, self._chunk, x.shape
        parts, start = [], 0
        while start < end:
            frames = min(TOGETHER * chunk, end - start)
            stop = end - (end - start) % frames
            mask = None
            if frames > chunk:
                keys = torch.arange(back + frames, device=x.device)
                first = torch.arange(frames, device=x.device)[:, None] // chunk * chunk
                mask = ((keys >= first) & (keys < first + back + chunk))[None, None]
            if valid is not None:
                exist = valid[start : back + stop].unfold(0, back + frames, frames)[:, None, None]
                mask = exist if mask is None else mask & exist
                mask = mask if batch == 1 else mask.repeat(batch, 1, 1, 1)
            parts.append(_Part(start, stop, frames, mask))
            start = stop
        return parts


class _Part(NamedTuple):
    """Frames from ``start`` to ``stop`` that attend in groups of ``frames``. ``mask``: of the keys
    of each frame, (batch * groups or 1, 1, frames or 1, look_back + frames); None: all."""

    start: int
    stop: int
    frames: int
    mask: Tensor | None


def _layer(
    layer: WhisperEncoderLayer,
    x: Tensor,
    keys: Tensor,
    values: Tensor,
    parts: Sequence[_Part],
) -> tuple[Tensor, Tensor, Tensor]:
    """Run one of Whisper's layers on ``x`` (batch, time, width) after the carried frames.

    Each group of chunks attends to a window of its own, so the work grows linearly with the time.
    """
    attention, back = layer.self_attn, keys.shape[2]
    normed = layer.self_attn_layer_norm(x)
    query, key, value = (
        projection(normed).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    keys, values = torch.cat((keys, key), dim=2), torch.cat((values, value), dim=2)
    mixed = []
    for start, stop, frames, mask in parts:
        # Fused kernels take four dimensions: each group is an entry of the batch.
        asked = query[:, :, start:stop].unflatten(2, (-1, frames)).transpose(1, 2).flatten(0, 1)
        seen, told = (
            rows[:, :, start : back + stop]
            .unfold(2, back + frames, frames)
            .permute(0, 2, 1, 4, 3)
            .flatten(0, 1)
            for rows in (keys, values)
        )
        found = functional.scaled_dot_product_attention(asked, seen, told, attn_mask=mask)
        mixed.append(found.unflatten(0, (len(x), -1)).transpose(2, 3).flatten(1, 2))
    whole = mixed[0] if len(mixed) == 1 else torch.cat(mixed, dim=1)
    x = x + attention.out_proj(whole.flatten(2))
    x = x + layer.fc2(functional.gelu(layer.fc1(layer.final_layer_norm(x))))
    end = keys.shape[2] - back
    return x, keys[:, :, end:], values[:, :, end:]


def _downsample(layer: DownsampleLayer, before: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Run an adapter stage on ``x`` (batch, even time, width); also return the frame to carry."""
    frames = torch.cat((before, x.transpose(1, 2)), dim=-1)
    halved = functional.relu(_unpadded(layer.conv1d, frames)).transpose(1, 2)
    out: Tensor = layer.linear2(functional.relu(layer.linear1(halved)))
    return out, frames[..., -1:]


def _unpadded(conv: nn.Conv1d, x: Tensor) -> Tensor:
    return functional.conv1d(x, conv.weight, conv.bias, stride=conv.stride)
