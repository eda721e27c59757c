"""Speech to text with Whisper on CTranslate2.

Whisper was trained on windows of 30 s, and its encoder costs as much for silence as for speech.
Short turns are therefore recognised in a shorter window. That sometimes makes the decoder loop ("I
see. I see. I see.") or take faint words for noise; then the turn is recognised again in a longer
one.
"""

from __future__ import annotations

import itertools
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audio_io.clock import USER_RATE
from audio_io.levels import block_powers, power_to_db
from audio_io.signal import Audio
from model.errors import RecognizerError
from model.hearing.languages import AUTO, UNSPACED, WITHOUT_SPACES, SpokenLanguages
from model.hearing.recognition import Transcript
from model.jobs.channel import Cancelled, never
from model.jobs.shared import Shared
from model.lite.failures import raised_as
from model.lite.mel import log_mel

WINDOWS_S = (5.0, 10.0, 30.0)
"""The shortest window, the next one after a loop, and Whisper's own.

Of 144 utterances of four voices, a third of them in noise at 12 dB, the shortest misheard no more
words than one of 10 s, in half the time; it looped in five, the longer one in none.
"""
MARGIN_S = 1.5
"""The least silence after speech."""

_FAINT_NOISE = np.random.default_rng(0).normal(0, 0.01, USER_RATE).astype(np.float32)
"""Warm-up audio: loud enough to be recognised, but not speech."""

_SPLIT_FROM, _SPLIT_TO = 20.0, 29.0
_QUIET = 0.2
"""Seconds: longer audio is split where ``_QUIET`` seconds between these two are quietest."""


@dataclass(frozen=True, slots=True)
class NoSpeech:
    """Limits for discarding Whisper's words as noise.

    ``silence``: audio whose loudest 0.1 s (rms, dBFS) is below it is not recognised. Words are
    noise if "no speech" is likelier than ``probability`` and their mean log probability is below
    ``confidence``, or if the latter is below ``doubt``.

    Measured: white and pink noise, hum, a tone, clicks, breath and a cough of 1 to 8 s gave a
    probability of 0.45 to 0.95 and words below -0.9; short answers ("No.") of two voices down to 5
    dB over pink noise gave at most 0.29, but words down to -1.6.
    """

    silence: float = -60.0
    probability: float = 0.35
    confidence: float = -0.6
    doubt: float = -2.0


class NewestFirst:
    """Runs one stage of one call at a time, the newest call first.

    A call cannot be stopped inside the library, so a turn's words wait for at most one stage of a
    partial transcript. A second model would cost memory.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._change = threading.Condition()
        self._calls: set[int] = set()
        self._busy = False

    @contextmanager
    def call(self) -> Iterator[int]:
        """Register a call during the block; yield its number."""
        number = next(self._numbers)
        with self._change:
            self._calls.add(number)
        try:
            yield number
        finally:
            with self._change:
                self._calls.remove(number)
                self._change.notify_all()

    @contextmanager
    def stage(self, call: int) -> Iterator[None]:
        """Run the block once no other stage runs and no call is newer than ``call``."""
        with self._change:
            self._change.wait_for(lambda: not self._busy and call == max(self._calls))
            self._busy = True
        try:
            yield
        finally:
            with self._change:
                self._busy = False
                self._change.notify_all()


WHISPER_BASE = "Whisper base"
"""The embedded model's name."""


@dataclass(frozen=True)
class LoadedWhisper:
    """The ``model`` in CTranslate2, which does one stage after another in the order in which
    threads ask for them, and its ``tokenizer``."""

    model: Any
    tokenizer: Any


class WhisperRecognizer:
    """``folder`` holds ``model.bin``, ``config.json``, a vocabulary and ``tokenizer.json``.

    ``language`` is a code such as ``en``, or ``auto`` to detect it in each recording. ``name`` is
    shown to the user. ``shared``: what is loaded, with the recognisers of other conversations; one
    waits for one stage of each of them at most. Thread-safe.
    """

    def __init__(
        self,
        folder: Path,
        *,
        language: str = "en",
        threads: int = 2,
        no_speech: NoSpeech | None = None,
        name: str = WHISPER_BASE,
        shared: Shared[LoadedWhisper] | None = None,
    ) -> None:
        self.name = f"{name} int8"
        self._folder = folder
        self._language = language
        self._spoken = SpokenLanguages()
        self._threads = threads
        self._no_speech = no_speech or NoSpeech()
        self._lock = threading.Lock()
        self._order = NewestFirst()
        self._shared = shared or Shared()
        self._loaded: LoadedWhisper | None = None

    def load(self) -> None:
        """Load the model and run it once, unless already loaded. Raises: RecognizerError."""
        with self._lock:
            if self._loaded is not None:
                return
            torch = sys.modules.get("torch")
            threads = torch.get_num_threads() if torch else 0
            self._loaded = self._shared.get(self._load)
            if torch:
                # CTranslate2 sets OpenMP's number of threads for the calling thread, which is
                # torch's too.
                torch.set_num_threads(threads)
        self._transcribe_piece(_FAINT_NOISE)

    def start_over(self) -> None:
        """See :meth:`model.hearing.recognition.LoadableRecognizer.start_over`."""
        self._spoken = SpokenLanguages()

    def close(self) -> None:
        """Free the memory, unless others share it. Safe to call twice; the next use loads it
        again."""
        with self._lock:
            self._loaded = None

    def transcribe(self, audio: Audio, cancelled: Cancelled = never) -> Transcript:
        if not len(audio):
            return Transcript("")
        if not np.isfinite(audio).all():
            raise RecognizerError("the audio to be recognised holds values that are not numbers")
        self.load()
        pieces = [self._transcribe_piece(piece, cancelled) for piece in split_at_pauses(audio)]
        spoken = [piece for piece in pieces if piece.text]
        language = spoken[0].language if spoken else ""
        between = "" if language in WITHOUT_SPACES else " "
        return Transcript(between.join(piece.text for piece in spoken), language)

    def _transcribe_piece(self, audio: Audio, cancelled: Cancelled = never) -> Transcript:
        if loudest(audio) < self._no_speech.silence:
            return Transcript("")
        read = Transcript("")
        with self._order.call() as call:
            for window in windows(len(audio) / USER_RATE):
                read = self._decode(call, audio, window, cancelled)
                surely_noise = not read.text and window >= WINDOWS_S[1]
                if surely_noise or (read.text and not repeats(read.text)) or cancelled():
                    break
        return read

    def _decode(self, call: int, audio: Audio, window: float, cancelled: Cancelled) -> Transcript:
        """Recognise ``audio`` in a ``window`` of so many seconds.

        Once ``cancelled()``, no further stage begins, and there are no words.
        """
        import ctranslate2

        loaded, spoken = self._loaded, self._spoken
        if loaded is None:
            raise RecognizerError("the recogniser was closed while it was at work")
        model, tokenizer = loaded.model, loaded.tokenizer
        mel = log_mel(audio, round(window * USER_RATE), model.n_mels)
        try:
            with self._order.stage(call):
                if cancelled():
                    return Transcript("")
                encoded = model.encode(ctranslate2.StorageView.from_array(mel[None]))
            language, sure = self._language, 1.0
            if language == AUTO:
                with self._order.stage(call):
                    detected = model.detect_language(encoded)[0]
                likely = {token.strip("<|>"): probability for token, probability in detected}
                language = spoken.choose(likely, len(audio) / USER_RATE)
                sure = likely.get(language, 0.0)
            with self._order.stage(call):
                if cancelled():
                    return Transcript("")
                result = decode_words(model, tokenizer, encoded, language, len(audio) / USER_RATE)
        except (RuntimeError, ValueError) as error:
            raise RecognizerError(f"the recogniser failed: {error}") from error
        words = result.sequences_ids[0]
        # CTranslate2's score is already the mean over the tokens (length penalty 1).
        if self._is_noise(result.no_speech_prob, result.scores[0]):
            return Transcript("")
        spoken.hear(language, sure)
        text = str(tokenizer.decode(words, skip_special_tokens=True)).strip()
        return Transcript(text, language)

    def _is_noise(self, probability: float, confidence: float) -> bool:
        limit = self._no_speech
        return confidence < limit.doubt or (
            probability > limit.probability and confidence < limit.confidence
        )

    def _load(self) -> LoadedWhisper:
        import ctranslate2
        import tokenizers

        tokens = self._folder / "tokenizer.json"
        what = f"the recogniser could not be loaded: {tokens}"
        with raised_as(RecognizerError, what):
            tokenizer = tokenizers.Tokenizer.from_file(str(tokens))
        with raised_as(RecognizerError, "the recogniser could not be loaded"):
            model = ctranslate2.models.Whisper(
                str(self._folder),
                device="cpu",
                compute_type="int8",
                intra_threads=self._threads,
            )
        return LoadedWhisper(model, tokenizer)


def decode_words(model: Any, tokenizer: Any, encoded: Any, language: str, seconds: float) -> Any:
    """Return what CTranslate2's ``model`` makes of ``seconds`` of sound that were ``encoded``.

    Raises: RecognizerError for a language that it does not know, RuntimeError, ValueError.
    """
    begin = ("startoftranscript", language, "transcribe", "notimestamps")
    prompt = [f"<|{token}|>" for token in begin]
    ids = [tokenizer.token_to_id(token) for token in prompt]
    if None in ids:
        raise RecognizerError(f"Whisper knows no language called {language!r}")
    # About 8 tokens a second is fast speech; the limit only bounds a decoder in a loop.
    longest = min(448, len(prompt) + 24 + round(seconds * 8))
    return model.generate(
        encoded,
        [ids],
        beam_size=1,
        max_length=longest,
        return_scores=True,
        return_no_speech_prob=True,
    )[0]


def loudest(audio: Audio) -> float:
    """Return the level of the loudest 0.1 s in dBFS (rms; a full-scale sine has -3)."""
    block = USER_RATE // 10
    padded = np.pad(audio.astype(np.float64), (0, -len(audio) % block))
    return power_to_db(float(np.max(block_powers(padded, block))))


def windows(length: float) -> list[float]:
    """Return the windows to try for ``length`` seconds of audio, in seconds, shortest first."""
    shortest, *longer = WINDOWS_S
    first = min(longer[-1], max(shortest, length + MARGIN_S))
    return [first, *(window for window in longer if window > first)]


def split_at_pauses(audio: Audio) -> list[Audio]:
    """Split ``audio`` into pieces of less than 30 s where it is quietest."""
    pieces = []
    first, last, quiet = (round(s * USER_RATE) for s in (_SPLIT_FROM, _SPLIT_TO, _QUIET))
    while len(audio) > last:
        energy = np.cumsum(audio[first:last].astype(np.float64) ** 2)
        cut = first + int(np.argmin(energy[quiet:] - energy[:-quiet])) + quiet // 2
        pieces.append(audio[:cut])
        audio = audio[cut:]
    return [*pieces, audio]


_WORD = re.compile(rf"[{UNSPACED}]|[\w']+")


def repeats(text: str) -> bool:
    """Return whether the decoder loops: 2 to 12 words come twice in a row, or its limit cut the
    second time short, and what comes before the last word was said earlier.

    Where no spaces part the words, one is taken to be two characters."""
    words = _WORD.findall(text.lower())
    each = 2 if re.search(f"[{UNSPACED}]", text) else 1
    end = words[-4 * each - 1 : -1]
    return any(words[i : i + len(end)] == end for i in range(len(words) - 8 * each)) or any(
        words[i : i + n] == words[i + n : i + 2 * n]
        for n in range(2 * each, 12 * each + 1)
        for i in range(len(words) - 2 * n + 1)
    )
