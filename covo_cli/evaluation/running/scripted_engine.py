"""Clock and recognisers of the scripted engine: real turn taking with scripted parts.

Recognition, chat and synthesis take fixed times, measured with the lite engine
(docs/benchmarks.md). So a controller change is judged in minutes on any machine, and two runs of
the same code agree to the sample.
"""

from __future__ import annotations

from collections.abc import Sequence

from audio_io.clock import FRAME, samples
from audio_io.signal import Audio
from covo_cli.simulation.scripted_user import ScriptedUser
from model.hearing.languages import WITHOUT_SPACES
from model.hearing.recognition import Recognizer, Transcript
from model.jobs.channel import Cancelled, never
from model.turns.endings.models import Outlook, OutlookModel

RECOGNIZE_S = 0.25
"""Fixed time to recognise a turn."""

WEIGH_S = 0.05
"""Fixed time of the language model for the end of turns."""

_WORD_DELAY = samples(0.1)
"""Delay from the middle of a word until the oracle knows it, in user samples."""


class SteadyClock:
    """A clock in seconds, advanced only by :meth:`pass_time`, for a VirtualExecutor."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def pass_time(self, duration: float) -> None:
        """Advance by ``duration`` seconds."""
        self._now += duration


class SteadyRecognizer:
    """A loaded ``recognizer`` that always takes RECOGNIZE_S of ``clock``."""

    def __init__(self, recognizer: Recognizer, clock: SteadyClock, name: str) -> None:
        self.name = name
        self._recognizer = recognizer
        self._clock = clock

    def load(self) -> None:
        """Do nothing: already loaded."""

    def transcribe(self, audio: Audio, cancelled: Cancelled = never) -> Transcript:
        """See :class:`model.hearing.recognition.Recognizer`."""
        self._clock.pass_time(RECOGNIZE_S)
        return self._recognizer.transcribe(audio, cancelled)

    def start_over(self) -> None:
        """Do nothing: what the recogniser knows of the user stays true."""

    def close(self) -> None:
        """Do nothing: other conversations share the model."""


class SteadyOutlook:
    """A loaded ``model`` that always takes WEIGH_S of ``clock``."""

    def __init__(self, model: OutlookModel, clock: SteadyClock) -> None:
        self.name = model.name
        self.languages = model.languages
        self._model = model
        self._clock = clock

    def load(self) -> None:
        """Do nothing: already loaded."""

    def read_ahead(self, words: str, before: str) -> None:
        """See :class:`model.turns.endings.models.OutlookModel`."""
        self._clock.pass_time(WEIGH_S)
        self._model.read_ahead(words, before)

    def outlook(self, words: str, before: str) -> Outlook:
        """See :class:`model.turns.endings.models.OutlookModel`."""
        self._clock.pass_time(WEIGH_S)
        return self._model.outlook(words, before)

    def close(self) -> None:
        """Do nothing: other conversations share the model."""


class Oracle:
    """A recogniser that never errs, because it knows the text of each line of ``user``.

    Words become known as they are said, every letter taking equal time. ``audio`` must end now;
    only its length is used. ``language``: code of the texts' language.
    """

    def __init__(self, texts: Sequence[str], user: ScriptedUser, language: str = "en") -> None:
        self._texts = texts
        self._user = user
        self._language = language

    def transcribe(self, audio: Audio, cancelled: Cancelled = never) -> Transcript:
        """See :class:`model.hearing.recognition.Recognizer`."""
        now = self._user.at
        since = now - len(audio) - FRAME
        spaced = self._language not in WITHOUT_SPACES
        words: list[str] = []
        for text, (start, end) in zip(self._texts, self._user.spoken, strict=False):
            if end < since:
                continue
            done = 0
            for word in text.split() if spaced else text:
                middle = start + (end - start) * (done + len(word) / 2) / len(text)
                done += len(word) + spaced
                if since <= middle <= now - _WORD_DELAY:
                    words.append(word)
        return Transcript((" " if spaced else "").join(words), self._language)
