"""The user's channel of a dialogue: speech where it belongs, and the sound of a place around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.random import Generator

from audio_io.acoustics import noise as noises
from audio_io.acoustics.echo_path import EchoPath
from audio_io.clock import USER_RATE, samples
from audio_io.files import read_audio
from audio_io.levels import at_level, from_db
from audio_io.resample import resample
from audio_io.signal import Audio
from covo_cli.fd.recipe import SoundSection

_FADE_S = 0.005
"""Cut edges fade, so that no click tells where they are."""
_NEAR_S = 0.12
_QUIET_S = 0.02
_TELEPHONE_RATE = 8_000
_MU = 255.0
_ROOM_DB = -62.0
"""White noise of a quiet room, in dBFS, where there is no other noise."""


@dataclass(slots=True)
class UserChannel:
    """Sounds with their first samples; ``length`` is where the last of them ends."""

    parts: list[tuple[int, Audio]] = field(default_factory=list)
    length: int = 0

    def put(self, at: int, sound: Audio) -> None:
        """Add ``sound`` from sample ``at`` on."""
        self.parts.append((at, sound))
        self.length = max(self.length, at + len(sound))

    def mixed(self, length: int) -> Audio:
        """Return all sounds in ``length`` samples."""
        whole = np.zeros(length, np.float32)
        for at, sound in self.parts:
            kept = sound[: max(0, length - at)]
            whole[at : at + len(kept)] += kept
        return whole


def in_a_place(
    speech: Audio,
    settings: SoundSection,
    others: Sequence[Audio],
    own_noises: Sequence[Path],
    random: Generator,
) -> Audio:
    """Return ``speech``, near full scale, as a microphone somewhere hears it.

    ``others``: utterances of which babble is made; ``own_noises``: files to use as noise.
    """
    level, length = random.uniform(*settings.level), len(speech)
    time = np.arange(length) / USER_RATE
    drift = np.sin(2 * np.pi * (time / random.uniform(8.0, 30.0) + random.random()))
    gain = from_db(1.0) ** (settings.drift_db * drift)
    heard: Audio = (at_level(speech, level) * gain).astype(np.float32)
    if random.random() < settings.room:
        rt60 = random.uniform(*settings.rt60)
        heard = EchoPath(0.0, rt60, 0.0, int(random.integers(1 << 31))).process(heard)
    if random.random() < settings.noise:
        low, middle, high = settings.snr
        loud = random.random() < 0.5
        snr = random.uniform(low, middle) if loud else random.uniform(middle, high)
        heard = heard + _noise(length, level - snr, others, own_noises, random)
    else:
        heard = heard + noises.white(length, _ROOM_DB, random)
    if random.random() < settings.telephone:
        heard = _telephone(heard)
    return np.clip(heard, -1.0, 1.0).astype(np.float32)


def _noise(
    length: int, level: float, others: Sequence[Audio], own: Sequence[Path], random: Generator
) -> Audio:
    kinds = ["white", "pink", "hum", "keys", *["babble"] * bool(others), *["own"] * bool(own)]
    match random.choice(kinds):
        case "white":
            return noises.white(length, level, random)
        case "pink":
            return noises.pink(length, level, random)
        case "hum":
            return noises.hum(length, level)
        case "keys":
            return noises.scaled(noises.key_clicks(length, random), level)
        case "babble":
            return noises.babble(others, length, level, random)
    sound = read_audio(own[int(random.integers(len(own)))], USER_RATE)
    sound = np.roll(np.resize(sound, length), int(random.integers(length)))
    return noises.scaled(sound, level) if sound.any() else sound


def _telephone(sound: Audio) -> Audio:
    """Return ``sound`` through 8 kHz and 8-bit mu-law."""
    narrow = np.clip(resample(sound, USER_RATE, _TELEPHONE_RATE), -1.0, 1.0)
    pressed = np.sign(narrow) * np.log1p(_MU * np.abs(narrow)) / np.log1p(_MU)
    steps = np.round(pressed * 127.0) / 127.0
    opened = np.sign(steps) * np.expm1(np.abs(steps) * np.log1p(_MU)) / _MU
    wide = resample(opened.astype(np.float32), _TELEPHONE_RATE, USER_RATE)
    return np.resize(wide, len(sound))


def quiet_place(speech: Audio, at: int) -> int:
    """Return where ``speech`` (16 kHz) is quietest within 0.12 s of sample ``at``."""
    near, block = samples(_NEAR_S), samples(_QUIET_S)
    first = max(block, at - near)
    around = speech[first : at + near] ** 2
    if len(around) <= block:
        return min(at, len(speech))
    return first + int(np.argmin(np.convolve(around, np.ones(block), "valid"))) + block // 2


def faded(sound: Audio, *, begin: bool = False, end: bool = False) -> Audio:
    """Return ``sound`` with its cut edges faded."""
    out = sound.copy()
    length = min(samples(_FADE_S), len(out))
    slope = np.linspace(0.0, 1.0, length, dtype=np.float32)
    if begin:
        out[:length] *= slope
    if end and length:
        out[-length:] *= slope[::-1]
    return out
