"""The sounds of scenarios: lines rendered by the embedded voices, and noise.

A rendered line is kept in the set's ``sounds`` folder, named after voice and text, so rebuilding a
set renders only new lines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from audio_io.acoustics import noise as noises
from audio_io.clock import USER_RATE
from audio_io.files import read_audio, write_audio
from audio_io.levels import at_level, span_of_sound
from audio_io.signal import Audio
from covo_cli.bench.speech import PERSON_DB, rendered
from covo_cli.evaluation import EVERYDAY
from covo_cli.evaluation.scenarios.scenario import (
    SOUNDS,
    EvaluationError,
    Noise,
    NoiseKind,
    Scenario,
    ScenarioSet,
    ScriptLine,
    SoundSource,
)
from covo_cli.evaluation.scenarios.vocal import cough, laughter
from model.lite.synthesizer import Synthesizer

NOISE_S = 30.0
_BABBLE_LINES = 16


def render(
    scenarios: ScenarioSet, folder: Path, voices: Callable[[str], Synthesizer]
) -> Iterator[str]:
    """Render the lines of ``scenarios`` into ``folder``; yield each text before it is rendered.

    ``voices`` returns the synthesiser of a voice. Raises: AudioError, ModelError, VoiceError.
    """
    (folder / SOUNDS).mkdir(parents=True, exist_ok=True)
    wanted = [(line.voice, line.text) for line in _spoken(scenarios.scenarios)]
    for voice, text in dict.fromkeys(sorted(wanted)):
        path = _path(folder, voice, text)
        if not path.exists():
            yield text
            speech = rendered(text, voices(voice))
            # Trim the trailing silence, since pauses count from a line's last sound.
            write_audio(path, speech[: span_of_sound(speech)[1]], USER_RATE)


def missing(scenarios: ScenarioSet, folder: Path) -> int:
    """Return how many lines are not yet rendered in ``folder``."""
    paths = {_path(folder, line.voice, line.text) for line in _spoken(scenarios.scenarios)}
    return sum(not path.exists() for path in paths)


def line_sound(line: ScriptLine, folder: Path) -> Audio:
    """Return the sound of ``line`` at its level: float32 mono 16 kHz.

    Raises: EvaluationError if it is not rendered, AudioFileError.
    """
    match line.source:
        case SoundSource.LAUGHTER:
            sound = laughter(line.seed)
        case SoundSource.COUGH:
            sound = cough(line.seed)
        case SoundSource.FILE:
            sound = read_audio(folder / line.file, USER_RATE)
        case SoundSource.VOICE:
            path = _path(folder, line.voice, line.text)
            if not path.exists():
                raise EvaluationError(
                    f"{line.text!r} is not rendered: run `covo eval build --out {folder}` again"
                )
            sound = read_audio(path, USER_RATE)
    return sound if line.level is None else at_level(sound, line.level)


def noise_sound(noise: Noise, scenarios: ScenarioSet, folder: Path) -> Audio:
    """Return 30 s of ``noise``: float32 mono 16 kHz. Babble mixes six of the set's voices."""
    n, level = round(NOISE_S * USER_RATE), PERSON_DB - noise.snr
    rng = np.random.default_rng(noise.seed)
    match noise.kind:
        case NoiseKind.WHITE:
            return noises.white(n, level, rng)
        case NoiseKind.PINK:
            return noises.pink(n, level, rng)
        case NoiseKind.HUM:
            return noises.hum(n, level)
        case NoiseKind.CLICKS:
            return noises.scaled(noises.key_clicks(n, rng), level)
        case NoiseKind.BABBLE:
            of = [s for s in scenarios.scenarios if s.kind not in EVERYDAY]
            spoken = list(_spoken(of))[:: max(1, len(of) // _BABBLE_LINES)]
            voices = [at_level(line_sound(line, folder), PERSON_DB) for line in spoken]
            return noises.babble(voices, n, level, rng)


def _spoken(scenarios: Iterable[Scenario]) -> Iterator[ScriptLine]:
    for scenario in scenarios:
        yield from (line for line in scenario.lines if line.source is SoundSource.VOICE)


def _path(folder: Path, voice: str, text: str) -> Path:
    digest = hashlib.sha256(f"{voice}\n{text}".encode()).hexdigest()[:16]
    return folder / SOUNDS / f"{voice}-{digest}.flac"
