"""Whisper's encoder and the adapter as a stream: each chunk of audio gives its features at once.

The modules and weights are those of :mod:`model.covo.language.encoder`. What is different is how
they run:

- The first convolution looks one log-mel frame (10 ms) ahead. Its output is delayed by that frame,
  so the look-ahead is nothing: the signal is as if heard 12.5 ms later (with the 2.5 ms of
  :mod:`model.duplex.network.mel`). The strided convolutions end exactly with the chunk.
- A frame attends to its own chunk and to the ``look_back`` frames before that chunk, whose keys
  and values are carried. The cost of a chunk is the same for ever.
- Whisper's positions are absolute and end after 30 s. They are taken modulo ``position_period``.

Any number of chunks may be given in one step: one after the other or all at once is the same
computation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.whisper.modeling_whisper import WhisperEncoder, WhisperEncoderLayer

from model.covo.language.adapter import AudioAdapter, DownsampleLayer
from model.duplex.network.mel import TAIL, StreamingLogMel
from model.duplex.protocol.profile import DuplexProfile
from model.errors import NetworkInputError


@dataclass(frozen=True, slots=True)
class EncoderState:
    """Where a stream is; its tensors are never written to, so keeping it is a copy.

    ``wave`` (batch, 240): the last samples. ``mel`` (batch, mels, 2), ``conv`` (batch, width, 1)
    and ``adapter`` (one of that shape per stage): what the convolutions carry. ``keys`` and
    ``values``: (layers, batch, heads, look_back, head width). ``frames``: encoder frames so far;
    ``origin``: the position of the first.
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
    """``encoder`` and ``adapter`` of a network, run by ``profile``."""

    def __init__(
        self, encoder: WhisperEncoder, adapter: AudioAdapter, profile: DuplexProfile
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.adapter = adapter
        self.profile = profile
        weight = encoder.conv1.weight
        self.log_mel = StreamingLogMel(weight.shape[1], profile.encoder.mel_floor)
        self.log_mel.to(weight.device)

    def start(self, batch: int = 1, origin: int = 0) -> EncoderState:
        """The state before the first sample. ``origin``: where in the period positions begin
        (training begins anywhere, so that no position is special)."""
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

    def forward(self, state: EncoderState, audio: Tensor) -> tuple[Tensor, EncoderState]:
        """``audio`` (batch, chunks * chunk_samples), float32 at 16 kHz, to features (batch, chunks
        * features_per_chunk, LLM width), and the next state.

        Raises: NetworkInputError when that is not whole chunks.
        """
        if audio.ndim != 2 or not audio.shape[1] or audio.shape[1] % self.profile.chunk_samples:
            raise NetworkInputError(
                f"the streaming encoder takes whole chunks of {self.profile.chunk_samples} "
                f"samples, shape (batch, samples), not {tuple(audio.shape)}"
            )
        encoder = self.encoder
        mel, wave = self.log_mel(state.wave, audio)
        mels = torch.cat((state.mel, mel.to(state.mel)), dim=-1)
        # Padding is ours: the past is in front, and nothing of the future is behind.
        first = functional.gelu(_unpadded(encoder.conv1, mels))
        firsts = torch.cat((state.conv, first), dim=-1)
        x = functional.gelu(_unpadded(encoder.conv2, firsts)).transpose(1, 2)
        x, keys, values = self._attend(state, x)
        carried = []
        for layer, before in zip(self.adapter.downsample_layers, state.adapter, strict=True):
            x, after = _downsample(cast(DownsampleLayer, layer), before, x)
            carried.append(after)
        return x, EncoderState(
            wave=wave,
            mel=mels[..., -2:],
            conv=first[..., -1:],
            keys=keys,
            values=values,
            adapter=tuple(carried),
            frames=state.frames + audio.shape[1] // self.profile.chunk_samples * self._chunk,
            origin=state.origin,
        )

    @property
    def _chunk(self) -> int:
        return self.profile.encoder_frames

    def _attend(self, state: EncoderState, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The transformer on frames (batch, time, width); also the keys and values to carry."""
        count, period = x.shape[1], self.profile.encoder.position_period
        begin = state.origin + state.frames
        positions = torch.arange(begin, begin + count, device=x.device) % period
        x = x + self.encoder.embed_positions(positions)
        valid = self._valid(state.frames, count // self._chunk, x.device)
        keys, values = [], []
        for index, layer in enumerate(self.encoder.layers):
            carried = (state.keys[index], state.values[index])
            x, key, value = _layer(
                cast(WhisperEncoderLayer, layer), x, *carried, valid, self._chunk
            )
            keys.append(key)
            values.append(value)
        return self.encoder.layer_norm(x), torch.stack(keys), torch.stack(values)

    def _valid(self, frames: int, chunks: int, device: torch.device) -> Tensor | None:
        """Which of each chunk's keys there are, (1, chunks, 1, look_back + frames of a chunk); None
        when all are, which they are for ever once ``look_back`` frames have passed."""
        back = self.profile.encoder.look_back
        if frames >= back:
            return None
        first = torch.arange(chunks, device=device)[None, :, None, None] * self._chunk
        first = first + frames - back
        return first + torch.arange(back + self._chunk, device=device) >= 0


def _layer(
    layer: WhisperEncoderLayer,
    x: Tensor,
    keys: Tensor,
    values: Tensor,
    valid: Tensor | None,
    chunk: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """One of Whisper's layers on ``x`` (batch, time, width) behind what it carries. Each chunk
    attends to a window of its own, so the work grows with the time and not with its square."""
    attention, back = layer.self_attn, keys.shape[2]
    normed = layer.self_attn_layer_norm(x)
    query, key, value = (
        projection(normed).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    keys, values = torch.cat((keys, key), dim=2), torch.cat((values, value), dim=2)
    windows = (rows.unfold(2, back + chunk, chunk).transpose(-1, -2) for rows in (keys, values))
    # A single chunk, as in a conversation, in four dimensions: fused kernels know no more.
    seeing, seen, told = (rows.squeeze(2) for rows in (query.unflatten(2, (-1, chunk)), *windows))
    mixed = functional.scaled_dot_product_attention(seeing, seen, told, attn_mask=valid)
    x = x + attention.out_proj(mixed.reshape(query.shape).transpose(1, 2).flatten(2))
    x = x + layer.fc2(functional.gelu(layer.fc1(layer.final_layer_norm(x))))
    end = keys.shape[2] - back
    return x, keys[:, :, end:], values[:, :, end:]


def _downsample(layer: DownsampleLayer, before: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """An adapter stage on ``x`` (batch, even time, width), and the frame it carries on."""
    frames = torch.cat((before, x.transpose(1, 2)), dim=-1)
    halved = functional.relu(_unpadded(layer.conv1d, frames)).transpose(1, 2)
    out: Tensor = layer.linear2(functional.relu(layer.linear1(halved)))
    return out, frames[..., -1:]


def _unpadded(conv: nn.Conv1d, x: Tensor) -> Tensor:
    return functional.conv1d(x, conv.weight, conv.bias, stride=conv.stride)
