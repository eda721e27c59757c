"""Speech to measure and to train the encoder with: voices of the embedded engine, and people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.random import Generator

from audio_io.acoustics import noise
from audio_io.clock import USER_RATE, samples
from audio_io.files import read_audio
from audio_io.levels import at_level
from audio_io.signal import Audio
from covo_cli.bench.read_aloud import SENTENCES
from covo_cli.bench.speech import PERSON_DB, questions
from covo_cli.fd.laying.channel import in_a_place
from covo_cli.fd.questions import Say, at_speed, read_prompts, trimmed
from covo_cli.fd.recipe import SoundSection

UNSEEN = ("bella", "michael", "emma", "george")
"""Voices that are measured, and that training never hears."""
QUICK_VOICE = "heart"
"""Says every second of the training's texts: it takes a thirtieth of the others' time."""
OTHER_VOICES = (
    *("alloy", "aoede", "jessica", "kore", "nova", "sarah", "alice", "lily", "adam", "echo"),
    *("eric", "fenrir", "liam", "onyx", "puck", "daniel", "lewis"),
)
"""Voices that say the rest in turn."""

_NOISE_DB = -12.0
"""Pink noise against the speech, in the noisy group."""
_BEFORE_S = 0.3
_SPEEDS = (0.85, 1.2)
_GAPS_S = (0.2, 1.5)
_OVER = 0.5
"""Share of the pieces in which nothing follows the last utterance, so that the end is learnt: at an
end that it does not hear, Whisper's decoder repeats what it has read."""
_OVER_S = 0.5
"""Least silence there."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something said: ``audio`` (samples,), 16 kHz. ``group``: what it is counted with."""

    group: str
    text: str
    audio: Audio = field(repr=False)


def measured_utterances(say: Say, count: int, recordings: Path | None) -> Iterator[Utterance]:
    """Yield ``count`` utterances of unseen voices, each once clean and once in noise, and all
    ``recordings`` with words beside them. Half are short, half about ten seconds long.

    Raises: CliError if the folder has none.
    """
    short, random = questions(), np.random.default_rng(0)
    for number in range(count):
        voice = UNSEEN[number % len(UNSEEN)]
        place = number // 2
        first = SENTENCES[place % len(SENTENCES)]
        long = f"{first} {short[place % len(short)]}"
        text = long if number % 2 else short[-1 - place % len(short)]
        sound = _placed(say(voice, text))
        yield Utterance("synthetic", text, sound)
        pink = noise.pink(len(sound), PERSON_DB + _NOISE_DB, random)
        yield Utterance("synthetic, noise at 12 dB", text, sound + pink)
    if recordings is not None:
        for one in read_prompts(None, recordings):
            if one.text and one.recording is not None:
                yield Utterance("people", one.text, _placed(read_audio(one.recording, USER_RATE)))


def say_training_texts(say: Say, texts: Sequence[str], numbers: Iterable[int]) -> Iterator[Audio]:
    """Yield the utterances with these ``numbers``, without silence around them."""
    for number in numbers:
        random = np.random.default_rng((1, number))
        slow = OTHER_VOICES[number // 2 % len(OTHER_VOICES)]
        voice = slow if number % 2 else QUICK_VOICE
        text = texts[int(random.integers(len(texts)))]
        yield at_speed(trimmed(say(voice, text)), float(random.uniform(*_SPEEDS)))


def draw_piece(
    sounds: Sequence[Path], length: int, place: SoundSection, random: Generator
) -> Audio:
    """Return ``length`` samples in which utterances follow each other somewhere."""
    whole, at = np.zeros(length, np.float32), samples(random.uniform(0.0, _BEFORE_S))
    over, last_end = random.random() < _OVER, length - samples(_OVER_S)
    while at < length:
        said = read_audio(sounds[int(random.integers(len(sounds)))], USER_RATE)
        if over and whole.any() and at + len(said) > last_end:
            break
        whole[at : at + len(said)] = said[: length - at]
        at += len(said) + samples(random.uniform(*_GAPS_S))
    return in_a_place(whole, place, (), (), random)


def _placed(sound: Audio) -> Audio:
    quiet = np.zeros(samples(_BEFORE_S), np.float32)
    return np.concatenate((quiet, at_level(sound, PERSON_DB)))
