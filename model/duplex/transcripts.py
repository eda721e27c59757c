"""What the user says, in writing: for the screen and the record, beside a network that only hears.

The user's speech is cut into utterances at its silences, and the embedded recogniser reads them on
lanes of its own. Nothing waits for it, and nothing is decided by it: whose turn it is, only the
network knows.
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
class _Utterance:
    """``over``: the number of the reply that it began over, 0 for none. ``shown``: some of it was
    told. ``words``: it is over, and being read."""

    turn: OpenTurn
    over: int
    shown: bool = False
    words: Question[Transcript] | None = None


class UserTranscripts:
    """Cuts what ``hearing`` takes for speech, and has it read by what ``recognizer`` makes (None:
    by nobody). An utterance is what turn taking calls a turn, with its numbers: when one begins
    (``onset``), when it is over (``silence``, ``max_turn``), and how much is more than a noise
    (``min_speech``).
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
        self._open: _Utterance | None = None
        self._reading: deque[_Utterance] = deque()
        self._count = 0
        self.newest = 0
        """The number of the newest utterance that is more than a noise, 0 before any."""

    @property
    def busy(self) -> bool:
        """Whether something that was said is still being read."""
        return bool(self._reading)

    def load(self, progress: Progress) -> None:
        """Make the recogniser ready. What is in the way of that is told when :meth:`poll` is next
        called; there are no transcripts then."""
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

    def close(self) -> None:
        """Give back memory. Safe to call twice."""
        self._recognition.close()

    def hear(self, frame: Frame, *, voiced: bool, over: int) -> None:
        """Take in the frame that ``hearing`` has just heard. ``voiced``: what it took it for;
        ``over``: the number of the reply that the user is being told, 0 for none."""
        s, hearing = self._settings, self._hearing
        if self._open is None:
            if not hearing.speech_began:
                return
            self._count += 1
            self._open = _Utterance(hearing.open_turn(self._count), over)
        else:
            self._open.turn.add(frame.samples, voiced, hearing.last_speech)
        turn = self._open.turn
        if turn.voiced >= samples(s.min_speech):
            self.newest = turn.number
        too_long = frame.end - turn.start >= samples(s.max_turn)
        if too_long or hearing.silence >= samples(s.silence):
            hearing.forget()  # what follows is the next one
            self._finish(self._open, frame.end)
            self._open = None

    def poll(self, now: int, settled: int) -> Iterator[Event]:
        """What became known by ``now``.

        ``settled``: the number of the last reply that was told to its end. What is said over a
        reply waits for that, in order: a screen takes the user's words for the end of the reply
        before them.
        """
        if self._obstacle:
            yield Notice(now, "warning", f"what you say is not written down: {self._obstacle}")
            self._obstacle = ""
        while self._reading and self._reading[0].over <= settled:
            yield from self._collect(self._reading[0], now)
            words = self._reading[0].words
            if words is not None and words.pending:
                return
            self._reading.popleft()
        if self._open is not None and not self._reading and self._open.over <= settled:
            speaking = not self._hearing.silence
            for event in self._recognition.partial(now, self._open.turn, speaking=speaking):
                self._open.shown |= isinstance(event, UserTranscript)
                yield event

    def _finish(self, utterance: _Utterance, now: int) -> None:
        self._recognition.drop_partial()
        turn = utterance.turn
        if self._recognition.available and turn.voiced >= samples(self._settings.min_speech):
            trouble = "what you said could not be written"
            utterance.words = self._recognition.turn(now, turn.audio(), trouble, "warning")
        self._reading.append(utterance)

    def _collect(self, utterance: _Utterance, now: int) -> Iterator[Event]:
        turn, words, text = utterance.turn, utterance.words, ""
        if words is not None:
            yield from words.poll(now)
            if words.answer is None:
                return
            text = words.answer.text.strip()
        if text:
            yield UserTranscript(now, turn.number, text, True, turn.start, turn.end_of_speech)
        elif utterance.shown:
            yield TurnDiscarded(now, turn.number, "nothing recognised")
