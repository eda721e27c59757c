"""Measure how well the user's voice is told from other voices.

Each voice is the user once: its profile is learnt from one sentence and compared with pieces of
other sentences in its own voice and in all others.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio_io.acoustics import noise
from audio_io.clock import USER_RATE, samples
from audio_io.signal import Audio
from covo_cli.bench.figures import machine, summary
from covo_cli.bench.speech import PERSON_DB, trimmed
from covo_cli.errors import CliError
from model.hearing.identity.profile import (
    ENOUGH_S,
    SHORTEST_S,
    SpeakerEmbedder,
    SpeakerProfile,
    Whose,
)

PROFILE = "I would like to hear a little about the weather this week, and then about the news."
SENTENCES = (
    "Could you tell me how far it is from here to the nearest station?",
    "My sister bought an old bicycle at the market on Saturday.",
    "There were twelve people waiting outside, and nobody knew why.",
    "Please turn the music down, I can hardly hear you.",
)

LENGTHS_S = (SHORTEST_S, 1.2, 1.7, 2.4)
SNR_DB = 10.0

Scores = NDArray[np.float64]


def measure_speakers(
    embedder: SpeakerEmbedder, said: Mapping[str, Sequence[Audio]]
) -> dict[str, Any]:
    """Return JSON-ready figures for ``said``: what each voice says, :data:`PROFILE` first.

    Sounds are float32 mono 16 kHz at a person's level. Figures for each length of speech, clean and
    in white noise: the equal error rate, and at the program's threshold the share of the user's
    pieces that are rejected, of the user's that are hard to tell until there is more speech, and of
    the others' that are not rejected.
    """
    embedder.load()
    rng = np.random.default_rng(10)
    clean = {voice: [trimmed(sound) for sound in sounds] for voice, sounds in said.items()}
    noisy = {voice: [_in_noise(s, rng) for s in sounds] for voice, sounds in clean.items()}
    figures: dict[str, Any] = {
        "machine": machine(),
        "voices": list(said),
        "work_ms_per_second": _cost(embedder, next(iter(clean.values()))[0]),
    }
    users = {voice: _profile(embedder, sounds[0]) for voice, sounds in clean.items()}
    noise_name = f"white noise, {SNR_DB:.0f} dB"
    for name, sounds, ratio in (("clean", clean, np.inf), (noise_name, noisy, SNR_DB)):
        for length in LENGTHS_S:
            figures[f"{length} s, {name}"] = _errors(embedder, users, sounds, length, ratio)
    return figures


def equal_error(own: Scores, others: Scores) -> float:
    """Return the error rate at the threshold where ``own`` scores are rejected as often as those
    of ``others`` are accepted."""
    levels = np.unique(np.concatenate([own, others]))
    rejected = np.array([np.mean(own < level) for level in levels])
    accepted = np.array([np.mean(others >= level) for level in levels])
    best = int(np.argmin(np.abs(rejected - accepted)))
    return float((rejected[best] + accepted[best]) / 2)


def _errors(
    embedder: SpeakerEmbedder,
    users: Mapping[str, SpeakerProfile],
    sounds: Mapping[str, Sequence[Audio]],
    length: float,
    above_noise: float,
) -> dict[str, Any]:
    own: list[float] = []
    others: list[float] = []
    told: dict[bool, list[Whose]] = {True: [], False: []}
    for speaker, (_, *sentences) in sounds.items():
        for piece in _pieces(sentences, samples(length)):
            voice = embedder.embed(piece)
            for user, profile in users.items():
                (own if user == speaker else others).append(profile.likeness(voice))
                told[user == speaker].append(profile.whose(voice, length, above_noise))
    return {
        "trials": len(own) + len(others),
        "equal_error": round(equal_error(np.array(own), np.array(others)), 4),
        "user_rejected": round(told[True].count(Whose.OTHER) / len(own), 4),
        "user_unclear": round(told[True].count(Whose.UNCLEAR) / len(own), 4),
        "others_accepted": round(1 - told[False].count(Whose.OTHER) / len(others), 4),
        "user": summary(own, lowest=0, median=50),
        "others": summary(others, median=50, highest=100),
    }


def _pieces(sounds: Sequence[Audio], length: int) -> list[Audio]:
    return [
        sound[start : start + length]
        for sound in sounds
        for start in range(0, len(sound) - length + 1, length)
    ]


def _profile(embedder: SpeakerEmbedder, sound: Audio) -> SpeakerProfile:
    profile = SpeakerProfile(embedder.middle)
    speech = profile.learn(sound, np.inf)
    if speech is None:
        raise CliError(f"a profile needs {ENOUGH_S:g} s of speech; this voice says too little")
    profile.voice = embedder.embed(speech)
    return profile


def _in_noise(sound: Audio, rng: np.random.Generator) -> Audio:
    return sound + noise.white(len(sound), PERSON_DB - SNR_DB, rng)


def _cost(embedder: SpeakerEmbedder, sound: Audio) -> float:
    """Return processor time in ms for a second of speech, the best of three."""
    times = []
    for _ in range(3):
        began = time.process_time()
        embedder.embed(sound)
        times.append(time.process_time() - began)
    return round(1000 * min(times) / (len(sound) / USER_RATE), 1)
