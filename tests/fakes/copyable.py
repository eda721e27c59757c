"""Fakes for everything around the turn taking that can be copied in the middle of a conversation.

Jobs are done when they are submitted, and their results handed out when their time has come, so
that nothing is a running generator.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from audio_io.clock import ASSISTANT_RATE, USER_RATE
from model.engine import EngineInfo, Progress
from model.errors import ModelError
from model.hearing.recognition import Transcript
from model.jobs.channel import Cancelled, never
from model.jobs.executor import NextWork, Work
from model.reply import Heard, ReplyAudio, ReplyPart, ReplyText, UserTurn

STEP = USER_RATE // 10
PLAYED = ASSISTANT_RATE // 10
"""Samples of the user and of the assistant in a step of 0.1 s."""

NO_ANSWER, BROKEN = "say nothing", "break down"
"""Words to which there is no answer, or an error."""

SOMEBODY_ELSE = "over there"
"""Words that are said at a distance."""


class Clock:
    """Seconds that the job at work has taken."""

    def __init__(self) -> None:
        self.taken = 0.0


class DoneJob:
    """Results that come in their time."""

    def __init__(
        self, executor: DoneExecutor, results: list[tuple[int, Any]], error: ModelError | None
    ) -> None:
        self.executor = executor
        self.results = deque(results)
        self.error = error
        self.cancelled = False

    def poll(self, now: int) -> list[Any]:
        ready = []
        while self.results and self.results[0][0] <= now and not self.cancelled:
            ready.append(self.results.popleft()[1])
        if self.error is not None and not (self.results or self.cancelled):
            error, self.error = self.error, None
            raise error
        return ready

    @property
    def finished(self) -> bool:
        return self.cancelled or not (self.results or self.error)

    def cancel(self) -> None:
        self.cancelled = True

    def then(self, lane: str, work: NextWork[Any, Any]) -> DoneJob:
        if not self.results:
            return DoneJob(self.executor, [], None)
        at, first = self.results[0]
        return self.executor.submit(lane, at, partial(work, first))


class DoneExecutor:
    """Does each job at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def submit(self, lane: str, now: int, work: Work[Any]) -> DoneJob:
        self._clock.taken = 0.0
        results: list[tuple[int, Any]] = []
        error: ModelError | None = None
        try:
            for result in work(lambda: False):
                results.append((now + round(self._clock.taken * USER_RATE), result))
        except ModelError as raised:
            error = raised
        return DoneJob(self, results, error)

    def close(self) -> None:
        pass


class Person:
    """What is being said: also the recogniser, and the model that hears the end of a turn."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.words = ""

    def transcribe(self, audio: Any, cancelled: Cancelled = never) -> Transcript:
        self.clock.taken += 0.2
        return Transcript(self.words)

    name = "a fake"

    def load(self) -> None:
        pass

    def probability(self, audio: Any) -> float:
        self.clock.taken += 0.1
        return 0.1 if self.words.endswith("and") else 0.9

    def close(self) -> None:
        pass


class Replies:
    """Two words of 0.3 s each; keeps the history, and which replies were settled."""

    WORDS = ("one ", "two ")
    SOUND = np.ones(3 * PLAYED, np.float32)

    def __init__(self, person: Person) -> None:
        self._person = person
        self.begun: dict[int, str] = {}
        self.settled = self.remembered = 0
        self.history: tuple[tuple[str, str], ...] = ()

    @property
    def info(self) -> EngineInfo:
        return EngineInfo("fake", "a fake", "first", "cpu", {})

    def warm_up(self, progress: Progress) -> None:
        pass

    @property
    def hears(self) -> bool:
        return False

    def reply(
        self, reply_id: int, turn: UserTurn, cancelled: Callable[[], bool]
    ) -> Iterator[ReplyPart]:
        text = turn.text
        assert text, "a turn without words is answered"
        self.begun[reply_id] = text
        self._person.clock.taken += 0.1
        for word in self.WORDS if text != NO_ANSWER else ():
            if text == BROKEN:
                raise ModelError("the chat model is broken")
            yield ReplyText(word)
            self._person.clock.taken += 0.2
            yield ReplyAudio(self.SOUND, word)

    def say(self, text: str) -> Any:
        self._person.clock.taken += 0.1
        return self.SOUND

    def settle(self, reply_id: int, heard: Heard | None) -> None:
        assert reply_id == self.settled + 1, "a reply is settled twice, or never"
        self.settled = reply_id
        question = self.begun.pop(reply_id, None)
        if question is not None and heard is not None:
            self.history = (*self.history, (question, heard.text))[-2:]
            self.remembered = reply_id

    def set_voice(self, voice: str) -> None:
        pass

    def close(self) -> None:
        pass
