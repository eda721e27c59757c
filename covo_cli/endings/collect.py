"""Say the examples and collect what the models make of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from audio_io.acoustics.noise import white
from audio_io.clock import ASSISTANT_RATE, USER_RATE, samples
from audio_io.levels import at_level, span_of_sound
from audio_io.resample import resample
from audio_io.signal import Audio
from covo_cli.bench.speech import PERSON_DB
from covo_cli.endings.examples import CUT, Example
from model.hearing.recognition import Recognizer
from model.lite.synthesizer import Synthesizer
from model.turns.end_of_turn import SOUND_AFTER_S
from model.turns.endings.models import EndOfTurnModel, Outlook, OutlookModel

_BEFORE_S = 0.4
_PAUSE_S = 0.8
"""Seconds before the speech, and between lines."""

_ROOM_DB = -62.0
"""Noise of a quiet room, in dBFS."""

_SPEEDS = (0.85, 0.93, 1.0, 1.08, 1.17)
"""Played faster or slower, one voice sounds like other speakers."""


@dataclass(frozen=True, slots=True)
class HeardExample:
    """What was heard of an example; see :class:`model.turns.endings.features.TurnEnding`.

    ``written``: the outlook of the words as they are written, None if it was cut.
    """

    example: Example
    voice: str
    words: str
    sound: float
    outlook: Outlook | None = None
    written: Outlook | None = None


@dataclass(frozen=True, slots=True)
class Models:
    """The models that a conversation has. ``voices``: by name. ``speakers``: the names from which
    one is drawn for each example; who is named twice speaks twice as often."""

    voices: dict[str, Synthesizer]
    speakers: Sequence[str]
    recognizer: Recognizer
    end_of_turn: EndOfTurnModel
    outlook: OutlookModel | None


def collect(examples: Sequence[Example], models: Models, path: Path) -> Iterator[HeardExample]:
    """Say ``examples``, append what was heard to the JSON lines at ``path``, and yield it.

    What is there already is not said again. Raises: ModelError, OSError.
    """
    known = {heard.example: heard for heard in read(path)} if path.exists() else {}
    with path.open("ab") as file:
        for example in examples:
            if example not in known:
                known[example] = _hear(example, models)
                file.write(msgspec.json.encode(known[example]) + b"\n")
                file.flush()
            yield known[example]


def read(path: Path) -> list[HeardExample]:
    """Return what was collected at ``path``. Raises: OSError, msgspec.DecodeError."""
    return [msgspec.json.decode(line, type=HeardExample) for line in path.read_bytes().splitlines()]


def _hear(example: Example, models: Models) -> HeardExample:
    dice = np.random.default_rng(
        int.from_bytes(hashlib.sha256(repr(example).encode()).digest()[:8])
    )
    voice = str(dice.choice(models.speakers))
    audio = _said(example, models.voices[voice].stream, dice)
    words = models.recognizer.transcribe(audio).text
    sound = models.end_of_turn.probability(audio)
    if models.outlook is None:
        return HeardExample(example, voice, words, sound)
    outlook = models.outlook.outlook(words, example.before)
    if example.kind == CUT:
        return HeardExample(example, voice, words, sound, outlook)
    written = models.outlook.outlook(example.text, example.before)
    return HeardExample(example, voice, words, sound, outlook, written)


def _said(
    example: Example, stream: Callable[[str], Iterator[Audio]], dice: np.random.Generator
) -> Audio:
    """Return the turn and the short silence after it: float32 mono 16 kHz."""
    speed = float(dice.choice(_SPEEDS))
    parts = [np.zeros(samples(_BEFORE_S), np.float32)]
    for line in example.lines:
        speech = resample(np.concatenate(list(stream(line))), ASSISTANT_RATE, USER_RATE / speed)
        begin, end = span_of_sound(speech)
        parts += [speech[begin:end], np.zeros(samples(_PAUSE_S), np.float32)]
    parts[-1] = parts[-1][: samples(SOUND_AFTER_S)]
    if example.until < 1.0:
        parts[-2] = _cut(parts[-2], example.until)
    said = at_level(np.concatenate(parts), PERSON_DB)
    return (said + white(len(said), _ROOM_DB, dice)).astype(np.float32)


def _cut(speech: Audio, until: float) -> Audio:
    """Return the share ``until`` of ``speech``, cut where it is quietest within 0.12 s."""
    near, block = samples(0.12), samples(0.02)
    at = round(len(speech) * until)
    first = max(block, at - near)
    energy = np.convolve(speech[first : at + near] ** 2, np.ones(block), "valid")
    cut = speech[: first + int(np.argmin(energy)) + block // 2].copy()
    fade = min(block, len(cut))
    cut[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return cut
