"""A server that holds the conversation, as an engine.

The server takes the turns. Here the user's sound is sent, its replies are played, and what was
heard of them is told back to it; echo cancellation, screen and recording stay here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from audio_io.clock import samples
from audio_io.signal import Position, SpeechDetector
from model.endpoints.server_key import ServerKey
from model.engine import (
    Command,
    EngineInfo,
    Frame,
    Interrupt,
    Progress,
    PushToTalk,
    Remember,
    SayText,
    SetMuted,
    SetPersona,
    SetVoice,
)
from model.events import Event, StateChanged, TurnState
from model.hearing.hearing import Hearing
from model.realtime import user_actions, wire
from model.realtime.address import ServerAddress, ServerKind
from model.realtime.dialling import OpenSession, dial
from model.realtime.ducking import LocalDucking
from model.realtime.link import FIRST_DELAY_S, LinkLost, LinkRestored, ServerLink
from model.realtime.microphone_feed import PIECE_S, MicrophoneFeed
from model.realtime.outbox import DROPPED_S, Outbox
from model.realtime.server_events import take
from model.realtime.talk import RemoteTalk
from model.turns.turn_settings import TurnSettings

EXPECT_S = 2.0
"""Silence after which no turn of what was said is expected any more."""

LACKS = (
    *("NewSpeaker", "SayAudio", "EndTurn", "AnswerNow", "DropTurn", "SetTurnTaking", "Forget"),
    "CutReply",
)
"""Commands that a server has no word for, or that only servers of ours need."""

_PLAYED_EVERY_S = 0.2
_OPENAIS_TRANSCRIPTION = "gpt-4o-mini-transcribe"
"""What writes the user's words at OpenAI, where nothing does unless asked."""


class RealtimeEngine:
    """A conversation at the server at ``address``.

    ``detector`` finds speech in frames, to duck a reply at once and to measure latency. ``voice``,
    ``instructions``: empty for the server's own.
    """

    def __init__(
        self,
        address: ServerAddress,
        key: ServerKey,
        detector: SpeechDetector,
        *,
        voice: str = "",
        instructions: str = "",
        first_delay_s: float = FIRST_DELAY_S,
    ) -> None:
        self._address = address
        self._key = key
        self._instructions = instructions
        at_openai = address.kind is ServerKind.OPENAI
        self._update = wire.session_update(
            input_rate=wire.OUTPUT_RATE,
            voice=voice,
            instructions=instructions,
            transcription=_OPENAIS_TRANSCRIPTION if at_openai else "",
        )
        self._detector = detector
        self._first_delay_s = first_delay_s
        self._begin()
        where = f"{address.host}, in the clear" if address.open else address.host
        self._info = EngineInfo(
            name="realtime",
            description=f"a server that takes the turns; your microphone goes to {where}",
            voice=voice,
            device="remote",
            parts={"server": f"{address.host}; its parts are not known here"},
            lacks=LACKS,
        )

    def _begin(self) -> None:
        address, outbox = self._address, Outbox(PIECE_S)
        feed = MicrophoneFeed(outbox, wire.OUTPUT_RATE)
        self._hearing = Hearing(self._detector, TurnSettings())
        self._ducking = LocalDucking(self._hearing)
        self._talk = RemoteTalk(address.host, address.kind, outbox, feed)
        self._link = ServerLink(self._dial, outbox, first_delay_s=self._first_delay_s)
        self._commands: deque[Command] = deque()
        self._state = TurnState.LISTENING
        self._muted = False
        self._played_at = 0

    @property
    def info(self) -> EngineInfo:
        """What is known of the server."""
        return self._info

    @property
    def busy(self) -> bool:
        """Whether a turn or a reply is under way, or may still come of what was said."""
        talk = self._talk
        expecting = talk.now - talk.last_speech < samples(EXPECT_S)
        return bool(talk.busy or self._commands or (expecting and talk.last_speech))

    def warm_up(self, progress: Progress) -> None:
        """Connect and begin a session. Raises: ModelError."""
        self._hearing.warm_up()
        progress(f"connecting to {self._address.host}")
        session = self._talk.session = self._link.open(progress)
        model = wire.text_of(session, "model")
        parts = {"server": f"{model} at {self._address.host}"} if model else self._info.parts
        voice = wire.text_of(session, "audio", "output", "voice") or self._info.voice
        self._info = replace(self._info, parts=parts, voice=voice)

    def command(self, command: Command) -> None:
        """Queue ``command`` for the next frame."""
        self._commands.append(command)

    def start_over(self) -> None:
        """Begin another session. Raises: ModelError."""
        self._link.close()
        self._detector.reset()
        self._begin()
        self._talk.session = self._link.open(lambda stage: None)

    def close(self) -> None:
        """End the session. Safe to call twice."""
        self._link.close()

    def process(self, frame: Frame) -> Sequence[Event]:
        """Take in one frame; return what happened, in order."""
        talk = self._talk
        talk.events, talk.now = [], frame.end
        if self._hearing.hear(frame):
            talk.last_speech = self._hearing.last_speech
        if gone := talk.feed.feed(frame):
            talk.notice(
                "warning",
                f"{talk.host} takes your voice too slowly: {max(gone, DROPPED_S):.0f} s of it was "
                "dropped",
                once=True,
            )
        while self._commands:
            self._obey(self._commands.popleft())
        for news in self._link.news():
            match news:
                case LinkLost(reason):
                    user_actions.lose(talk, reason)
                case LinkRestored(session):
                    user_actions.restore(talk, session)
                case _:
                    take(talk, news)
        user_actions.go_on(talk, frame.playback)
        if talk.kind is not ServerKind.COVO:
            self._ducking.watch(talk)
        talk.raise_again()
        self._tell_played(frame.playback)
        self._show()
        return talk.events

    def _dial(self, progress: Progress) -> OpenSession:
        return dial(self._address, self._key, self._update, progress)

    def _obey(self, command: Command) -> None:
        talk = self._talk
        match command:
            case Interrupt():
                talk.stop("interrupted by key")
            case SayText(text) if text.strip():
                user_actions.say(talk, text.strip())
            case SetVoice(voice):
                talk.voice = voice
                talk.tell(wire.persona_update(voice=voice))
            case SetMuted(muted):
                self._muted = muted
                talk.reason = "muted" if muted else "unmuted"
            case PushToTalk(talking):
                (user_actions.press_to_talk if talking else user_actions.release)(talk)
            case SetPersona(persona):
                talk.persona = persona or self._instructions
                talk.tell(wire.persona_update(instructions=talk.persona))
            case Remember(number, user, assistant):
                for role, text in talk.turns.remember(number, user, assistant).texts:
                    talk.tell(wire.text_item(role, text))
            case _ if type(command).__name__ in LACKS:
                talk.notice("warning", "only the server can do that, and it has no word for it")

    def _tell_played(self, playback: Position) -> None:
        """Tell a server that asks for it how much of its reply was played."""
        talk, reply = self._talk, self._talk.replies.sounding
        if reply is None or playback.reply_id != reply.reply_id:
            return
        if talk.now - self._played_at >= samples(_PLAYED_EVERY_S):
            self._played_at = talk.now
            user_actions.tell_played(talk, reply, playback.samples)

    def _show(self) -> None:
        """Tell the state if it has changed."""
        state = self._talk.state
        if state is TurnState.LISTENING and self._muted:
            state = TurnState.MUTED
        if state is not self._state:
            self._state = state
            self._talk.emit(StateChanged(self._talk.now, state, self._talk.reason))
