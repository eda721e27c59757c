"""Measure how a voice sounds: pitch, brightness, pace, level, and its speaker embedding."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from audio_io.clock import ASSISTANT_RATE, USER_RATE
from audio_io.levels import from_db, span_of_sound
from audio_io.resample import resample
from audio_io.signal import Audio
from model.hearing.identity.profile import Embedding, SpeakerEmbedder
from model.lite.synthesizer import KokoroSynthesizer, Synthesizer, speaking_level
from voices.pack import VoiceFigures

SENTENCES = {
    "en": (
        "When sunlight strikes raindrops in the air, they form a rainbow.",
        "My brother asked where the old railway had gone, so we walked along the river.",
    ),
    "es": (
        "Cuando el sol ilumina las gotas de lluvia, aparece un arco iris.",
        "Mi hermano preguntó dónde estaba la vieja estación, así que paseamos junto al río.",
    ),
    "zh": (
        "今天下午天气很好，我们一起去公园散步吧。",
        "明天早上我们要去北京，你能不能帮我买两张火车票？",
    ),
}
"""What every voice of a language says to be measured."""

CLAUSES = {
    "en": (
        ("Hello.",),
        ("Yes, of course!", "Let me think."),
        ("I like this place a lot.", "There is more in the kitchen."),
        ("The garden is very quiet this morning.",),
        ("We walked along the river and then had some lunch.",),
    ),
    "es": (
        ("Hola.",),
        ("¡Claro que sí!", "Déjame pensar."),
        ("Este lugar me gusta.", "Hay más en la cocina."),
        ("Hoy el jardín está muy tranquilo.",),
        ("Paseamos junto al río y después comimos.",),
    ),
}
"""By language, clauses of growing length for a voice's statistics, to which its sentences come."""

HEADROOM_DB = 20.0
"""How far below the network's own level a voice speaks to be measured: the limiter stays idle."""

_LOWEST_HZ, _HIGHEST_HZ = 60, 400
_PERIODIC = 0.6
"""Autocorrelation from which a frame is voiced."""
_NO_PHONEME = re.compile(r"[\s\W→↗↓↘ˈˌː]")

Frames = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """A voice as measured. ``level``: dBFS while it speaks; ``embedding``: of length 1, (192,);
    ``statistics``: rows of those that Kokoro holds, None where clauses come in one piece."""

    figures: VoiceFigures
    level: float
    embedding: Embedding = field(repr=False)
    statistics: NDArray[np.float16] | None = field(default=None, repr=False)


def measure_voice(voice: Synthesizer, embedder: SpeakerEmbedder) -> Measured:
    """Let ``voice``, set ``HEADROOM_DB`` too low, say the sentences of its language and measure it.

    Raises: SynthesizerError, WeightsError.
    """
    texts = SENTENCES[voice.language]
    spoken = np.concatenate([_say(voice, text) for text in texts])
    phonemes = sum(len(_NO_PHONEME.sub("", voice.phonemes(text))) for text in texts)
    figures = VoiceFigures(
        pitch=round(float(np.median(pitch(spoken))), 1),
        brightness=round(brightness(spoken)),
        pace=round(phonemes / (len(spoken) / ASSISTANT_RATE), 1),
    )
    embedding = embedder.embed(resample(spoken, ASSISTANT_RATE, USER_RATE))
    clauses = CLAUSES.get(voice.language)
    statistics = None
    if isinstance(voice, KokoroSynthesizer) and clauses:
        statistics = np.array([voice.measure(row) for row in (*clauses, texts)], np.float16)
    return Measured(figures, round(speaking_level(spoken), 1), embedding, statistics)


def _say(voice: Synthesizer, text: str) -> Audio:
    """Return ``text`` at the network's own level, from the first sound to the last."""
    sound = voice.say(text) * np.float32(from_db(HEADROOM_DB))
    start, end = span_of_sound(sound)
    return sound[start:end]


def pitch(sound: NDArray[np.floating]) -> Frames:
    """Return the fundamental frequency of the voiced frames in Hz, by normalised autocorrelation.

    ``sound``: 24 kHz.
    """
    length, longest, shortest = 1200, ASSISTANT_RATE // _LOWEST_HZ, ASSISTANT_RATE // _HIGHEST_HZ
    power = np.abs(np.fft.rfft(_loud_frames(sound, length), 4096)) ** 2
    window = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(length), 4096)) ** 2)[:longest]
    correlation = np.fft.irfft(power)[:, :longest] / (window / window[0])
    correlation = (correlation / correlation[:, :1])[:, shortest:]
    found = []
    for row in correlation[correlation.max(axis=1) > _PERIODIC]:
        lag = int(np.flatnonzero(row >= 0.9 * row.max())[0])  # not a multiple of the period
        while lag + 1 < len(row) and row[lag + 1] > row[lag]:
            lag += 1
        found.append(ASSISTANT_RATE / (lag + shortest))
    return np.array(found)


def brightness(sound: Audio) -> float:
    """Return the centroid of the mean magnitude spectrum in Hz. ``sound``: 24 kHz."""
    length = 1024
    spectrum = np.abs(np.fft.rfft(_loud_frames(sound, length))).mean(axis=0)
    frequencies = np.fft.rfftfreq(length, 1 / ASSISTANT_RATE)
    return float(frequencies @ spectrum / spectrum.sum())


def _loud_frames(sound: NDArray[np.floating], length: int) -> Frames:
    """Return windowed frames every 10 ms without the quiet ones, shape (frames, length)."""
    step = ASSISTANT_RATE // 100
    frames = np.lib.stride_tricks.sliding_window_view(sound.astype(np.float64), length)[::step]
    energy = np.mean(frames**2, axis=1)
    loud: Frames = frames[energy > 0.05 * np.percentile(energy, 95)] * np.hanning(length)
    return loud
