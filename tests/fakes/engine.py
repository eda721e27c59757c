"""Fakes for everything around the turn taking, and a clock that only moves when told to.

A fake component says how long it takes; :class:`FakeClock` moves on by that, and the
:class:`~model.jobs.virtual_executor.VirtualExecutor` counts it. So a test knows every time to the
sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from audio_io.clock import FRAME, USER_RATE
from audio_io.ends import DeviceStatus
from audio_io.playout import Playout
from audio_io.signal import Audio, Position
from model.engine import EngineInfo, Progress
from model.errors import ModelError
from model.hearing.recognition import Transcript
from model.jobs.channel import Cancelled, never
from model.reply import Heard, ReplyAudio, ReplyPart, ReplyText, UserTurn


class FakeClock:
    """Seconds that pass only when :meth:`pass_time` is called."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_time(self, seconds: float) -> None:
        self.now += seconds


class LevelDetector:
    """Hears speech wherever the samples are not zero."""

    def process(self, samples: Audio) -> float:
        return float(samples.any())

    def reset(self) -> None:
        pass


class FakeRecognizer:
    """Understands what ``recognized`` returns of the audio, in ``cost`` seconds of ``clock``."""

    name = "a fake recogniser"

    def __init__(
        self,
        clock: FakeClock,
        recognized: Callable[[Audio], str] = lambda audio: "hello",
        cost: float = 0.3,
        language: str = "en",
    ) -> None:
        self.clock, self.recognized, self.cost = clock, recognized, cost
        self.language = language
        self.conversations = 1
        self.closed = False

    def load(self) -> None:
        pass

    def transcribe(self, audio: Audio, cancelled: Cancelled = never) -> Transcript:
        if cancelled():
            return Transcript("")
        self.clock.pass_time(self.cost)
        return Transcript(self.recognized(audio), self.language)

    def start_over(self) -> None:
        self.conversations += 1

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeGenerator:
    """Answers every turn with ``words``, each ``word_seconds`` long.

    ``think_cost``, ``speak_cost`` (per word) and ``ahead_cost`` are seconds on ``clock``.
    ``fail_after`` raises after so many words.
    """

    clock: FakeClock
    words: list[str] = field(default_factory=lambda: ["one", "two", "three", "four"])
    word_seconds: float = 0.5
    think_cost: float = 0.1
    speak_cost: float = 0.05
    fail_after: int | None = None
    turns: list[UserTurn] = field(default_factory=list)
    history: list[tuple[str, str]] = field(default_factory=list)
    ahead: list[str] = field(default_factory=list)
    ahead_cost: float = 0.0
    voice: str = "first"
    persona: str = ""
    closed: bool = False
    hears: ClassVar[bool] = False
    _questions: dict[int, str] = field(default_factory=dict)
    _numbers: list[int] = field(default_factory=list)

    @property
    def info(self) -> EngineInfo:
        return EngineInfo("fake", "a fake for the tests", self.voice, "cpu", {})

    def warm_up(self, progress: Progress) -> None:
        progress("nothing to load")

    def reply(
        self, reply_id: int, turn: UserTurn, cancelled: Callable[[], bool]
    ) -> Iterator[ReplyPart]:
        self.turns.append(turn)
        self._questions[reply_id] = "\n".join(filter(None, (turn.text, turn.added)))
        self.clock.pass_time(self.think_cost)
        for n, word in enumerate(self.words):
            if cancelled():
                return
            if n == self.fail_after:
                raise ModelError("the chat endpoint has gone")
            yield ReplyText(word + " ")
            self.clock.pass_time(self.speak_cost)
            length = round(self.word_seconds * 24_000)
            yield ReplyAudio(np.full(length, 0.5, np.float32), word)

    def read_ahead(self, words: str) -> None:
        self.ahead.append(words)
        self.clock.pass_time(self.ahead_cost)

    def settle(self, reply_id: int, heard: Heard | None) -> None:
        question = self._questions.pop(reply_id, None)
        if question is not None and heard is not None:
            self.remember(reply_id, question, heard.text.strip())
        elif heard is not None and reply_id in self._numbers:
            at = self._numbers.index(reply_id)
            self.history[at] = (self.history[at][0], heard.text.strip())

    def remember(self, number: int, user: str, assistant: str) -> None:
        self._numbers.append(number)
        self.history.append((user, assistant))

    def forget(self, number: int) -> None:
        if number in self._numbers:
            at = self._numbers.index(number)
            del self._numbers[at], self.history[at]

    def set_persona(self, persona: str) -> None:
        self.persona = persona

    def start_over(self) -> None:
        self.history.clear()
        self._numbers.clear()
        self._questions.clear()
        self.voice, self.persona = "first", ""

    def set_voice(self, voice: str) -> None:
        if voice == "broken":
            raise ModelError("voice 'broken' is broken")
        self.voice = voice

    def close(self) -> None:
        self.closed = True


def speech(seconds: float) -> Audio:
    """Something that :class:`LevelDetector` hears, whole frames of it."""
    return np.full(round(seconds * USER_RATE / FRAME) * FRAME, 0.1, np.float32)


def silence(seconds: float) -> Audio:
    """Whole frames of nothing."""
    return np.zeros(round(seconds * USER_RATE / FRAME) * FRAME, np.float32)


class FakeMicrophone:
    """Gives the frames of ``audio`` as fast as they are read, and then ends."""

    def __init__(self, audio: Iterable[Audio]) -> None:
        whole = np.concatenate(list(audio))
        self._frames = [whole[i : i + FRAME] for i in range(0, len(whole) - FRAME + 1, FRAME)]
        self._next = 0
        self.closed = False

    def start(self) -> None:
        pass

    def read(self, timeout: float) -> Audio | None:
        if self.ended:
            return None
        self._next += 1
        return self._frames[self._next - 1]

    @property
    def ended(self) -> bool:
        return self._next >= len(self._frames)

    @property
    def status(self) -> DeviceStatus:
        return DeviceStatus("fake microphone")

    def close(self) -> None:
        self.closed = True


class FakeSpeaker:
    """Plays one frame for each tick, without a device."""

    def __init__(self) -> None:
        self._playout = Playout()
        self.play = self._playout.play
        self.duck = self._playout.duck
        self.hold = self._playout.hold
        self.resume = self._playout.resume
        self.stop = self._playout.stop
        self.closed = False

    def start(self) -> None:
        pass

    def tick(self) -> Audio:
        return self._playout.render(480)

    @property
    def played(self) -> Position:
        return self._playout.played

    @property
    def status(self) -> DeviceStatus:
        return DeviceStatus("fake speaker")

    def close(self) -> None:
        self.closed = True
