"""From a turn of speech to what the encoder hears, and to how many embeddings it will give.

A turn is brought to 24 kHz, cut to whole 10 ms and filled up to whole 20 ms, split into segments
of 30 s, and each segment is resampled to 16 kHz and turned into a log-mel spectrogram of its own.

Different from the published code, unless ``reference_quirks``: that code counts the embeddings of
a turn on the whole turn but computes them per segment, rounding up each time (30 s are 187.5, it
computes 188). Cutting the concatenation to the count then loses about 0.08 s of the turn's end
per full segment. Here the count is the sum over the segments, so nothing is lost; for turns of up
to 30 s both are the same.
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
    """What the encoder is given for one turn.

    ``log_mels`` has shape (segments, mels, 3000), float32, on the CPU. Of the embeddings of segment
    ``i`` the first ``rows[i]`` are the turn's; the prompt has ``sum(rows)`` placeholders.
    """

    log_mels: Tensor
    rows: tuple[int, ...]

    @property
    def placeholders(self) -> int:
        """How many placeholders the prompt must have for this turn."""
        return sum(self.rows)


def turn_features(
    audio: Tensor,
    rate: int,
    *,
    mels: int = 128,
    device: torch.device | str = "cpu",
    reference_quirks: bool = False,
) -> TurnFeatures:
    """The features of one turn of speech. ``audio``: shape (samples,) or (channels, samples), on
    the CPU, where it is resampled; ``device``: where the spectrograms are computed.

    Raises: NetworkInputError when the audio is shorter than 10 ms, not finite, or of a shape that
    is not audio.
    """
    whole = trim_and_pad(resample(mono(audio), rate, RATE))
    rows = embedding_rows(len(whole), reference_quirks=reference_quirks)
    segments = (resample(segment, RATE, ENCODER_RATE) for segment in split(whole))
    return TurnFeatures(torch.stack([log_mel(wave, mels, device) for wave in segments]), rows)


def embedding_rows(samples: int, *, reference_quirks: bool = False) -> tuple[int, ...]:
    """How many embeddings of each 30 s segment belong to a turn of ``samples`` at 24 kHz."""
    frames = [min(SEGMENT, samples - start) // MEL_FRAME for start in range(0, samples, SEGMENT)]
    rows = [ceil(count / FRAMES_PER_EMBEDDING) for count in frames]
    if reference_quirks:
        left = ceil(sum(frames) / FRAMES_PER_EMBEDDING)
        for index, count in enumerate(rows):
            rows[index] = min(count, left)
            left -= rows[index]
    return tuple(rows)


def mono(audio: Tensor) -> Tensor:
    """``audio`` as one channel of finite float32, the mean of its channels.

    Raises: NetworkInputError.
    """
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
    """``audio`` of shape (samples,) at another rate: ceil(samples * target / rate) samples.

    A polyphase windowed-sinc filter: six zero crossings on each side, cut off at 0.99 of the lower
    Nyquist frequency, Hann window -- the numbers (not the code) of torchaudio's default, which the
    network was trained behind. soxr is better at resampling and differs too much to be used here.
    On the CPU it takes a thousandth of the audio's time; on a GPU cuDNN would round it to TF32.
    """
    if rate <= 0:
        raise NetworkInputError(f"a sample rate of {rate} Hz is not possible")
    if rate == target or not len(audio):
        return audio
    common = gcd(rate, target)
    step, phases = rate // common, target // common
    kernel, reach = _sinc_kernel(step, phases)
    padded = functional.pad(audio, (reach, reach + step))
    out = functional.conv1d(padded[None, None], kernel[:, None], stride=step)
    return out[0].T.reshape(-1)[: ceil(phases * len(audio) / step)]


def trim_and_pad(audio: Tensor) -> Tensor:
    """``audio`` at 24 kHz cut to whole 10 ms, then filled with silence to whole 20 ms.

    Raises: NetworkInputError when nothing is left.
    """
    kept = len(audio) // MEL_FRAME * MEL_FRAME
    if not kept:
        raise NetworkInputError(
            f"the turn is too short: {1000 * len(audio) / RATE:.1f} ms, and the network hears "
            "nothing below 10 ms"
        )
    return functional.pad(audio[:kept], (0, -kept % (2 * MEL_FRAME)))


def split(audio: Tensor) -> tuple[Tensor, ...]:
    """``audio`` at 24 kHz in pieces of 30 s; the last one is short."""
    segments: tuple[Tensor, ...] = torch.split(audio, SEGMENT)
    return segments


def log_mel(audio: Tensor, mels: int = 128, device: torch.device | str = "cpu") -> Tensor:
    """Shape (mels, 3000): the log-mel spectrogram of up to 30 s at 16 kHz, filled with silence.

    transformers' ``WhisperFeatureExtractor`` computes it on ``device``; it comes back to the CPU.
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
    """Shape (phases, 2 * reach + step): output ``n * phases + p`` is filter ``p`` on the input
    from ``n * step - reach`` on. Computed in float64, given as float32."""
    cutoff = min(step, phases) * _ROLLOFF
    reach = ceil(_ZERO_CROSSINGS * step / cutoff)
    taps = torch.arange(-reach, reach + step, dtype=torch.float64) / step
    starts = torch.arange(phases, dtype=torch.float64) / phases
    time = ((taps[None, :] - starts[:, None]) * cutoff).clamp(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = torch.cos(time * (pi / (2 * _ZERO_CROSSINGS))).square()
    return (torch.sinc(time) * window * (cutoff / step)).float(), reach
