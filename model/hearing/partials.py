"""Transcripts that grow while the user is still speaking."""

from __future__ import annotations

from collections.abc import Iterator

from model.errors import ModelError, failing_as_model_error
from model.events import Notice, UserTranscript
from model.hearing.open_turn import OpenTurn
from model.jobs.executor import Executor, Job, once
from model.reply import Recognizer

PARTIAL_LANE = "partial transcript"


class PartialTranscripts:
    """Recognises an open turn again and again, ``pause`` user samples or more apart.

    Without a ``recognizer`` it does nothing.
    """

    def __init__(self, recognizer: Recognizer | None, executor: Executor, pause: int) -> None:
        self._recognizer = recognizer
        self._executor = executor
        self._pause = pause
        self._job: Job[str] | None = None
        self._turn = 0
        self._next = 0

    def poll(
        self, now: int, turn: OpenTurn, *, speaking: bool
    ) -> Iterator[UserTranscript | Notice]:
        """What became known of ``turn`` by ``now``; ``speaking``: whether there is more to hear."""
        if self._recognizer is None:
            return
        if self._turn != turn.number:
            self._turn, self._next = turn.number, now + self._pause
        if self._job is not None:
            yield from self._collect(self._job, now, turn)
        if self._job is None and speaking and now >= self._next:
            recognizer, audio = self._recognizer, turn.audio()
            work = once(lambda: recognizer.transcribe(audio))
            self._job = self._executor.submit(PARTIAL_LANE, now, work)

    def _collect(
        self, job: Job[str], now: int, turn: OpenTurn
    ) -> Iterator[UserTranscript | Notice]:
        try:
            with failing_as_model_error("the partial transcript"):
                texts = job.poll(now)
            for text in filter(None, texts):
                end = turn.end_of_speech
                yield UserTranscript(now, turn.number, text, False, turn.start, end)
        except ModelError as error:
            yield Notice(now, "warning", f"no partial transcript: {error}")
        if job.finished:
            self._job = None
            # The longer a turn, the more there is to recognise again: pause by a tenth of it.
            self._next = now + self._pause + (now - turn.start) // 10

    def drop(self) -> None:
        """The turn is over: what is still being recognised is no longer wanted."""
        if self._job is not None:
            self._job.cancel()
            self._job = None
