"""Who has the floor: the state that both sides of turn taking share, and the events that tell."""

from __future__ import annotations

from typing import TypeVar

from audio_io.signal import Position
from model.errors import ModelError
from model.events import (
    Event,
    Notice,
    PlaybackAction,
    PlaybackControl,
    SpeculationDiscarded,
    StateChanged,
    TurnDiscarded,
    TurnState,
    UserTranscript,
)
from model.hearing.hearing import Hearing
from model.hearing.open_turn import OpenTurn
from model.hearing.recognition import Recognition
from model.jobs.executor import Executor
from model.playback.playing import Playing
from model.playback.reply_run import ReplyRun
from model.reply import ReplyGenerator
from model.turns.talk_over import TalkOver
from model.turns.turn_settings import TurnSettings

T = TypeVar("T")


class Floor:
    """The turn that is open, the reply to it, and what is said over that.

    ``turn`` is the user's until a reply to it was heard for a while; ``reply`` from its beginning
    (often a speculation) until it is settled; ``playing`` while it is heard; ``talk_over`` is
    speech that may become the next turn; ``asked`` tells whether the last reply that was heard to
    its end ended with a question; ``user_level`` is that of the last turn that was spoken and taken
    to be over, in dBFS. All times are user samples.
    """

    def __init__(
        self,
        generator: ReplyGenerator,
        executor: Executor,
        hearing: Hearing,
        recognition: Recognition,
        settings: TurnSettings,
    ) -> None:
        self.generator = generator
        self.executor = executor
        self.hearing = hearing
        self.recognition = recognition
        self.settings = settings
        self.state = TurnState.LISTENING
        self.now = 0
        self.playback = Position()
        self.muted = False
        self.turn: OpenTurn | None = None
        self.reply: ReplyRun | None = None
        self.playing: Playing | None = None
        self.talk_over: TalkOver | None = None
        self.asked = False
        self.user_level: float | None = None
        self.events: list[Event] = []
        self._turns = 0
        self._replies = 0

    def emit(self, event: Event) -> None:
        """Tell ``event`` with this frame."""
        self.events.append(event)

    def enter(self, state: TurnState, reason: str) -> None:
        """Go to ``state``."""
        self.state = state
        self.emit(StateChanged(self.now, state, reason))

    def rest(self, reason: str) -> None:
        """Go back to listening."""
        self.hearing.forget()
        self.enter(TurnState.MUTED if self.muted else TurnState.LISTENING, reason)

    def open_turn(self, typed: str | None = None) -> OpenTurn:
        """The next turn: ``typed``, or with the speech that has begun just now."""
        self._turns += 1
        if typed is not None:
            return OpenTurn(self._turns, self.now, self.now, typed=typed)
        return self.hearing.open_turn(self._turns)

    def begin_reply(self) -> None:
        """Begin to answer the open turn as it stands."""
        self._replies += 1
        self.reply = ReplyRun(
            self._replies,
            present(self.turn),
            self.generator,
            self.executor,
            self.recognition,
            self.now,
        )

    def poll_reply(self) -> None:
        """Collect what was made of the reply."""
        reply = present(self.reply)
        text_came, notices = reply.poll_words(self.now)
        self.events.extend(notices)
        try:
            reply.poll(self.now)
        except ModelError as error:
            self.emit(Notice(self.now, "error", str(error)))
        committed = reply.committed_at is not None
        if text_came and reply.turn_text and reply.question.typed is None:
            self.emit_transcript(reply.question, reply.turn_text, final=committed)
        for notice in reply.take_notices() if committed else ():
            self.emit(Notice(self.now, notice.level, notice.text))

    def discard_reply(self, reason: str) -> None:
        """Throw away a speculation: neither the reply nor its turn ever happened."""
        reply = present(self.reply)
        reply.cancel()
        self.generator.settle(reply.number, None)
        self.reply = None
        self.emit(SpeculationDiscarded(self.now, present(self.turn).number, reason))

    def discard_turn(self, reason: str) -> None:
        """The open turn was none. What was said meanwhile is the next one."""
        turn, talk_over = present(self.turn), self.talk_over
        if self.reply is not None:
            self.discard_reply(reason)
        self.emit(TurnDiscarded(self.now, turn.number, reason))
        self.turn = self.talk_over = None
        if talk_over is None:
            self.rest(reason)
        else:
            self.turn = talk_over.turn
            self.enter(TurnState.USER_SPEAKING, "speech began")

    def control(self, action: PlaybackAction, reason: str) -> None:
        """Ask the speaker for something."""
        self.emit(PlaybackControl(self.now, present(self.reply).number, action, reason))

    def emit_transcript(self, turn: OpenTurn, text: str, *, final: bool) -> None:
        """Tell what the user says in ``turn``."""
        self.emit(
            UserTranscript(self.now, turn.number, text, final, turn.start, turn.end_of_speech)
        )


def present(value: T | None) -> T:
    """What must be there in the state the controller is in."""
    if value is None:
        raise RuntimeError("the turn-taking controller is in a state that cannot be")
    return value
