"""Text to speech, clause by clause, with all voices at one level.

The networks put about 0.3 s of silence before a clause and 0.5 s after it. Both are cut off: the
first delays the reply, and punctuation sets the pauses instead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio_io.clock import ASSISTANT_RATE
from audio_io.levels import block_powers, from_db
from audio_io.signal import Audio, fade_out
from model.errors import SynthesizerError
from model.lite.failures import raised_as
from model.lite.text.clauses import ClauseSplitter
from model.lite.text.phonemes import Phonemizer
from model.lite.text.speakable import speakable

LEVEL_DB = -20.0
"""RMS level while speaking, in dBFS."""
PEAK = from_db(-1.2)
"""Largest sample."""

_CALIBRATIONS = {"en": "Hello there, nice to meet you today.", "zh": "你好，今天很高兴认识你。"}
_BLOCK = ASSISTANT_RATE // 100
_SILENT_DB = 40.0
"""Level below the loudest 10 ms at which a clause begins and ends."""
_LEAD = round(0.03 * ASSISTANT_RATE)
_TAIL = round(0.06 * ASSISTANT_RATE)
_PAUSES = {".": 0.28, "!": 0.28, "?": 0.32, "…": 0.3, ":": 0.2, ";": 0.2, ",": 0.12, "—": 0.15}

Style = NDArray[np.float32]
"""A Kokoro voice: float32, shape (510, 1, 256), one style per number of phonemes."""


class Synthesizer:
    """One voice: cleans the text, makes its sound clause by clause, and levels it. Thread-safe.

    ``level``: of its raw sound while speaking, in dBFS; None measures it on a sentence at loading.
    """

    name = ""
    """The model behind the voice, as shown to the user."""

    def __init__(self, phonemizer: Phonemizer, level: float | None = None) -> None:
        self._phonemizer = phonemizer
        self._level = level
        self._gain: float | None = None
        self._lock = threading.Lock()

    @property
    def language(self) -> str:
        """Code of the language that it speaks."""
        return self._phonemizer.language

    def load(self) -> None:
        """Load the voice. Raises: SynthesizerError."""
        with self._lock:
            if self._gain is None:
                self._load()
                text = speakable(_CALIBRATIONS[self.language], self.language)
                if self._level is None:
                    level = speaking_level(self._raw(text))
                else:
                    level = self._level
                    self._phonemizer.pieces(text)  # loads its lexicon
                self._gain = from_db(LEVEL_DB - level)

    def say(self, clause: str) -> Audio:
        """Return ``clause`` as float32 mono 24 kHz, perhaps empty. Raises: SynthesizerError."""
        text = speakable(clause, self.language)
        if not text:
            return np.zeros(0, np.float32)
        self.load()
        sound = trim(self._raw(text)) * np.float32(self._gain or 1.0)
        loudest = float(np.max(np.abs(sound), initial=0.0))
        if loudest > PEAK:
            sound *= np.float32(PEAK / loudest)
        pause = _PAUSES.get(text.rstrip("\"'”’)]")[-1:], 0.05)
        return np.pad(sound, (0, round(pause * ASSISTANT_RATE))).astype(np.float32)

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

    def _raw(self, text: str) -> Audio:
        sounds = [self._speak(piece) for piece in self._phonemizer.pieces(text)]
        return np.concatenate(sounds) if sounds else np.zeros(0, np.float32)

    def _load(self) -> None:
        raise NotImplementedError

    def _unload(self) -> None:
        raise NotImplementedError

    def _speak(self, phonemes: str) -> Audio:
        raise NotImplementedError


class HibariSynthesizer(Synthesizer):
    """The fast voice: hibari on one thread."""

    name = "hibari-tts 0.2.1 (heart)"

    def __init__(self, model: Path, phonemizer: Phonemizer, level: float | None = None) -> None:
        super().__init__(phonemizer, level)
        self._model = model
        self._hibari: Any = None

    def _load(self) -> None:
        with raised_as(SynthesizerError, "cannot load hibari"):
            from hibari import Hibari

            self._hibari = Hibari(model=str(self._model), threads=1, g2p=self._phonemizer.g2p)

    def _unload(self) -> None:
        self._hibari = None

    def _speak(self, phonemes: str) -> Audio:
        hibari = self._hibari
        if hibari is None:
            raise SynthesizerError("the voice was closed while speaking")
        # With a fixed seed the same text always sounds the same.
        with raised_as(SynthesizerError, "hibari failed"):
            return np.asarray(hibari.from_phonemes(phonemes, seed=0), np.float32)


class KokoroModel:
    """The Kokoro network, loaded on first use and shared by its voices. Thread-safe."""

    def __init__(self, model: Callable[[], Path], *, threads: int = 2) -> None:
        self._model = model
        self._threads = threads
        self._lock = threading.Lock()
        self._session: Any = None
        self._run_options: Any = None

    def load(self) -> None:
        """Load the network once. Raises: SynthesizerError, WeightsError."""
        with self._lock:
            if self._session is not None:
                return
            path = self._model()
            with raised_as(SynthesizerError, "cannot load Kokoro"):
                self._session = self._start(path)

    def close(self) -> None:
        """Free memory; the next use loads it again."""
        with self._lock:
            self._session = None

    def run(self, numbers: list[int], style: NDArray[np.float32]) -> Audio:
        """Return the sound of the phonemes ``numbers`` in ``style``, shape (1, 256)."""
        self.load()
        session = self._session
        if session is None:
            raise SynthesizerError("Kokoro was closed while speaking")
        inputs = {
            "tokens": np.array([[0, *numbers, 0]], np.int64),
            "style": style,
            "speed": np.ones(1, np.float32),
        }
        with raised_as(SynthesizerError, "Kokoro failed"):
            sound = session.run(None, inputs, self._run_options)[0]
        return np.asarray(sound, np.float32).reshape(-1)

    def _start(self, path: Path) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        # Spinning threads would take the chat model's core.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Give back what the longest piece needed. Without the arena, the heap's holes take 1 GB.
        self._run_options = onnxruntime.RunOptions()
        self._run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class KokoroSynthesizer(Synthesizer):
    """A natural voice: Kokoro with the style in ``file``, which is read when it is first used."""

    name = "Kokoro-82M int8"

    def __init__(
        self, model: KokoroModel, file: Path, phonemizer: Phonemizer, level: float | None = None
    ) -> None:
        super().__init__(phonemizer, level)
        self._model = model
        self._file = file
        self._style: Style | None = None

    def _load(self) -> None:
        self._style = load_style(self._file)
        self._model.load()

    def _unload(self) -> None:
        """Keep the network, which other voices share; its maker closes it."""
        self._style = None

    def _speak(self, phonemes: str) -> Audio:
        numbers = self._phonemizer.numbers(phonemes)
        if not numbers:
            return np.zeros(0, np.float32)
        style = self._style
        if style is None:
            raise SynthesizerError("the voice was closed while speaking")
        return self._model.run(numbers, style[len(numbers) - 1])


def load_style(path: Path) -> Style:
    """Return the Kokoro voice in a file of raw little-endian float32. Raises: SynthesizerError."""
    try:
        values = np.fromfile(path, "<f4")
    except OSError as error:
        raise SynthesizerError(f"cannot read the voice {path}: {error.strerror}") from error
    if values.size != 510 * 256 or not np.isfinite(values).all():
        raise SynthesizerError(f"{path} is not a Kokoro voice: 510 x 256 finite float32 values")
    return values.reshape(510, 1, 256).astype(np.float32)


def trim(sound: Audio) -> Audio:
    """Return ``sound`` with at most 30 ms of silence before it and 60 ms after it."""
    levels = _block_levels(sound)
    if not len(levels):
        return sound
    loud = np.flatnonzero(levels > levels.max() - _SILENT_DB)
    begin = max(0, int(loud[0]) * _BLOCK - _LEAD)
    end = min(len(sound), (int(loud[-1]) + 1) * _BLOCK + _TAIL)
    kept = np.array(sound[begin:end], np.float32)
    fade = min(_LEAD, len(kept)) // 3
    kept[:fade] *= fade_out(fade)[::-1]
    kept[len(kept) - fade :] *= fade_out(fade)
    return kept


def speaking_level(sound: Audio) -> float:
    """Return the RMS in dBFS of the 10 ms blocks within 30 dB of the loudest."""
    levels = _block_levels(sound)
    if not len(levels):
        return LEVEL_DB
    spoken = levels[levels > levels.max() - 30.0]
    return float(10 * np.log10(np.mean(10 ** (spoken / 10))))


def _block_levels(sound: Audio) -> NDArray[np.float64]:
    powers = block_powers(sound.astype(np.float64), _BLOCK)
    levels: NDArray[np.float64] = 10 * np.log10(powers + 1e-12)
    return levels
