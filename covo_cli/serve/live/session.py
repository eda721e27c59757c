"""A session of GPT-Live, OpenAI's protocol for networks that listen and speak at once.

Sound goes both ways without pause, silence included. There are no turns and no responses on the
wire: whatever the engine decides is heard. The time line is the engine's, from the start of the
session; a client that stops sending is given silence. Any engine can be talked to like this.
"""

from __future__ import annotations

import base64
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from audio_io.clock import ASSISTANT_RATE, FRAME, USER_RATE, seconds
from audio_io.signal import Audio
from covo_cli.conversation.consumer import Tick
from covo_cli.conversation.request import Quit
from covo_cli.serve.live.start import LiveResource
from covo_cli.serve.live.transcripts import InputTranscript, OutputTranscript
from covo_cli.serve.protocol import SessionLink
from covo_cli.serve.realtime.microphone import UNHEARD_S
from covo_cli.serve.realtime.sound import SoundDecoder, SoundEncoder
from covo_cli.serve.realtime.wire import ClientEvent, Fields, WireError, new_id, read_event
from model.engine import AnswerNow, Forget, Remember, SetMuted, SetPersona, SetVoice
from model.events import Event, Notice, TurnLatency, UserTranscript

TELL = "Tell the user, in your own words: {}"
"""Answered where the client has something to be said."""

MOST_APPENDED = 16 * 1024
"""Characters of a text that is added."""

_MOST_THOUGHTS = 128
"""Texts to know that are kept; the oldest is then forgotten."""

_MOST_INSTRUCTIONS = 256 * 1024
MOST_LATE_S = 1.0
"""A client that runs dry because the server stood still plays all later sound later. Beyond this,
silence is left out until it has caught up."""

_ENDS_EARLY_S = 1.0
"""A session that expires is closed so long before its socket is."""

_APPENDED: dict[str, tuple[type, bool]] = {"content": (str, True), "delegation_id": (str, False)}
FIELDS: Fields = {
    "session.start": {"session": (dict, True)},
    "session.update": {"session": (dict, True)},
    "session.input_audio.append": {"audio": (str, True)},
    "session.input_audio.mute": {},
    "session.input_audio.unmute": {},
    "session.instructions.append": _APPENDED,
    "session.thinking.append": _APPENDED,
    "session.commentary.append": _APPENDED,
    "session.close": {},
}
"""Events that a client may send; see :func:`read_event`."""


class LiveSession:
    """One client's session with an engine; a consumer of the conversation.

    It is called from two threads, and one lock makes each event whole. ``clock`` returns seconds.
    """

    def __init__(self, link: SessionLink, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._link = link
        self._served = link.served
        self._command = link.command
        self._clock = clock
        self._played_at = clock()  # when the client will have played all that was sent
        self._resource: LiveResource | None = None  # once it has started
        self._closed = False
        self._at = self._origin = 0
        self._instructions = ""
        self._numbers = 0
        self._thoughts: deque[int] = deque()
        self._said = InputTranscript(self._fragment("input"))
        self._replied = OutputTranscript(self._fragment("output"))

    def open(self) -> None:
        """Do nothing: the client begins."""

    # From the client

    def take(self, text: str) -> None:
        """Carry out a message of the client's; an error is told and changes nothing."""
        with self._lock:
            if self._closed:
                return
            event_id = None
            try:
                event = read_event(text, FIELDS)
                event_id = event.event_id
                self._obey(event)
            except WireError as error:
                self._send(_told(error, event_id))

    def _obey(self, event: ClientEvent) -> None:
        fields, mine = event.fields, event.event_id
        if event.kind == "session.start":
            self._start(fields["session"], mine)
            return
        if self._resource is None:
            raise WireError("the session has not started", code="session_not_started")
        match event.kind:
            case "session.input_audio.append":
                self._hear(fields["audio"])
            case "session.input_audio.mute":
                self._command(SetMuted(True))
                self._send({"type": "session.input_audio.muted"}, mine)
            case "session.input_audio.unmute":
                self._command(SetMuted(False))
                self._send({"type": "session.input_audio.unmuted"}, mine)
            case "session.update":
                self._resource.update(fields["session"])
                self._send({"type": "session.updated", "session": self._resource.value}, mine)
            case "session.close":
                self._close("close_requested", mine)
            case _:
                self._append(event.kind, fields)
                place = {"start_ms": self._ms(self._at), "end_ms": self._ms(self._at)}
                self._send({"type": f"{event.kind}ed", **place}, mine)

    def _start(self, asked: dict[str, Any], event_id: str | None) -> None:
        if self._resource is not None:
            raise WireError("the session has started", code="session_already_started")
        made = LiveResource(asked, self._served, self._link.session_id, self._link.expires_at)
        self._resource = made
        self._decoder, self._encoder = SoundDecoder(made.format), SoundEncoder(made.format)
        self._origin = self._at
        self._instructions = made.instructions
        if self._instructions.strip():
            self._command(SetPersona(self._instructions))
        if made.voice not in ("", self._served.voice):
            self._command(SetVoice(made.voice))
        for user, assistant in made.history:
            self._remember(user, assistant)
        self._send({"type": "session.started", "session": made.value}, event_id)

    def _hear(self, data: str) -> None:
        most = self._decoder.size(UNHEARD_S)  # decode no more than can be kept
        if not self._link.microphone.push(self._decoder.decode(data[:most])) or len(data) > most:
            raise WireError("60 s of sound wait to be heard", "audio", "buffer_full")

    def _append(self, kind: str, fields: dict[str, Any]) -> None:
        """Take in a text. Raises: WireError."""
        content = fields["content"]
        if len(content) > MOST_APPENDED:
            raise WireError("content may have 16 KiB", "content")
        if fields.get("delegation_id") is not None:
            raise WireError("nothing was delegated", "delegation_id")
        match kind:
            case "session.instructions.append":
                whole = "\n".join(filter(None, (self._instructions, content)))
                if len(whole) > _MOST_INSTRUCTIONS:
                    raise WireError("all instructions may have 256 KiB", "content")
                self._instructions = whole
                self._command(SetPersona(whole))
            case "session.thinking.append":
                self._thoughts.append(self._remember(content, ""))
                if len(self._thoughts) > _MOST_THOUGHTS:
                    self._command(Forget(self._thoughts.popleft()))
            case _ if "AnswerNow" in self._served.lacks:
                raise WireError("this engine speaks when it chooses", code="unsupported")
            case _:
                self._command(AnswerNow(TELL.format(content)))

    def _remember(self, user: str, assistant: str) -> int:
        """Add to the engine's history; return the number."""
        self._numbers -= 1
        self._command(Remember(self._numbers, user, assistant))
        return self._numbers

    def _close(self, reason: str, event_id: str | None = None) -> None:
        assert self._resource is not None
        usage = {"seconds": float(round(seconds(self._at - self._origin)))}
        told = {"reason": reason, "usage": usage, "session": self._resource.value}
        self._send({"type": "session.closed", **told}, event_id)
        self._closed = True
        self._command(Quit())

    # From the engine

    def on_tick(self, tick: Tick) -> None:
        """Send the frame's sound, and what was said and heard."""
        with self._lock:
            self._at = tick.at + FRAME
            if self._resource is None or self._closed:
                self._origin = self._at
                return
            if not self._is_spare(tick.assistant):
                self._send_sound(tick.assistant)
            self._replied.play(tick.played, tick.at)
            for event in tick.events:
                self._tell(event)
            if time.time() >= self._link.expires_at - _ENDS_EARLY_S:
                self._close("expired")

    def _is_spare(self, sound: Audio) -> bool:
        """Return whether ``sound`` is silence that is left out, because the client still has too
        much to play of what came late."""
        now = self._clock()
        self._played_at = max(self._played_at, now)
        return self._played_at - now > MOST_LATE_S and not sound.any()

    def _send_sound(self, sound: Audio) -> None:
        self._played_at += seconds(len(sound), ASSISTANT_RATE)
        if data := self._encoder.encode(sound, last=False):
            delta = base64.b64encode(data).decode()
            # The one event without an id.
            self._link.send({"type": "session.output_audio.delta", "delta": delta})

    def _tell(self, event: Event) -> None:
        match event:
            case UserTranscript():
                self._said.take(event)
            case TurnLatency():
                self._link.note(event)
            case Notice(level="error", text=text):
                failed = {"type": "server_error", "code": "reply_failed", "message": text}
                self._send({"type": "error", "error": failed})
            case _:
                self._replied.take(event)

    def _fragment(self, side: str) -> Callable[[str, int, int], None]:
        def tell(delta: str, start: int, end: int) -> None:
            place = {"start_ms": self._ms(start), "end_ms": self._ms(end)}
            self._send({"type": f"session.{side}_transcript.delta", "delta": delta, **place})

        return tell

    def _ms(self, at: int) -> int:
        """Return where ``at`` (user samples) lies on the session's time line."""
        return max(0, min(at, self._at) - self._origin) * 1000 // USER_RATE

    def _send(self, event: dict[str, Any], client_event_id: str | None = None) -> None:
        given = {} if client_event_id is None else {"client_event_id": client_event_id}
        self._link.send({"event_id": new_id("event"), **event, **given})


def _told(error: WireError, event_id: str | None) -> dict[str, Any]:
    """Return the event that tells of ``error``, in the words of this protocol."""
    told = error.told(event_id)["error"]
    mine = told.pop("event_id")
    given = {} if mine is None else {"client_event_id": mine}
    return {"type": "error", "error": told | given, **given}
