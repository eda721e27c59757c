"""Change the assistant's voice while a conversation runs."""

from __future__ import annotations

from model.events import Notice, VoiceChanged
from model.jobs.executor import Executor
from model.jobs.question import Question
from model.reply import ReplyGenerator
from model.turns.answer import REPLY_LANE


class VoiceChanges:
    """Loads voices on the replies' lane, so that a change takes effect between two replies."""

    def __init__(self, generator: ReplyGenerator, executor: Executor) -> None:
        self._generator = generator
        self._executor = executor
        self._loading: list[Question[str]] = []

    def ask(self, voice: str, now: int) -> None:
        """Start changing to ``voice``."""

        def load() -> str:
            self._generator.set_voice(voice)
            return voice

        question: Question[str] = Question(
            self._executor, REPLY_LANE, model="the voice", trouble=""
        )
        question.ask(now, load)
        self._loading.append(question)

    def poll(self, now: int) -> list[VoiceChanged | Notice]:
        """Return the events of the changes that succeeded or failed by ``now``."""
        events: list[VoiceChanged | Notice] = []
        for question in self._loading:
            events += question.poll(now)
            if question.answer is not None:
                events.append(VoiceChanged(now, question.answer))
        self._loading = [question for question in self._loading if question.pending]
        return events
