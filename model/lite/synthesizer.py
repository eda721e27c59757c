"""Text to speech, clause by clause, with all voices at one level.

A clause comes in pieces, the first of them before the others are made. The networks put about 0.3 s
of silence before a clause and 0.5 s after it. Both are cut off: the first delays the reply, and
punctuation sets the pauses instead.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from audio_io.clock import ASSISTANT_RATE
from audio_io.levels import from_db
from audio_io.signal import Audio
from model.errors import SynthesizerError
from model.lite.failures import raised_as
from model.lite.kokoro.head_start import HeadStart, SynthesisPace
from model.lite.kokoro.network import KokoroModel
from model.lite.text.clauses import ClauseSplitter
from model.lite.text.phonemes import Phonemizer
from model.lite.text.speakable import speakable
from model.playback.edges import Edges, block_levels
from model.playback.limiter import Limiter
from voices.errors import VoiceError
from voices.lite_data import STATISTICS, Statistics, read_statistics
from voices.tuning import AS_IT_IS, VoiceTuning

LEVEL_DB = -20.0
"""RMS level while speaking, in dBFS."""

_CALIBRATIONS = {
    "en": "Hello there, nice to meet you today.",
    "es": "Hola, son las 10 y me alegra conocerte.",
    "zh": "你好，今天很高兴认识你。",
}
_PAUSES = {".": 0.28, "!": 0.28, "?": 0.32, "…": 0.3, ":": 0.2, ";": 0.2, ",": 0.12, "—": 0.15}

Style = NDArray[np.float32]
"""A Kokoro voice: float32, shape (510, 1, 256), one style per number of phonemes."""


@dataclass(frozen=True, slots=True)
class SpokenPiece:
    """A piece of a clause's sound, float32 mono 24 kHz, and the ``share`` of the clause that has
    been said at its end: 1 at the end of the clause."""

    samples: Audio = field(repr=False)
    share: float = 1.0

    @property
    def seconds(self) -> float:
        """The length of its sound."""
        return len(self.samples) / ASSISTANT_RATE


class Synthesizer:
    """One voice: cleans the text, makes its sound clause by clause, and levels it. Thread-safe.

    ``level``: of its raw sound while speaking, in dBFS; None measures it on a sentence at loading.
    ``tuning``: how it is changed; peaks limit how much louder it gets.
    """

    name = ""
    """The model behind the voice, as shown to the user."""
    pace: SynthesisPace | None = None
    """How fast it makes sound, where that may be too slow; known once it is loaded."""

    def __init__(
        self,
        phonemizer: Phonemizer,
        level: float | None = None,
        tuning: VoiceTuning = AS_IT_IS,
    ) -> None:
        self._phonemizer = phonemizer
        self._level = level
        self._tuning = tuning
        self._gain: float | None = None
        self._lock = threading.Lock()

    @property
    def language(self) -> str:
        """Code of the language that it speaks."""
        return self._phonemizer.language

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of all languages that it reads as they are spoken, its own first."""
        return self._phonemizer.languages

    def load(self) -> None:
        """Load the voice. Raises: SynthesizerError."""
        with self._lock:
            if self._gain is None:
                self._load()
                text = speakable(_CALIBRATIONS[self.language], self.language)
                if self._level is None:
                    level = speaking_level(_joined(self._raw(text, None)))
                else:
                    level = self._level
                    self._phonemizer.pieces(text)  # loads its lexicon
                self._gain = from_db(LEVEL_DB + self._tuning.loudness - level)

    def say(self, clause: str) -> Audio:
        """Return ``clause`` as float32 mono 24 kHz, perhaps empty, made in one piece: the same
        text always sounds the same. Raises: SynthesizerError.
        """
        return _joined(self._sound(clause, None))

    def pieces(self, clause: str, start: HeadStart[Any]) -> Iterator[SpokenPiece]:
        """Yield the sound of ``clause`` of a reply that begins by ``start``, as it is made.

        Raises: SynthesizerError.
        """
        return self._sound(clause, start)

    def alone(self, clause: str) -> Iterator[SpokenPiece]:
        """Yield the sound of ``clause`` as a reply of its own, when it may be played.

        Raises: SynthesizerError.
        """
        self.load()
        start: HeadStart[SpokenPiece] = HeadStart(self.pace)
        for piece in self.pieces(clause, start):
            yield from start.add(piece, piece.seconds, piece.share)
        yield from start.end()

    def _sound(self, clause: str, start: HeadStart[Any] | None) -> Iterator[SpokenPiece]:
        text = speakable(clause, self.language)
        if not text:
            return
        self.load()
        gain = np.float32(self._gain or 1.0)
        edges, limiter = Edges(LEVEL_DB + self._tuning.loudness - 10.0), Limiter()
        for piece in self._raw(text, start):
            over = piece.share >= 1.0
            sound = limiter.limit(edges.cut(piece.samples * gain, over=over))
            if over:
                pause = _PAUSES.get(text.rstrip("\"'”’)]")[-1:], 0.05)
                sound = np.pad(sound, (0, round(pause * ASSISTANT_RATE)))
            if len(sound):
                yield SpokenPiece(sound.astype(np.float32), piece.share)

    def stream(self, text: str) -> Iterator[Audio]:
        """Yield the sound of ``text`` clause by clause. Raises: SynthesizerError."""
        splitter = ClauseSplitter()
        for clause in [*splitter.feed(text), *splitter.flush()]:
            sound = self.say(clause)
            if len(sound):
                yield sound

    def phonemes(self, text: str) -> str:
        """Return the phonemes of ``text``. Raises: SynthesizerError."""
        return " ".join(self._phonemizer.pieces(speakable(text, self.language)))

    def close(self) -> None:
        """Free memory. Safe to call twice."""
        with self._lock:
            self._gain = None
            self._unload()

    def _raw(self, text: str, start: HeadStart[Any] | None) -> Iterator[SpokenPiece]:
        """Yield what the network makes of ``text``."""
        parts = self._phonemizer.pieces(text)
        total, said = sum(map(len, parts)), 0
        for phonemes in parts:
            for piece in self._speak(phonemes, start):
                share = (said + piece.share * len(phonemes)) / total
                yield SpokenPiece(piece.samples, share)
            said += len(phonemes)

    def _load(self) -> None:
        raise NotImplementedError

    def _unload(self) -> None:
        raise NotImplementedError

    def _speak(self, phonemes: str, start: HeadStart[Any] | None) -> Iterator[SpokenPiece]:
        """Yield the sound of ``phonemes``, in one piece without a ``start``; the share of the last
        piece is 1."""
        raise NotImplementedError


class HibariSynthesizer(Synthesizer):
    """The fast voice: hibari on one thread."""

    name = "hibari-tts 0.2.1 (heart)"

    def __init__(
        self,
        model: Path,
        phonemizer: Phonemizer,
        level: float | None = None,
        tuning: VoiceTuning = AS_IT_IS,
    ) -> None:
        super().__init__(phonemizer, level, tuning)
        self._model = model
        self._hibari: Any = None

    def _load(self) -> None:
        with raised_as(SynthesizerError, "cannot load hibari"):
            from hibari import Hibari

            self._hibari = Hibari(model=str(self._model), threads=1, g2p=self._phonemizer.g2p)

    def _unload(self) -> None:
        self._hibari = None

    def _speak(self, phonemes: str, start: HeadStart[Any] | None) -> Iterator[SpokenPiece]:
        hibari = self._hibari
        if hibari is None:
            raise SynthesizerError("the voice was closed while speaking")
        shift = self._tuning.pitch_factor
        with raised_as(SynthesizerError, "hibari failed"):
            # Another speed at another rate is another pitch. A seed: a text always sounds the same.
            sound = hibari.from_phonemes(phonemes, self._tuning.speed / shift, seed=0)
            if shift != 1:
                sound = soxr.resample(sound, ASSISTANT_RATE * shift, ASSISTANT_RATE)
        yield SpokenPiece(np.asarray(sound, np.float32))


class KokoroSynthesizer(Synthesizer):
    """A natural voice: Kokoro with the style in ``file``, which is read when it is first used.

    A file beside it with the ending ``.statistics.npy`` has its statistics; without them, a clause
    comes in one piece.
    """

    name = "Kokoro-82M int8"

    def __init__(
        self,
        model: KokoroModel,
        file: Path,
        phonemizer: Phonemizer,
        level: float | None = None,
        tuning: VoiceTuning = AS_IT_IS,
    ) -> None:
        super().__init__(phonemizer, level, tuning)
        self._model = model
        self._file = file
        self._style: Style | None = None
        self._statistics: Statistics | None = None

    def _load(self) -> None:
        style, file = load_style(self._file), self._file.with_suffix(STATISTICS)
        self._statistics = load_statistics(file) if file.exists() else None
        features = ("reading", "shaping") if self._tuning.pitch else ("features",)
        self._model.load(*features, "pieces" if self._statistics else "whole")
        self.pace = self._model.pace if self._statistics else self._model.whole_pace
        self._style = style

    def _unload(self) -> None:
        """Keep the network, which other voices share; its maker closes it."""
        self._style = None

    def measure(self, clauses: Sequence[str]) -> NDArray[np.float32]:
        """Return a row of the voice's statistics, the mean of ``clauses``.

        Raises: SynthesizerError.
        """
        style, rows = load_style(self._file), []
        for clause in clauses:
            for phonemes in self._phonemizer.pieces(speakable(clause, self.language)):
                numbers = self._phonemizer.numbers(phonemes)
                rows.append(self._model.measure(numbers, style[len(numbers) - 1], self._tuning))
        return np.asarray(np.mean(rows, axis=0), np.float32)

    def _speak(self, phonemes: str, start: HeadStart[Any] | None) -> Iterator[SpokenPiece]:
        numbers = self._phonemizer.numbers(phonemes)
        if not numbers:
            yield SpokenPiece(np.zeros(0, np.float32))
            return
        if (style := self._style) is None:
            raise SynthesizerError("the voice was closed while speaking")
        if start is None or (statistics := self._statistics) is None:
            yield SpokenPiece(self._model.whole(numbers, style[len(numbers) - 1], self._tuning))
            return
        length = statistics.nearest(len(numbers))
        row, held = style[length - 1], statistics.at(length)
        for piece in self._model.pieces(numbers, row, held, start, self._tuning):
            yield SpokenPiece(*piece)


def load_style(path: Path) -> Style:
    """Return the Kokoro voice in a file of raw little-endian float32. Raises: SynthesizerError."""
    try:
        values = np.fromfile(path, "<f4")
    except OSError as error:
        raise SynthesizerError(f"cannot read the voice {path}: {error.strerror}") from error
    if values.size != 510 * 256 or not np.isfinite(values).all():
        raise SynthesizerError(f"{path} is not a Kokoro voice: 510 x 256 finite float32 values")
    return values.reshape(510, 1, 256).astype(np.float32)


def load_statistics(path: Path) -> Statistics:
    """Return the statistics of a Kokoro voice in a file of numpy. Raises: SynthesizerError."""
    try:
        return read_statistics(path)
    except VoiceError as error:
        raise SynthesizerError(str(error)) from error


def speaking_level(sound: Audio) -> float:
    """Return the RMS in dBFS of the 10 ms blocks within 30 dB of the loudest."""
    levels = block_levels(sound)
    if not len(levels):
        return LEVEL_DB
    spoken = levels[levels > levels.max() - 30.0]
    return float(10 * np.log10(np.mean(10 ** (spoken / 10))))


def _joined(pieces: Iterable[SpokenPiece]) -> Audio:
    return np.concatenate([np.zeros(0, np.float32), *(piece.samples for piece in pieces)])
