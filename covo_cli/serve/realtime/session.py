"""A session: the engine's events become a client's, and the client's become commands.

It is a consumer of the conversation and is called from two threads: the conversation's
(:meth:`RealtimeSession.on_tick`) and the socket's (:meth:`RealtimeSession.take`). One lock makes
each event whole.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np

from audio_io.clock import ASSISTANT_RATE, USER_RATE, samples
from covo_cli.conversation.consumer import Tick
from covo_cli.conversation.request import Request
from covo_cli.serve.protocol import SessionLink
from covo_cli.serve.realtime.extension import told_besides
from covo_cli.serve.realtime.history import HistoryOnTheWire
from covo_cli.serve.realtime.items import ConversationItems
from covo_cli.serve.realtime.microphone import UNHEARD_S
from covo_cli.serve.realtime.reply_side import CANCELLED, TURN_DETECTED, ReplySide
from covo_cli.serve.realtime.requests import RequestedResponses
from covo_cli.serve.realtime.session_object import SessionObject
from covo_cli.serve.realtime.sound import SoundDecoder
from covo_cli.serve.realtime.speaker import SocketSpeaker
from covo_cli.serve.realtime.user_side import TOLD_AFTER_S, UserSide
from covo_cli.serve.realtime.wire import ClientEvent, WireError, new_id, read_event
from model.engine import (
    CutReply,
    DropTurn,
    EndTurn,
    Interrupt,
    SayAudio,
    SetPersona,
    SetTurnTaking,
    SetVoice,
)
from model.events import (
    Event,
    Interrupted,
    PlaybackAction,
    PlaybackControl,
    ReplyFinished,
    ReplyStarted,
    StateChanged,
    TurnDiscarded,
    TurnLatency,
    TurnState,
    UserTranscript,
)

SILENT_USER = "The user has been silent for a while. Say one short sentence to go on with."
"""Answered where the user has said nothing for the session's idle timeout."""

COMMIT_EMPTY = "input_audio_buffer_commit_empty"
LEAST_COMMIT_S = 0.1
"""A shorter buffer is not committed."""

LONGEST_WAIT_S = 120.0
"""A response whose reply has not begun by then has failed."""

MOST_HELD = 1024 * 1024
"""Characters of the events that wait until the sound before them was heard; with more, none do."""
_ABOUT_SOUND = ("input_audio_buffer.commit", "response.create")
"""Events that are about the sound before them."""


class RealtimeSession:
    """One client's session with an engine."""

    def __init__(self, link: SessionLink, speaker: SocketSpeaker) -> None:
        self._lock = threading.Lock()
        self._link = link
        self._microphone = microphone = link.microphone
        self._speaker = speaker
        served = link.served
        self._lacks = served.lacks
        if not link.extended:  # its clients stop playing at once when they hear of speech
            onset = max(served.turns.onset, TOLD_AFTER_S)
            served = replace(served, turns=replace(served.turns, onset=onset))
        self.settings = SessionObject(served, link.session_id, link.expires_at)
        self._items = ConversationItems()
        self._history = HistoryOnTheWire(
            self._send, self._items, self._command, self._withdraw, self._hear_item
        )
        place = microphone.appended_ms
        self._user = UserSide(self._send, self._items, lambda: self.settings, place, self._command)
        self._decoder = SoundDecoder(self.settings.heard_format)
        self._replies = ReplySide(self._send, self._items, speaker, lambda: self.settings)
        self._requests = RequestedResponses(
            self._command,
            self._user,
            self._replies,
            self._history,
            lambda: self.settings,
            self._lacks,
        )
        self._events: deque[tuple[ClientEvent, int]] = deque()  # the client's, and their characters
        self._state = TurnState.LISTENING
        self._waiting_since = 0  # when no response waited for its reply
        self._idle_since = 0  # when it was not the user's turn
        self._at = 0

    def open(self) -> None:
        """Tell the client that the session has begun."""
        with self._lock:
            self._command(SetTurnTaking(self.settings.turns))
            with contextlib.suppress(WireError):  # it was asked of another server
                self._apply(self._link.asked)
            self._send({"type": "session.created", "session": self.settings.value})

    # From the client

    def take(self, text: str) -> None:
        """Carry out a message of the client's; an error is told and changes nothing."""
        with self._lock:
            try:
                self._events.append((read_event(text), len(text)))
            except WireError as error:
                self._send(error.told())
            self._carry_out()

    def _carry_out(self) -> None:
        """Carry out the client's events in order, as far as the sound before them was heard."""
        while self._events and not self._must_wait():
            event, _ = self._events.popleft()
            try:
                self._obey(event)
            except WireError as error:
                self._send(error.told(event.event_id))

    def _must_wait(self) -> bool:
        about_sound = self._events[0][0].kind in _ABOUT_SOUND and self._microphone.behind
        return about_sound and sum(size for _, size in self._events) <= MOST_HELD

    def _obey(self, event: ClientEvent) -> None:
        fields = event.fields
        match event.kind:
            case "session.update":
                self._apply(fields["session"])
                self._send({"type": "session.updated", "session": self.settings.value})
            case "input_audio_buffer.append":
                self._hear(fields["audio"])
            case "input_audio_buffer.commit":
                self._commit()
            case "input_audio_buffer.clear":
                self._microphone.clear()
                self._command(DropTurn())
                self._send({"type": "input_audio_buffer.cleared"})
            case "response.create":
                self._create(fields.get("response") or {})
            case "response.cancel":
                self._cancel(fields.get("response_id"))
            case "output_audio_buffer.clear":
                if self._replies.newest is not None and self._state is TurnState.SPEAKING:
                    self._requests.stop(self._replies.newest, Interrupt())
            case "conversation.item.truncate":
                self._truncate(fields["item_id"], fields["audio_end_ms"])
            case "covo.played":
                response = self._replies.of_item(fields["item_id"])
                if response is not None and response is self._replies.newest:
                    self._speaker.report(fields["audio_ms"] * ASSISTANT_RATE // 1000)
            case _:
                self._history.obey(event)

    def _apply(self, change: dict[str, Any]) -> None:
        """Apply a change of the session. Raises: WireError."""
        before = self.settings
        old_turns, old_format = before.turns, before.heard_format
        old_persona, old_voice = before.instructions, before.voice
        self.settings.update(change)
        now = self.settings
        if now.heard_format != old_format:
            self._decoder = SoundDecoder(now.heard_format)
        if now.turns != old_turns:
            self._command(SetTurnTaking(now.turns))
        if now.instructions != old_persona:
            self._command(SetPersona(now.instructions))
        if now.voice != old_voice:
            self._command(SetVoice(now.voice))

    def _hear(self, data: str) -> None:
        most = self._decoder.size(UNHEARD_S)  # decode no more than can be kept
        sound = self._decoder.decode(data[:most])
        if not self._microphone.push(sound, manual=self.settings.manual) or len(data) > most:
            raise WireError("the buffer is full: 60 s wait to be heard", "audio", "buffer_full")

    def _commit(self) -> None:
        if not self.settings.manual:
            if not self._user.speaking:
                raise WireError("the buffer is empty", code=COMMIT_EMPTY)
            self._command(EndTurn())
            self._user.end(self._at)
            return
        sound = self._microphone.whole(LEAST_COMMIT_S)
        if sound is None:
            raise WireError("the buffer has less than 100 ms of sound", code=COMMIT_EMPTY)
        self._command(SayAudio(sound, answer=False))
        self._user.give(len(sound) / USER_RATE)

    def _hear_item(self, item_id: str, sounds: list[str]) -> None:
        """Take the sounds (base64) of an item as a turn. Raises: WireError."""
        decoder = SoundDecoder(self._decoder.form)
        if sum(map(len, sounds)) > decoder.size(UNHEARD_S):
            raise WireError("an item may have 60 s of sound", "item.content.audio", "too_large")
        sound = np.concatenate([decoder.decode(data) for data in sounds])
        if len(sound) < samples(LEAST_COMMIT_S):
            raise WireError("the sound of an item must have 100 ms", "item.content.audio")
        self._command(SayAudio(sound, answer=False))
        self._user.give(len(sound) / USER_RATE, item_id)

    def _create(self, asked: dict[str, Any]) -> None:
        thinking = self._state is TurnState.THINKING or self._user.ended
        self._requests.create(asked, self._at, thinking=thinking)

    def _cancel(self, response_id: str | None) -> None:
        active = self._replies.active
        if active is None or response_id not in (None, active.response_id):
            message = "Cancellation failed: no active response found"
            raise WireError(message, code="response_cancel_not_active")
        self._requests.stop(active, Interrupt())

    def _withdraw(self, item_id: str) -> None:
        """Answer no turn whose item is deleted, and end its response, which counts as unheard."""
        self._user.withdraw(item_id)
        response = self._replies.of_item(item_id)
        if response is None or response is not self._replies.newest:
            return
        if response.reply:
            self._requests.stop(response, CutReply(response.reply, 0), 0)
        elif not response.done:
            self._requests.stop(response, Interrupt())

    def _truncate(self, item_id: str, audio_ms: int) -> None:
        if not self._items.issued(item_id):
            raise WireError("there is no such item", "item_id", "item_truncate_invalid_item_id")
        response = self._replies.of_item(item_id)
        heard = self._items.hear(item_id, max(0, audio_ms) * ASSISTANT_RATE // 1000)
        if response is not None:
            heard = self._replies.heard(response)
            response.cut(response.spoken.split(heard).text)
            if response is self._replies.newest and response.reply and response.speaks:
                self._requests.stop(response, CutReply(response.reply, heard), heard)
            elif not response.done:
                self._requests.stop(response, Interrupt())
        audio_ms = heard * 1000 // ASSISTANT_RATE
        place = {"item_id": item_id, "content_index": 0, "audio_end_ms": audio_ms}
        self._send({"type": "conversation.item.truncated", **place})

    # From the engine

    def on_tick(self, tick: Tick) -> None:
        """Tell the client what happened in a frame, and send the sound that is due."""
        with self._lock:
            self._at = tick.at
            for event in tick.events:
                self._tell(event)
                if self._link.extended:
                    newest, place = self._replies.newest, self._microphone.appended_ms
                    response_id = newest.response_id if newest else None
                    for besides in told_besides(event, response_id, place):
                        self._send(besides)
            self._replies.send_sound()
            self._look_after(tick.at)
            self._carry_out()

    def _tell(self, event: Event) -> None:
        match event:
            case StateChanged(at=at, state=state):
                self._enter(at, state)
            case PlaybackControl(at=at, action=PlaybackAction.DUCK | PlaybackAction.HOLD):
                self._user.talk_over(at, tell=not self.settings.turns.interruptible)
            case PlaybackControl(at=at, action=PlaybackAction.RESUME):
                self._user.let_pass(at)
            case UserTranscript():
                self._user.words(event)
            case TurnDiscarded(turn=turn, reason=reason):
                self._requests.discard(turn, reason)
            case ReplyStarted(reply=reply):
                self._requests.begin(reply)
            case TurnLatency():
                self._link.note(event)
            case _:
                self._replies.tell(event)
        if isinstance(event, Interrupted):
            self._requests.end(event.reply)
        if isinstance(event, Interrupted | ReplyFinished):
            self._history.settled(event.reply)
            self._user.outlast_reply()

    def _enter(self, at: int, state: TurnState) -> None:
        before, self._state = self._state, state
        replies = self._replies
        match state:
            case TurnState.USER_SPEAKING:
                replies.trouble = ""
                if self._user.begin(at):
                    self._requests.give_way()
            case TurnState.THINKING:
                if before is not TurnState.USER_SPEAKING:
                    replies.trouble = ""
                self._user.stop(at)
            case TurnState.INTERRUPTED if replies.spoken is not None:
                if replies.spoken.stopped != CANCELLED:
                    self._user.interrupt(at)
                    self._requests.give_way()
                replies.stop(replies.spoken, TURN_DETECTED)
        self._user.forget_overlap()

    def _look_after(self, at: int) -> None:
        """End a response that never comes, and speak to a user who is silent for too long."""
        self._requests.look_after()
        waiting = self._replies.waiting
        if waiting is None:
            self._waiting_since = at
        elif at - self._waiting_since > samples(LONGEST_WAIT_S):
            self._replies.fail(waiting)
        newest, wait = self._replies.newest, self.settings.idle_timeout
        over = newest is not None and newest.done and self._state is TurnState.LISTENING
        if not over or wait is None:
            self._idle_since = at
        elif at - self._idle_since >= samples(wait) and "AnswerNow" not in self._lacks:
            self._user.time_out(self._idle_since, at)
            self._requests.ask(SILENT_USER)

    def _send(self, event: dict[str, Any]) -> None:
        self._link.send({"event_id": new_id("event"), **event})

    def _command(self, request: Request) -> None:
        self._link.command(request)
        self._microphone.wake()
