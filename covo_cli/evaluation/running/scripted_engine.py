"""Turn taking alone: the real detector and controller, with everything around them scripted.

The replies are fixed sentences, and recognising, writing and speaking take the time that they took
with the lite engine (docs/benchmarks.md), whatever the machine is doing. So a change of the
controller is judged in a minute, and two runs of the same controller are equal to the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from audio_io.clock import ASSISTANT_RATE, FRAME, samples
from audio_io.signal import Audio
from covo_cli.simulation.scripted_user import ScriptedUser
from model.engine import EngineInfo, Progress
from model.hearing.recognition import Recognizer, Transcript
from model.reply import Heard, ReplyAudio, ReplyPart, ReplyText, UserTurn

RECOGNIZE, THINK, SPEAK = 0.3, 0.1, 0.1
"""Seconds until a turn's words are known, then until the reply's first ones, then until these are
sound."""

ASSISTANT = "heart"
"""The voice of the replies."""


class SteadyClock:
    """Seconds that pass only when :meth:`pass_time` is called (see
    :class:`model.jobs.executor.VirtualExecutor`)."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def pass_time(self, duration: float) -> None:
        """Let ``duration`` seconds pass."""
        self._now += duration


class SteadyRecognizer:
    """``recognizer``, loaded and called ``name``, in :data:`RECOGNIZE` seconds of ``clock``."""

    def __init__(self, recognizer: Recognizer, clock: SteadyClock, name: str) -> None:
        self._recognizer = recognizer
        self._clock = clock
        self._name = name

    @property
    def name(self) -> str:
        """See :class:`model.hearing.recognition.LoadableRecognizer`."""
        return self._name

    def load(self) -> None:
        """It is loaded."""

    def transcribe(self, audio: Audio) -> Transcript:
        """See :class:`model.hearing.recognition.Recognizer`."""
        self._clock.pass_time(RECOGNIZE)
        return self._recognizer.transcribe(audio)

    def close(self) -> None:
        """Other conversations use the model too."""


class Oracle:
    """A recogniser that never errs: it reads ``texts``, what each line of ``user`` says.

    Of a line that is being said it knows the words so far, as if all letters took the same time.
    The audio tells it only how far back to look, so it has to be the newest.
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
                if since <= middle <= now - samples(0.1):
                    words.append(word)
        return Transcript(" ".join(words), "en")


class ScriptedReplies:
    """A :class:`model.reply.ReplyGenerator` whose every reply says ``sentences`` (text and sound,
    float32 mono 24 kHz) over and over until it is ``length`` seconds long."""

    def __init__(
        self,
        sentences: Sequence[tuple[str, Audio]],
        length: float,
        clock: SteadyClock,
        recognizer_name: str,
    ) -> None:
        self._sentences = sentences
        self._length = length
        self._clock = clock
        self._recognizer_name = recognizer_name

    @property
    def info(self) -> EngineInfo:
        """What it is made of."""
        return EngineInfo(
            "scripted",
            f"real turn taking; replies and latencies are scripted; {self._recognizer_name}",
            ASSISTANT,
            "cpu",
            {"replies": "fixed sentences"},
        )

    def warm_up(self, progress: Progress) -> None:
        """There is nothing to load."""

    @property
    def hears(self) -> bool:
        """It is begun with the turn's words."""
        return False

    def reply(
        self, reply_id: int, turn: UserTurn, cancelled: Callable[[], bool]
    ) -> Iterator[ReplyPart]:
        """See :class:`model.reply.ReplyGenerator`."""
        self._clock.pass_time(THINK)
        spoken, number = 0, reply_id
        while spoken < samples(self._length, ASSISTANT_RATE) and not cancelled():
            sentence, sound = self._sentences[number % len(self._sentences)]
            number += 1
            yield ReplyText(sentence + " ")
            self._clock.pass_time(SPEAK)
            spoken += len(sound)
            yield ReplyAudio(sound, sentence)

    def settle(self, reply_id: int, heard: Heard | None) -> None:
        """There is no history."""

    def set_voice(self, voice: str) -> None:
        """It has one voice."""

    def close(self) -> None:
        """Nothing to give back."""
