"""Time and recognition of the scripted engine: the real turn taking among scripted parts.

Recognising, writing and speaking take the time that they took with the lite engine
(docs/benchmarks.md), however busy the machine is. So a change of the controller is judged in
minutes, and two runs of the same code are equal to the sample.
"""

from __future__ import annotations

from collections.abc import Sequence

from audio_io.clock import FRAME, samples
from audio_io.signal import Audio
from covo_cli.simulation.scripted_user import ScriptedUser
from model.hearing.recognition import Recognizer, Transcript

RECOGNIZE_S = 0.3
"""How long it takes until a turn's words are known."""

_WORD_DELAY = samples(0.1)
"""How long after the middle of a word the oracle knows it, in user samples."""


class SteadyClock:
    """Seconds that pass only when :meth:`pass_time` is called.

    See :class:`model.jobs.executor.VirtualExecutor`.
    """

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def pass_time(self, duration: float) -> None:
        """Let ``duration`` seconds pass."""
        self._now += duration


class SteadyRecognizer:
    """A loaded ``recognizer`` that always takes RECOGNIZE_S of ``clock``."""

    def __init__(self, recognizer: Recognizer, clock: SteadyClock, name: str) -> None:
        self.name = name
        self._recognizer = recognizer
        self._clock = clock

    def load(self) -> None:
        """Do nothing: it is loaded."""

    def transcribe(self, audio: Audio) -> Transcript:
        """See :class:`model.hearing.recognition.Recognizer`."""
        self._clock.pass_time(RECOGNIZE_S)
        return self._recognizer.transcribe(audio)

    def close(self) -> None:
        """Do nothing: other conversations use the model too."""


class Oracle:
    """A recogniser that never errs, because it reads ``texts``, one for each line of ``user``.

    It knows the words of a line as they are said, as if all letters took the same time. ``audio``
    only says how far back to look, so it must end now.
    """

    def __init__(self, texts: Sequence[str], user: ScriptedUser) -> None:
        self._texts = texts
        self._user = user

    def transcribe(self, audio: Audio) -> Transcript:
        """See :class:`model.hearing.recognition.Recognizer`."""
        now = self._user.at
        since = now - len(audio) - FRAME
        words: list[str] = []
        for text, (start, end) in zip(self._texts, self._user.spoken, strict=False):
            done = 0
            for word in text.split():
                middle = start + (end - start) * (done + len(word) / 2) / len(text)
                done += len(word) + 1
                if since <= middle <= now - _WORD_DELAY:
                    words.append(word)
        return Transcript(" ".join(words), "en")
