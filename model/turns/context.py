"""The context that turn-taking states share: the engine's parts, the time, earlier turns."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import TypeVar

from audio_io.clock import ASSISTANT_RATE, USER_RATE, samples
from audio_io.signal import NOTHING_PLAYED, Audio, Position
from model.engine import Frame
from model.events import (
    Event,
    PlaybackAction,
    PlaybackControl,
    SpeculationDiscarded,
    StateChanged,
    TurnState,
    UserTranscript,
)
from model.hearing.hearing import Hearing
from model.hearing.identity.speaker_check import SpeakerCheck
from model.hearing.languages import WITHOUT_SPACES
from model.hearing.open_turn import OpenTurn
from model.hearing.recognition import Recognition
from model.jobs.executor import Executor
from model.jobs.question import ReadingAhead
from model.playback.backchannels import Backchannels
from model.playback.spoken_reply import SpokenReply
from model.playback.timers import Timers
from model.reply import ReadsAhead, ReplyGenerator
from model.turns.answer import REPLY_LANE, TurnAnswer
from model.turns.end_of_turn import EndOfTurnProbe
from model.turns.overlap import Overlap
from model.turns.phrases import Phrases
from model.turns.states import ConversationState, Listening
from model.turns.turn_settings import TurnSettings

S = TypeVar("S", bound=ConversationState)


@dataclass
class TurnContext:
    """The parts, the present frame, and the memory of earlier turns.

    ``question``: the last reply, if it was heard to its end and asked something. ``user_level``:
    level of the last spoken turn, in dBFS. ``unanswered``: turns that wait to be answered.
    ``last``: the last reply whose end was told. Times are user samples.
    """

    generator: ReplyGenerator
    executor: Executor
    hearing: Hearing
    recognition: Recognition
    probe: EndOfTurnProbe
    speakers: SpeakerCheck
    backchannels: Backchannels
    timers: Timers
    settings: TurnSettings
    phrases: Phrases | None
    now: int = 0
    position: Position = NOTHING_PLAYED
    events: list[Event] = field(default_factory=list)
    muted: bool = False
    question: str = ""
    user_level: float | None = None
    turns: int = 0
    replies: int = 0
    unanswered: list[TurnAnswer] = field(default_factory=list)
    last: SpokenReply | None = None

    def __post_init__(self) -> None:
        # In the lane of replies: the next one waits for what is being read, and goes on from it.
        self._ahead = ReadingAhead(self.executor, REPLY_LANE)

    def begin(self, frame: Frame) -> None:
        """Begin a frame: its time, the speaker's position, no events yet."""
        self.now, self.position, self.events = frame.end, frame.playback, []
        self.timers.tick(self.now)

    def emit(self, event: Event) -> None:
        """Emit ``event`` with this frame."""
        self.events.append(event)

    def enter(self, state: S, reason: str) -> S:
        """Announce ``state`` and return it."""
        muted = self.muted and isinstance(state, Listening)
        self.emit(StateChanged(self.now, TurnState.MUTED if muted else state.kind, reason))
        return state

    def rest(self, reason: str) -> Listening:
        """Go back to listening."""
        self.hearing.forget()
        return self.enter(Listening(), reason)

    def open_turn(self, typed: str | None = None) -> OpenTurn:
        """Open the next turn: ``typed``, or with the speech that just began."""
        self.turns += 1
        if typed is not None:
            return OpenTurn(self.turns, self.now, self.now, typed=typed)
        return self.hearing.open_turn(self.turns)

    def open_overlap(self, unfinished: OpenTurn | None) -> Overlap:
        """Open speech over a reply: more of the ``unfinished`` turn it answers, or a new turn."""
        return Overlap(
            unfinished or self.open_turn(),
            self.hearing.run,
            self.recognition,
            self.phrases,
            self.speakers,
            user_level=self.user_level,
            goes_on=unfinished is not None,
            stops=self.settings.interruptible,
        )

    def read_ahead(self, partial: UserTranscript) -> None:
        """Let the language models read the ``partial`` words of the turn, which then only have to
        read what is new."""
        words, language = partial.text, partial.language
        self.probe.read_ahead(self.now, words, language, self.question)
        generator = self.generator
        if isinstance(generator, ReadsAhead):
            spaced = language not in WITHOUT_SPACES
            call = functools.partial(generator.read_ahead, words)
            self._ahead.read(self.now, words, call, after=partial.turn, spaced=spaced)

    def begin_answer(self, turn: OpenTurn, *, wanted: bool = True) -> TurnAnswer:
        """Begin answering ``turn`` as it stands; unless ``wanted``, only recognise its words."""
        self.recognition.drop_partial()
        self.replies += 1
        return TurnAnswer(
            self.replies,
            turn,
            self.generator,
            self.executor,
            self.recognition,
            self.now,
            wanted=wanted,
        )

    def discard_answer(self, answer: TurnAnswer, reason: str) -> None:
        """Discard a speculation: its reply never happened, and its turn goes on."""
        self.events += answer.cancel(self.now)
        self.generator.settle(answer.reply.reply_id, None)
        self.emit(SpeculationDiscarded(self.now, answer.turn.number, reason))

    def hum(self, turn: OpenTurn) -> None:
        """Hum in a pause of ``turn``."""
        event = self.backchannels.hum(self.now, turn)
        self._expect_echo(event.samples, turn.level())
        self.emit(event)

    def ring(self, level: float | None) -> None:
        """Ring if a timer is due. ``level``: the user's, in dBFS; None if it is unknown."""
        event = self.timers.ring(self.backchannels.number - 1)
        if event is not None:
            self.backchannels.number = event.number
            self._expect_echo(event.samples, level)
            self.emit(event)

    def _expect_echo(self, sound: Audio, level: float | None) -> None:
        """Take what comes back of ``sound`` (24 kHz) for no speech: what is softer than the user's
        voice at ``level``, or without barge-in anything."""
        length = len(sound) * USER_RATE // ASSISTANT_RATE
        below = math.inf
        if self.settings.barge_in and level is not None:
            below = level - self.settings.barge_in_below
        self.hearing.expect_echo(length + samples(self.settings.deaf_after), below)

    def control(self, answer: TurnAnswer, action: PlaybackAction, reason: str) -> None:
        """Send the speaker a command."""
        self.emit(PlaybackControl(self.now, answer.reply.reply_id, action, reason))
