"""Convert a turn's audio to the encoder's input, and count the resulting embeddings.

A turn is resampled to 24 kHz, cut to whole 10 ms, padded to whole 20 ms and split into segments of
30 s. Each segment is resampled to 16 kHz and becomes a log-mel spectrogram of its own.

Unlike the published code (``reference_quirks`` restores it), no speech is lost after 30 s. That
code counts embeddings on the whole turn but computes them per segment, rounding up each time (188
for the 187.5 of 30 s). Cutting to the count then loses about 0.08 s of the turn's end per full
segment. Here the count is the sum over the segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, gcd, pi

import torch
from torch import Tensor
from torch.nn import functional

from model.errors import NetworkInputError

RATE = 24_000
"""The rate at which a turn is measured and split."""
ENCODER_RATE = 16_000
SEGMENT = 30 * RATE
MEL_FRAME = RATE // 100
"""Samples at 24 kHz in one log-mel frame (10 ms)."""
FRAMES_PER_EMBEDDING = 16

_ZERO_CROSSINGS = 6
_ROLLOFF = 0.99


@dataclass(frozen=True, slots=True)
class TurnFeatures:
    """The encoder's input for one turn.

    ``log_mels``: (segments, mels, 3000), float32, on the CPU. ``rows[i]``: how many of segment
    ``i``'s embeddings belong to the turn, counted from its first.
    """

    log_mels: Tensor
    rows: tuple[int, ...]

    @property
    def placeholders(self) -> int:
        """Return the number of placeholders that the turn takes in a prompt."""
        return sum(self.rows)


def turn_features(
    audio: Tensor,
    rate: int,
    *,
    mels: int = 128,
    device: torch.device | str = "cpu",
    reference_quirks: bool = False,
) -> TurnFeatures:
    """Return the features of ``audio``, (samples,) or (channels, samples), on the CPU.

    ``device``: where the spectrograms are computed; resampling stays on the CPU. Raises:
    NetworkInputError when the audio is shorter than 10 ms, not finite or of another shape.
    """
    whole = trim_and_pad(resample(mono(audio), rate, RATE))
    rows = embedding_rows(len(whole), reference_quirks=reference_quirks)
    segments = (resample(segment, RATE, ENCODER_RATE) for segment in split(whole))
    return TurnFeatures(torch.stack([log_mel(wave, mels, device) for wave in segments]), rows)


def embedding_rows(samples: int, *, reference_quirks: bool = False) -> tuple[int, ...]:
    """Return how many of each 30 s segment's embeddings a turn of ``samples`` (24 kHz) has."""
    frames = [min(SEGMENT, samples - start) // MEL_FRAME for start in range(0, samples, SEGMENT)]
    rows = [ceil(count / FRAMES_PER_EMBEDDING) for count in frames]
    if reference_quirks:
        left = ceil(sum(frames) / FRAMES_PER_EMBEDDING)
        for index, count in enumerate(rows):
            rows[index] = min(count, left)
            left -= rows[index]
    return tuple(rows)


def mono(audio: Tensor) -> Tensor:
    """Return the mean of ``audio``'s channels as finite float32. Raises: NetworkInputError."""
    if audio.ndim not in {1, 2} or not audio.is_floating_point():
        raise NetworkInputError(
            f"audio must be floats of shape (samples,) or (channels, samples), not "
            f"{tuple(audio.shape)} of {audio.dtype}"
        )
    audio = audio.float()
    if audio.ndim == 2:
        audio = audio.mean(dim=0)
    if not bool(audio.isfinite().all()):
        raise NetworkInputError("the turn's audio has samples that are not numbers")
    return audio


def resample(audio: Tensor, rate: int, target: int) -> Tensor:
    """Resample ``audio`` (samples,) to ceil(samples * target / rate) samples.

    A polyphase windowed-sinc filter: six zero crossings on each side, cut off at 0.99 of the lower
    Nyquist frequency, Hann window. These are the numbers of torchaudio's default, with which the
    network was trained; soxr resamples better but differs too much. On the CPU it takes a
    thousandth of the audio's duration; on a GPU cuDNN would round it to TF32.
    """
    if rate <= 0:
        raise NetworkInputError(f"the sample rate must be above 0 Hz, not {rate}")
    if rate == target or not len(audio):
        return audio
    common = gcd(rate, target)
    step, phases = rate // common, target // common
    kernel, reach = _sinc_kernel(step, phases)
    padded = functional.pad(audio, (reach, reach + step))
    out = functional.conv1d(padded[None, None], kernel[:, None], stride=step)
    return out[0].T.reshape(-1)[: ceil(phases * len(audio) / step)]


def trim_and_pad(audio: Tensor) -> Tensor:
    """Cut ``audio`` (24 kHz) to whole 10 ms, then pad it with silence to whole 20 ms.

    Raises: NetworkInputError when nothing is left.
    """
    kept = len(audio) // MEL_FRAME * MEL_FRAME
    if not kept:
        raise NetworkInputError(
            f"the turn is too short: {1000 * len(audio) / RATE:.1f} ms; the network needs at least "
            "10 ms"
        )
    return functional.pad(audio[:kept], (0, -kept % (2 * MEL_FRAME)))


def split(audio: Tensor) -> tuple[Tensor, ...]:
    """Split ``audio`` (24 kHz) into segments of 30 s; the last may be shorter."""
    segments: tuple[Tensor, ...] = torch.split(audio, SEGMENT)
    return segments


def log_mel(audio: Tensor, mels: int = 128, device: torch.device | str = "cpu") -> Tensor:
    """Return the log-mel spectrogram (mels, 3000) of up to 30 s at 16 kHz, padded with silence.

    transformers' ``WhisperFeatureExtractor`` computes it on ``device``; the result is on the CPU.
    """
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(feature_size=mels, sampling_rate=ENCODER_RATE)
    features = extractor(
        audio.numpy(),
        sampling_rate=ENCODER_RATE,
        return_tensors="pt",
        device=str(device),
    )
    spectrogram: Tensor = features["input_features"][0]
    return spectrogram


def _sinc_kernel(step: int, phases: int) -> tuple[Tensor, int]:
    """Return filters (phases, 2 * reach + step), and the reach. Output ``n * phases + p`` is
    filter ``p`` on the input from ``n * step - reach`` on. Computed in float64, returned in 32."""
    cutoff = min(step, phases) * _ROLLOFF
    reach = ceil(_ZERO_CROSSINGS * step / cutoff)
    taps = torch.arange(-reach, reach + step, dtype=torch.float64) / step
    starts = torch.arange(phases, dtype=torch.float64) / phases
    time = ((taps[None, :] - starts[:, None]) * cutoff).clamp(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = torch.cos(time * (pi / (2 * _ZERO_CROSSINGS))).square()
    return (torch.sinc(time) * window * (cutoff / step)).float(), reach
