"""Speech recognition for a conversation: partial words, the words of a turn, words over a reply."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from audio_io.signal import Audio
from model.events import Notice, UserTranscript
from model.hearing.open_turn import OpenTurn
from model.jobs.channel import Cancelled, never
from model.jobs.executor import Executor
from model.jobs.question import Question

PARTIAL_LANE, TURN_LANE, OVERLAP_LANE = "partial words", "words of a turn", "words over a reply"


@dataclass(frozen=True, slots=True)
class Transcript:
    """Recognised ``text``, empty without speech. ``language``: a code such as ``en``, or empty."""

    text: str
    language: str = ""


class Recognizer(Protocol):
    """Speech to text."""

    def transcribe(self, audio: Audio, cancelled: Cancelled = never) -> Transcript:
        """Recognise ``audio`` (float32 mono 16 kHz). Thread-safe. Raises: RecognizerError.

        Once ``cancelled()``, it stops as soon as it can, with any result.
        """


class LoadableRecognizer(Recognizer, Protocol):
    """A recogniser with weights to load."""

    @property
    def name(self) -> str:
        """The model's name, for the user."""

    def load(self) -> None:
        """Load the weights and run the model once. Raises: RecognizerError."""

    def start_over(self) -> None:
        """Forget what the user spoke: another conversation begins."""

    def close(self) -> None:
        """Free the memory. Safe to call twice."""


class Recognition:
    """Recognise the user's words in the background.

    Without a ``recognizer`` it is not ``available`` and recognises nothing. An open turn is
    recognised every ``partial_every`` user samples while the user speaks.
    """

    def __init__(
        self, recognizer: LoadableRecognizer | None, executor: Executor, partial_every: int
    ) -> None:
        self._recognizer = recognizer
        self._executor = executor
        self._partial_every = partial_every
        self._partial: Question[Transcript] = Question(
            executor,
            PARTIAL_LANE,
            model="the recogniser",
            trouble="no partial transcript",
            retries=True,
        )
        self._partial_turn = 0
        self._next_partial = 0
        self.overlap: Question[Transcript] = Question(
            executor,
            OVERLAP_LANE,
            model="the recogniser",
            trouble="speech over replies is judged by length alone",
        )
        """Asks for the words over a reply."""

    @property
    def available(self) -> bool:
        """Whether there is a recogniser."""
        return self._recognizer is not None

    @property
    def name(self) -> str:
        """The recogniser's name, empty without one."""
        return self._recognizer.name if self._recognizer is not None else ""

    def load(self) -> None:
        """Make the recogniser ready. Raises: RecognizerError."""
        if self._recognizer is not None:
            self._recognizer.load()

    def start_over(self) -> None:
        """Forget what was spoken: another conversation begins."""
        if self._recognizer is not None:
            self._recognizer.start_over()

    def close(self) -> None:
        """Free the memory. Safe to call twice."""
        if self._recognizer is not None:
            self._recognizer.close()

    def turn(self, now: int, audio: Audio, trouble: str, level: str) -> Question[Transcript]:
        """Ask for the final words of a turn. A failure is a notice, "``trouble``: the error"."""
        question: Question[Transcript] = Question(
            self._executor, TURN_LANE, model="the recogniser", trouble=trouble, level=level
        )
        self.ask(question, now, audio)
        return question

    def ask(self, question: Question[Transcript], now: int, audio: Audio) -> None:
        """Ask ``question`` about ``audio``."""
        recognizer = self._recognizer
        if recognizer is None:
            return

        def work(cancelled: Cancelled) -> Iterator[Transcript]:
            yield recognizer.transcribe(audio, cancelled)

        question.do(now, work)

    def partial(self, now: int, turn: OpenTurn, *, speaking: bool) -> list[UserTranscript | Notice]:
        """Return new partial words of ``turn``; ask again while the user is ``speaking``."""
        if self._partial_turn != turn.number:
            self._partial_turn, self._next_partial = turn.number, now + self._partial_every
        question = self._partial
        events: list[UserTranscript | Notice] = []
        if question.pending:
            events += question.poll(now)
            if question.answer is not None and question.answer.text:
                text, language = question.answer.text, question.answer.language
                span = turn.start, turn.end_of_speech
                events.append(UserTranscript(now, turn.number, text, False, *span, language))
            if not question.pending:
                # The longer a turn, the longer each recognition: add a tenth of its length.
                self._next_partial = now + self._partial_every + (now - turn.start) // 10
        if not question.pending and speaking and now >= self._next_partial:
            self.ask(question, now, turn.audio())
        return events

    def drop_partial(self) -> None:
        """Discard the partial words being recognised."""
        self._partial.drop()
