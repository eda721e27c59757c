"""A session: the engine's events become a client's, and the client's become commands.

It is a consumer of the conversation and is called from two threads: the conversation's
(:meth:`RealtimeSession.on_tick`) and the socket's (:meth:`RealtimeSession.take`). One lock makes
each event whole.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from audio_io.clock import ASSISTANT_RATE, USER_RATE, samples
from covo_cli.conversation.consumer import Tick
from covo_cli.conversation.request import Request
from covo_cli.serve.protocol import SessionLink
from covo_cli.serve.realtime.extension import told_besides
from covo_cli.serve.realtime.history import HistoryOnTheWire
from covo_cli.serve.realtime.items import ConversationItems
from covo_cli.serve.realtime.microphone import UNHEARD_S
from covo_cli.serve.realtime.reply_side import CANCELLED, TURN_DETECTED, ReplySide
from covo_cli.serve.realtime.response import WireResponse
from covo_cli.serve.realtime.session_object import SessionObject
from covo_cli.serve.realtime.sound import SoundDecoder
from covo_cli.serve.realtime.speaker import SocketSpeaker
from covo_cli.serve.realtime.user_side import TOLD_AFTER_S, UserSide
from covo_cli.serve.realtime.wire import ClientEvent, WireError, new_id, read_event
from model.engine import (
    AnswerNow,
    CutReply,
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
    ReplyFinished,
    ReplyStarted,
    StateChanged,
    TurnDiscarded,
    TurnLatency,
    TurnState,
    UserTranscript,
)
from model.turns.answering import NO_REPLY, UNANSWERED
from model.turns.listening import NOTHING_TO_ANSWER

GREETING = "Greet the user in one short sentence."
"""Answered where a response is asked for and there is nothing to answer."""

SILENT_USER = "The user has been silent for a while. Say one short sentence to go on with."
"""Answered where the user has said nothing for the session's idle timeout."""

COMMIT_EMPTY = "input_audio_buffer_commit_empty"
LEAST_COMMIT_S = 0.1
"""A shorter buffer is not committed."""

LONGEST_WAIT_S = 120.0
"""A response whose reply has not begun by then has failed."""


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
        self._history = HistoryOnTheWire(self._send, self._items, self._command, self._cut)
        self._user = UserSide(
            self._send, self._items, lambda: self.settings, microphone.appended_ms
        )
        self._decoder = SoundDecoder(self.settings.heard_format)
        self._replies = ReplySide(self._send, self._items, speaker, lambda: self.settings)
        self._state = TurnState.LISTENING
        self._waiting_since = 0  # when no response waited for its reply
        self._idle_since = 0  # when it was not the user's turn
        self._persona_until: WireResponse | None = None
        self._of_speech: WireResponse | None = None  # it answers a turn that may be none

    def open(self) -> None:
        """Tell the client that the session has begun."""
        with self._lock:
            self._command(SetTurnTaking(self.settings.turns))
            self._send({"type": "session.created", "session": self.settings.value})

    # From the client

    def take(self, text: str) -> None:
        """Carry out a message of the client's; an error is told and changes nothing."""
        with self._lock:
            event_id = None
            try:
                event = read_event(text)
                event_id = event.event_id
                self._obey(event)
            except WireError as error:
                self._send(error.told(event_id))

    def _obey(self, event: ClientEvent) -> None:
        fields = event.fields
        match event.kind:
            case "session.update":
                self._update(fields["session"])
            case "input_audio_buffer.append":
                self._hear(fields["audio"])
            case "input_audio_buffer.commit":
                self._commit()
            case "input_audio_buffer.clear":
                self._microphone.clear()
                self._send({"type": "input_audio_buffer.cleared"})
            case "response.create":
                self._create(fields.get("response") or {})
            case "response.cancel":
                self._cancel(fields.get("response_id"))
            case "output_audio_buffer.clear":
                if self._replies.newest is not None and self._state is TurnState.SPEAKING:
                    self._stop(self._replies.newest, Interrupt())
            case "conversation.item.truncate":
                self._truncate(fields["item_id"], fields["audio_end_ms"])
            case "covo.played":
                response = self._replies.of_item(fields["item_id"])
                if response is not None and response is self._replies.newest:
                    self._speaker.report(fields["audio_ms"] * ASSISTANT_RATE // 1000)
            case _:
                self._history.obey(event, self._replies.last_reply)

    def _update(self, change: Any) -> None:
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
        self._send({"type": "session.updated", "session": now.value})

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
            return
        sound = self._microphone.whole(LEAST_COMMIT_S)
        if sound is None:
            raise WireError("the buffer has less than 100 ms of sound", code=COMMIT_EMPTY)
        self._command(SayAudio(sound, answer=False))
        self._user.give(len(sound) / USER_RATE)

    def _create(self, asked: dict[str, Any]) -> None:
        for name in ("input", "conversation"):
            if asked.get(name) not in (None, "auto"):
                message = f"{name} is not supported: responses are part of the conversation"
                raise WireError(message, f"response.{name}", "unsupported")
        if self._replies.active is not None:
            message = "a response is active: wait for response.done, or cancel it"
            raise WireError(message, code="conversation_already_has_active_response")
        self._speaker.finish()  # what was sent before counts as heard
        given, kinds = asked.get("metadata"), asked.get("output_modalities")
        notes = given.items() if isinstance(given, dict) else ()
        metadata = {key: text for key, text in notes if isinstance(text, str)}
        speaks = None if kinds is None else kinds != ["text"]
        made = self._state is TurnState.THINKING and not self._replies.unwanted
        response = self._replies.open(metadata or None, speaks=speaks)
        if "AnswerNow" in self._lacks:
            self._replies.fail(response, "this engine answers when it chooses, and only speech")
        elif made and self.settings.turns.answers:
            self._of_speech = response
        else:
            self._ask(response, asked.get("instructions"))

    def _ask(self, response: WireResponse, instructions: Any) -> None:
        """Have the engine answer what there is to answer."""
        instructions = instructions.strip() if isinstance(instructions, str) else ""
        text = self._history.unanswered()
        self._of_speech = response if self._user.speaking else None
        if not (text or self._user.unanswered or self._user.speaking):
            text = instructions or GREETING
        elif instructions:
            self._command(SetPersona(instructions))
            self._persona_until = response
        self._command(AnswerNow(text))

    def _cancel(self, response_id: str | None) -> None:
        active = self._replies.active
        if active is None or response_id not in (None, active.response_id):
            message = "Cancellation failed: no active response found"
            raise WireError(message, code="response_cancel_not_active")
        self._stop(active, Interrupt())

    def _stop(self, response: WireResponse, request: Request) -> None:
        self._command(request)
        if self._replies.cancel(response):
            self._history.cancelled()

    def _cut(self, reply: int) -> None:
        newest = self._replies.newest
        if newest is not None and newest.reply == reply:
            self._stop(newest, CutReply(reply, 0))

    def _truncate(self, item_id: str, audio_ms: int) -> None:
        response = self._replies.of_item(item_id)
        if response is None and not self._items.issued(item_id):
            raise WireError("there is no such item", "item_id", "item_truncate_invalid_item_id")
        audio_ms = max(0, audio_ms)
        if response is not None and response.reply:
            played = self._speaker.played
            heard = min(audio_ms * ASSISTANT_RATE // 1000, response.spoken.samples)
            if played.reply_id == response.reply:
                heard = min(heard, played.samples)
            audio_ms = heard * 1000 // ASSISTANT_RATE
            if response.done:
                response.cut(response.spoken.split(heard).text)
            if response is self._replies.newest:
                self._stop(response, CutReply(response.reply, heard))
        elif response is not None and not response.done:
            audio_ms = 0
            self._stop(response, Interrupt())
        place = {"item_id": item_id, "content_index": 0, "audio_end_ms": audio_ms}
        self._send({"type": "conversation.item.truncated", **place})

    # From the engine

    def on_tick(self, tick: Tick) -> None:
        """Tell the client what happened in a frame, and send the sound that is due."""
        with self._lock:
            for event in tick.events:
                self._tell(event)
                if self._link.extended:
                    newest, place = self._replies.newest, self._microphone.appended_ms
                    response_id = newest.response_id if newest else None
                    for besides in told_besides(event, response_id, place):
                        self._send(besides)
            self._replies.send_sound()
            self._look_after(tick.at)

    def _tell(self, event: Event) -> None:
        match event:
            case StateChanged(at, state, reason):
                self._enter(at, state, reason)
            case UserTranscript():
                self._user.words(event)
            case TurnDiscarded(turn=turn, reason=reason):
                self._user.discard(turn)
                waiting = self._replies.waiting
                nothing = reason == NOTHING_TO_ANSWER or waiting is self._of_speech
                if waiting is not None and nothing:
                    self._replies.fail(waiting, reason)
            case ReplyStarted(reply=reply):
                self._begin(reply)
            case Interrupted(reply=reply) if not self._replies.told(reply):
                self._user.belongs_to(reply)
                self._history.stopped(reply)
            case TurnLatency():
                self._link.note(event)
            case _:
                self._replies.tell(event)
        if isinstance(event, Interrupted | ReplyFinished) and self._replies.told(event.reply):
            self._history.settled(event.reply)

    def _enter(self, at: int, state: TurnState, reason: str) -> None:
        before, self._state = self._state, state
        replies = self._replies
        match state:
            case TurnState.USER_SPEAKING:
                if reason == NO_REPLY:
                    self._end_without_reply()
                replies.trouble = ""
                self._user.begin(at)
            case TurnState.THINKING:
                if before is not TurnState.USER_SPEAKING:
                    replies.trouble = ""
                self._user.stop(at)
            case TurnState.INTERRUPTED if replies.spoken is not None:
                if replies.spoken.stopped != CANCELLED:
                    self._user.interrupt(at)
                replies.stop(replies.spoken, TURN_DETECTED)
            case TurnState.LISTENING if before is TurnState.THINKING and reason != UNANSWERED:
                self._end_without_reply()

    def _end_without_reply(self) -> None:
        """End what waits for the reply to a turn that gets none."""
        self._user.give_up()
        if self._replies.was_unwanted():
            self._history.unwanted_over()
        else:
            self._replies.fail_waiting()

    def _begin(self, reply: int) -> None:
        if self._replies.was_unwanted():
            self._history.stopped(reply)
            self._history.unwanted_over()
            self._replies.spoken = None
            self._command(Interrupt())
            return
        self._user.answered(reply)
        self._history.answered(reply)
        self._replies.begin(reply)

    def _look_after(self, at: int) -> None:
        """Restore the persona after a response with its own, end one that never comes, and
        speak to a user who is silent for too long."""
        if self._persona_until is not None and self._persona_until.done:
            self._persona_until = None
            self._command(SetPersona(self.settings.instructions))
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
            self._replies.open()
            self._command(AnswerNow(SILENT_USER))

    def _send(self, event: dict[str, Any]) -> None:
        self._link.send({"event_id": new_id("event"), **event})

    def _command(self, request: Request) -> None:
        self._link.command(request)
        self._microphone.wake()
