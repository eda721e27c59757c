"""The recogniser of the user's words, recalling what it understood of each sound."""

from __future__ import annotations

import threading
import weakref

from audio_io.signal import Audio
from model.hearing.recognition import LoadableRecognizer, Transcript
from model.jobs.channel import Cancelled, never


class RecalledWords:
    """A recogniser that can be asked for the words of a sound that it has recognised.

    A generator that hears the turn itself begins before the words are known. When the turn is
    history, it needs them.
    """

    def __init__(self, recognizer: LoadableRecognizer) -> None:
        self._recognizer = recognizer
        self._known: list[tuple[weakref.ref[Audio], str]] = []
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._recognizer.name

    def load(self) -> None:
        self._recognizer.load()

    def start_over(self) -> None:
        self._recognizer.start_over()

    def close(self) -> None:
        self._recognizer.close()

    def transcribe(self, audio: Audio, cancelled: Cancelled = never) -> Transcript:
        # Never cancelled: the history needs the words of a turn whose reply was interrupted.
        transcript = self._recognizer.transcribe(audio)
        with self._lock:
            self._known = [(sound, text) for sound, text in self._known if sound() is not None]
            self._known.append((weakref.ref(audio), transcript.text.strip()))
        return transcript

    def of(self, audio: Audio) -> str:
        """Return the words of this very ``audio``, empty while they are unknown."""
        with self._lock:
            return next((text for sound, text in self._known if sound() is audio), "")
