"""Ask a model beside the conversation's loop, one question at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from model.errors import ModelError, failing_as_model_error
from model.events import Notice
from model.jobs.executor import Executor, Job, NextWork, Work, once
from voices.errors import VoiceError

T = TypeVar("T")
U = TypeVar("U")

_CHARACTERS = 4
"""Characters of a language without spaces that count as much as a word."""


class Question(Generic[T]):
    """Ask on ``lane`` and collect the answer frame by frame.

    A failure of ``model`` is logged and reported in one notice, "``trouble``: the error". Unless it
    ``retries``, the question is then ``disabled``.
    """

    def __init__(
        self,
        executor: Executor,
        lane: str,
        *,
        model: str,
        trouble: str,
        level: str = "warning",
        retries: bool = False,
    ) -> None:
        self._executor = executor
        self._lane = lane
        self._model = model
        self._trouble = trouble
        self._level = level
        self._retries = retries
        self._job: Job[T] | None = None
        self._reported = ""
        self.answer: T | None = None
        """The answer to the last question, once it is known."""
        self.failed = False
        """Whether the last question failed."""
        self.disabled = False
        """Whether a failure ended the asking for good."""

    @property
    def pending(self) -> bool:
        """Whether an answer may still come."""
        return self._job is not None

    def ask(self, now: int, call: Callable[[], T]) -> None:
        """Ask for what ``call`` returns, instead of anything pending."""
        self.do(now, once(call))

    def do(self, now: int, work: Work[T]) -> None:
        """Ask for the first result of ``work``, instead of anything pending."""
        self.drop()
        self.failed = False
        if not self.disabled:
            self._job = self._executor.submit(self._lane, now, work)

    def then(self, lane: str, work: NextWork[T, U]) -> Job[U] | None:
        """Queue ``work``, which is given the answer to what is pending, on ``lane`` as soon as it
        is there; return None if nothing is pending."""
        return None if self._job is None else self._job.then(lane, work)

    def poll(self, now: int) -> list[Notice]:
        """Collect the answer if it is there by ``now`` (user samples); report a failure."""
        job = self._job
        if job is None:
            return []
        try:
            with failing_as_model_error(self._model):
                answers = job.poll(now)
        except (ModelError, VoiceError) as error:
            return self._fail(now, f"{self._trouble}: {error}" if self._trouble else str(error))
        if answers:
            self.answer, self._job, self._reported = answers[0], None, ""
        return []

    def drop(self) -> None:
        """Discard the pending question and its answer."""
        if self._job is not None:
            self._job.cancel()
        self._job = self.answer = None

    def _fail(self, now: int, text: str) -> list[Notice]:
        self._job, self.failed, self.disabled = None, True, not self._retries
        repeated, self._reported = text == self._reported, text
        return [] if repeated else [Notice(now, self._level, text)]


class ReadingAhead:
    """Lets a model read on ``lane`` the words that it will be asked about, so that little is left
    to read at the end.

    It reads once ``enough`` words are new. A call during a reading does nothing; the next one reads
    what has been added. A failure is not reported, since it occurs again when an answer is wanted.
    """

    def __init__(self, executor: Executor, lane: str, enough: int = 3) -> None:
        self._question: Question[object] = Question(
            executor, lane, model="reading ahead", trouble="", retries=True
        )
        self._enough = enough
        self._read: tuple[object, Sequence[str]] = (None, ())

    def read(
        self, now: int, words: str, call: Callable[[], object], *, after: object, spaced: bool
    ) -> None:
        """Read ``words`` by ``call`` at ``now`` (user samples), if enough of them is new.

        ``after``: what they follow; where that is new, all is. ``spaced``: they have spaces
        between them.
        """
        self._question.poll(now)
        parts, each = (words.split(), 1) if spaced else (words, _CHARACTERS)
        enough = self._enough * each
        before, read = self._read
        known = _in_common(read, parts) if after == before else -enough
        if self._question.pending or len(parts) - known < enough:
            return
        self._read = (after, parts)
        self._question.ask(now, call)


def _in_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many of the first parts of both are equal."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))
