"""Transcribe the user beside a network that only listens, for the screen and the record.

The user's speech is cut into turns at its silences, and the recogniser's words are events. No step
of the network waits for them, and no decision depends on them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from audio_io.clock import samples
from model.engine import Frame, Progress
from model.errors import ModelError, failing_as_model_error
from model.events import Event, Notice, TurnDiscarded, UserTranscript
from model.hearing.hearing import Hearing
from model.hearing.open_turn import OpenTurn
from model.hearing.recognition import LoadableRecognizer, Recognition, Transcript
from model.jobs.executor import Executor
from model.jobs.question import Question
from model.turns.turn_settings import TurnSettings


@dataclass(slots=True)
class _SpokenTurn:
    """A turn that began over reply ``over`` (0: none).

    ``shown``: partial words were reported. ``words``: the final words, asked for at its end.
    """

    turn: OpenTurn
    over: int
    shown: bool = False
    words: Question[Transcript] | None = None


class UserTranscripts:
    """Cuts the speech that ``hearing`` finds into turns, and has them recognised.

    Turns are cut by the ``settings`` of turn taking: ``onset``, ``silence``, ``max_turn`` and
    ``min_speech``. ``recognizer`` makes the recogniser; None for no transcript.
    """

    def __init__(
        self,
        hearing: Hearing,
        executor: Executor,
        recognizer: Callable[[], LoadableRecognizer] | None,
        settings: TurnSettings,
    ) -> None:
        self._hearing = hearing
        self._executor = executor
        self._make = recognizer
        self._settings = settings
        self._recognition = Recognition(None, executor, samples(settings.partial_every))
        self._obstacle = ""
        self.start_over(hearing)

    @property
    def busy(self) -> bool:
        """Whether final words are still to be reported."""
        return bool(self._ended)

    def load(self, progress: Progress) -> None:
        """Load the recogniser. On failure there is no transcript; the next poll reports why."""
        if self._make is None:
            return
        progress("loading the recogniser")
        try:
            with failing_as_model_error("the recogniser"):
                recognizer = self._make()
                recognizer.load()
        except ModelError as error:
            self._obstacle = str(error)
            return
        pause = samples(self._settings.partial_every)
        self._recognition = Recognition(recognizer, self._executor, pause)

    def start_over(self, hearing: Hearing) -> None:
        """Forget all turns; the next ones are found by ``hearing``."""
        self._hearing = hearing
        self._recognition.start_over()
        self._open: _SpokenTurn | None = None
        self._ended: deque[_SpokenTurn] = deque()
        self._count = 0
        self.newest = 0
        """The number of the newest turn that is more than a noise, 0 before any."""

    def close(self) -> None:
        """Free the memory. Safe to call twice."""
        self._recognition.close()

    def hear(self, frame: Frame, *, voiced: bool, over: int) -> None:
        """Take in the frame that ``hearing`` heard last.

        ``voiced``: whether it is speech. ``over``: the number of the reply being played, or 0.
        """
        s, hearing = self._settings, self._hearing
        if self._open is None:
            if not hearing.speech_began:
                return
            self._count += 1
            self._open = _SpokenTurn(hearing.open_turn(self._count), over)
        else:
            self._open.turn.add(frame.samples, voiced, hearing.last_speech)
        turn = self._open.turn
        if turn.voiced >= samples(s.min_speech):
            self.newest = turn.number
        too_long = frame.end - turn.start >= samples(s.max_turn)
        if too_long or hearing.silence >= samples(s.silence):
            hearing.forget()
            self._end(self._open, frame.end)
            self._open = None

    def poll(self, now: int, settled: int) -> Iterator[Event]:
        """Yield what became known by ``now``.

        ``settled``: the number of the last reply whose end was reported. Words spoken over a later
        reply are held back, because screens end a reply at the user's next words.
        """
        if self._obstacle:
            yield Notice(now, "warning", f"no transcript of what you say: {self._obstacle}")
            self._obstacle = ""
        while self._ended and self._ended[0].over <= settled:
            yield from self._collect(self._ended[0], now)
            words = self._ended[0].words
            if words is not None and words.pending:
                return
            self._ended.popleft()
        if self._open is not None and not self._ended and self._open.over <= settled:
            speaking = not self._hearing.silence
            for event in self._recognition.partial(now, self._open.turn, speaking=speaking):
                self._open.shown |= isinstance(event, UserTranscript)
                yield event

    def _end(self, spoken: _SpokenTurn, now: int) -> None:
        self._recognition.drop_partial()
        turn = spoken.turn
        if self._recognition.available and turn.voiced >= samples(self._settings.min_speech):
            trouble = "your words could not be recognised"
            spoken.words = self._recognition.turn(now, turn.audio(), trouble, "warning")
        self._ended.append(spoken)

    def _collect(self, spoken: _SpokenTurn, now: int) -> Iterator[Event]:
        turn, words, text, language = spoken.turn, spoken.words, "", ""
        if words is not None:
            yield from words.poll(now)
            if words.pending:
                return
            if words.answer:
                text, language = words.answer.text.strip(), words.answer.language
        if text:
            span = turn.start, turn.end_of_speech
            yield UserTranscript(now, turn.number, text, True, *span, language)
        elif spoken.shown:
            yield TurnDiscarded(now, turn.number, "nothing recognised")
