"""Swaps of the assistant's voice while a conversation runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from model.errors import ModelError, failing_as_model_error
from model.events import Notice, VoiceChanged
from model.jobs.executor import Executor, Job
from model.playback.reply_run import REPLY_LANE
from model.reply import ReplyGenerator
from voices.errors import VoiceError


class VoiceChanges:
    """Loads voices on the replies' own lane, so that a change takes effect between replies."""

    def __init__(self, generator: ReplyGenerator, executor: Executor) -> None:
        self._generator = generator
        self._executor = executor
        self._jobs: list[Job[str]] = []

    def ask(self, voice: str, now: int) -> None:
        """Begin to change to ``voice``."""

        def load(cancelled: Callable[[], bool]) -> Iterator[str]:
            self._generator.set_voice(voice)
            yield voice

        self._jobs.append(self._executor.submit(REPLY_LANE, now, load))

    def poll(self, now: int) -> Iterator[VoiceChanged | Notice]:
        """The changes that were made, or failed, by ``now``."""
        for job in self._jobs:
            try:
                with failing_as_model_error("the voice"):
                    voices = job.poll(now)
                for voice in voices:
                    yield VoiceChanged(now, voice)
            except (ModelError, VoiceError) as error:
                yield Notice(now, "error", str(error))
        self._jobs = [job for job in self._jobs if not job.finished]
