"""Compare voice activity detectors: false triggers, misses and delay.

Synthesised speech is mixed with noise at known levels, so the truth is known for every frame.
Levels are in dBFS (RMS, excluding pauses), signal-to-noise ratios in dB.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from audio_io.acoustics import noise
from audio_io.clock import ASSISTANT_RATE, FRAME, USER_RATE
from audio_io.levels import from_db
from audio_io.resample import resample
from audio_io.signal import Audio, SpeechDetector
from covo_cli.bench.speech import PERSON_DB
from model.turns.turn_settings import TurnSettings

THRESHOLD = 0.5
"""Lowest probability that counts as speech, as in turn taking."""

NOISE_S = 30.0
PAUSE_S = 1.5
SNRS_DB = (None, 20, 10, 5, 0)
QUIET_DB = 35.0
"""A frame this many dB below the loudest of its utterance is not speech."""

_GAP_FRAMES = 10
"""Gaps within an utterance up to this long (0.2 s) count as speech."""

SENTENCES = (
    "What is the capital of Australia?",
    "Tell me something about the moon.",
    "How many days are there in a week?",
    "I was wondering whether you could help me with my garden this weekend.",
    "No, stop.",
    "Yes please.",
    "Could you say that again, a little more slowly?",
    "The fisherman found a small box under the boat.",
    "Why is the sky blue during the day and red in the evening?",
    "Wait a moment, I did not mean that.",
    "Play something quiet.",
    "It has been raining since early this morning.",
)

Mask = NDArray[np.bool_]


def measure(
    detectors: Mapping[str, Callable[[], SpeechDetector]],
    synthesise: Callable[[str], Audio],
    sentences: Sequence[str] = SENTENCES,
    noise_seconds: float = NOISE_S,
) -> dict[str, Any]:
    """Measure every detector on the same sounds; return JSON-ready figures.

    ``synthesise`` renders a sentence as float32 mono 24 kHz. Figures per detector:

    - ``noise``, per sound: share of frames called speech; turns begun and kept per minute.
    - ``speech``, per SNR: share of speech frames missed, utterances missed, onset and offset delay
      in ms.
    - ``cost``: share of real time on one core.
    """
    utterances = [
        _at_level(resample(synthesise(text), ASSISTANT_RATE, USER_RATE), PERSON_DB)
        for text in sentences
    ]
    noises = dict(_noises(utterances, round(noise_seconds * USER_RATE)))
    speech, spoken = _concatenate(utterances)
    result: dict[str, Any] = {
        "threshold": THRESHOLD,
        "speech_level_dbfs": PERSON_DB,
        "utterances": len(utterances),
        "speech_seconds": round(float(spoken.sum()) * FRAME / USER_RATE, 1),
        "noise_seconds": noise_seconds,
        "detectors": {},
    }
    for name, make in detectors.items():
        began = time.perf_counter()
        heard = len(SNRS_DB) * len(speech) + sum(len(noise) for noise in noises.values())
        result["detectors"][name] = {
            "noise": {label: _false_triggers(make(), noise) for label, noise in noises.items()},
            "speech": {
                "clean" if snr is None else f"{snr} dB": _on_speech(
                    make(), _with_noise(speech, snr), spoken
                )
                for snr in SNRS_DB
            },
            "cost": round((time.perf_counter() - began) / (heard / USER_RATE), 4),
        }
    return result


def vad_tables(figures: dict[str, Any]) -> list[Table]:
    """Lay out the figures of :func:`measure`."""
    detectors: dict[str, Any] = figures["detectors"]
    noise = Table(title="False triggers without speech: share of frames, turns per minute")
    speech = Table(title="Speech in pink noise: frames missed, onset and offset in ms (median)")
    cost = Table(title="Share of one core, in real time")
    for table in (noise, speech, cost):
        table.add_column("")
        for name in detectors:
            table.add_column(name, justify="right")
    first = next(iter(detectors.values()))
    for label in first["noise"]:
        cells = [detector["noise"][label] for detector in detectors.values()]
        noise.add_row(label, *(f"{c['share']:.1%}  {c['turns_per_minute']:5.1f}" for c in cells))
    for label in first["speech"]:
        cells = [detector["speech"][label] for detector in detectors.values()]
        speech.add_row(
            label,
            *(
                f"{c['frames_missed']:.1%}  {_ms(c['onset_ms_median'])}  "
                f"{_ms(c['offset_ms_median'])}"
                for c in cells
            ),
        )
    cost.add_row("", *(f"{detector['cost']:.2%}" for detector in detectors.values()))
    return [noise, speech, cost]


def _ms(value: float | None) -> str:
    return "   -" if value is None else f"{value:4.0f}"


def _decide(detector: SpeechDetector, sound: Audio) -> Mask:
    whole = len(sound) // FRAME * FRAME
    frames = (sound[at : at + FRAME] for at in range(0, whole, FRAME))
    return np.array([detector.process(frame) >= THRESHOLD for frame in frames])


def _false_triggers(detector: SpeechDetector, sound: Audio) -> dict[str, float]:
    decided = _decide(detector, sound)
    minutes = len(sound) / USER_RATE / 60.0
    lengths = [end - start for start, end in _runs(decided)]
    turns = TurnSettings()
    frame = FRAME / USER_RATE
    return {
        "share": round(float(decided.mean()), 4),
        "starts_per_minute": round(sum(n * frame >= turns.onset for n in lengths) / minutes, 1),
        "turns_per_minute": round(sum(n * frame >= turns.min_speech for n in lengths) / minutes, 1),
    }


def _on_speech(detector: SpeechDetector, sound: Audio, spoken: Mask) -> dict[str, Any]:
    decided = _decide(detector, sound)
    runs = _runs(spoken)
    onsets: list[int] = []
    offsets: list[int] = []
    missed = 0
    for index, (start, end) in enumerate(runs):
        following = runs[index + 1][0] if index + 1 < len(runs) else len(decided)
        found = np.flatnonzero(decided[start:end])
        if len(found) == 0:
            missed += 1
            continue
        # A frame is decided at its end.
        onsets.append(int(found[0]) + 1)
        # Count only speech that continues past the end, not later noise.
        silent = np.flatnonzero(~decided[end:following])
        offsets.append(int(silent[0]) if len(silent) else following - end)
    frame_ms = 1000.0 * FRAME / USER_RATE
    return {
        "frames_missed": round(float(1.0 - decided[spoken].mean()), 4),
        "utterances_missed": missed,
        "onset_ms_median": frame_ms * statistics.median(onsets) if onsets else None,
        "onset_ms_max": frame_ms * max(onsets) if onsets else None,
        "offset_ms_median": frame_ms * statistics.median(offsets) if offsets else None,
        "offset_ms_max": frame_ms * max(offsets) if offsets else None,
    }


def _runs(mask: Mask) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _concatenate(utterances: Sequence[Audio]) -> tuple[Audio, Mask]:
    """Join the utterances with pauses; return the sound and which frames are speech."""
    pause = np.zeros(round(PAUSE_S * USER_RATE), np.float32)
    parts: list[Audio] = [pause]
    for utterance in utterances:
        parts += [utterance, np.zeros(-len(utterance) % FRAME, np.float32), pause]
    speech = np.concatenate(parts)
    speech = speech[: len(speech) // FRAME * FRAME]
    power = np.mean(np.square(speech.reshape(-1, FRAME)), axis=1)
    spoken: Mask = power > np.max(power) * from_db(-QUIET_DB) ** 2
    for start, end in _runs(~spoken):
        if end - start <= _GAP_FRAMES:
            spoken[start:end] = True
    return speech, spoken


def _at_level(sound: Audio, level: float) -> Audio:
    """Scale ``sound`` so that its loud frames (within 35 dB of the peak) have RMS ``level``."""
    whole = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    power = np.mean(np.square(whole, dtype=np.float64), axis=1)
    loud = power[power > power.max() * from_db(-QUIET_DB) ** 2]
    return np.asarray(sound * (from_db(level) / np.sqrt(loud.mean())), dtype=np.float32)


def _with_noise(speech: Audio, snr: float | None) -> Audio:
    if snr is None:
        return speech
    return speech + noise.pink(len(speech), PERSON_DB - snr, np.random.default_rng(99))


def _noises(utterances: Sequence[Audio], n: int) -> list[tuple[str, Audio]]:
    rng = np.random.default_rng(1)
    time_axis = np.arange(n) / USER_RATE
    sounds: list[tuple[str, Audio]] = []
    for level in (-60, -50, -40, -30):
        sounds.append((f"white noise {level} dBFS", noise.white(n, level, rng)))
    for level in (-50, -40, -30):
        sound = noise.pink(n, level, np.random.default_rng(2))
        sounds.append((f"pink noise {level} dBFS", sound))
    tone = np.sqrt(2.0) * from_db(-30) * np.sin(2 * np.pi * 440 * time_axis)
    sounds.append(("tone 440 Hz -30 dBFS", tone.astype(np.float32)))
    sounds.append(("mains hum -35 dBFS", noise.hum(n, -35)))
    sounds.append(("key clicks", noise.key_clicks(n, rng)))
    sounds += [
        (f"babble of six {level} dBFS", noise.babble(utterances, n, level, rng))
        for level in (-55, -45, -35)
    ]
    return sounds
