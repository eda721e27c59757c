"""The assistant's side on the wire: the engine's replies as responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from covo_cli.serve.realtime.items import ConversationItems
from covo_cli.serve.realtime.response import Send, WireResponse
from covo_cli.serve.realtime.session_object import SessionObject
from covo_cli.serve.realtime.sound import SoundEncoder
from covo_cli.serve.realtime.speaker import SocketSpeaker
from model.events import (
    AssistantAudio,
    AssistantText,
    Event,
    Interrupted,
    Notice,
    ReplyAudioEnded,
    ReplyFinished,
)

CANCELLED = "client_cancelled"
TURN_DETECTED = "turn_detected"


class ReplySide:
    """The responses of a session: the newest, and the one before it.

    ``trouble``: the last error that the engine told of since the turn was over.
    """

    def __init__(
        self,
        send: Send,
        items: ConversationItems,
        speaker: SocketSpeaker,
        settings: Callable[[], SessionObject],
    ) -> None:
        self._send = send
        self._items = items
        self._speaker = speaker
        self._settings = settings
        self._responses: list[WireResponse] = []
        self.trouble = ""
        self.spoken: WireResponse | None = None
        """The response of the reply that began last; None if nobody wants it."""

    @property
    def newest(self) -> WireResponse | None:
        """The newest response."""
        return self._responses[-1] if self._responses else None

    @property
    def active(self) -> WireResponse | None:
        """The response that is not done."""
        return next((r for r in self._responses if not r.done), None)

    @property
    def waiting(self) -> WireResponse | None:
        """The active response, while its reply has not begun."""
        active = self.active
        return active if active is not None and not active.reply else None

    def of_item(self, item_id: str) -> WireResponse | None:
        """Return the response that an item is of, if it is one of the last two."""
        return next((r for r in self._responses if r.item_id == item_id), None)

    def open(
        self, metadata: dict[str, Any] | None = None, *, speaks: bool | None = None
    ) -> WireResponse:
        """Begin a response. ``speaks`` None: as the session says."""
        settings = self._settings()
        speaks = settings.speaks if speaks is None else speaks
        encoder = SoundEncoder(settings.said_format) if speaks else None
        response = WireResponse(self._send, self._items, encoder, metadata)
        self._responses = [*self._responses[-1:], response]
        return response

    def begin(self, reply: int) -> None:
        """Note that ``reply`` has begun, which the waiting response asked for, or nobody."""
        active = self.active
        if active is not None and active.reply:
            active.complete()
        response = self.waiting or self.open()
        response.reply = reply
        self.spoken = response
        entry = self._items[response.item_id]
        if entry is not None:
            entry.exchange = reply
        self._speaker.speaks = response.speaks

    def tell(self, event: Event) -> None:
        """Tell what happened to a reply."""
        match event:
            case AssistantText(reply=reply, delta=delta):
                if (response := self._of(reply)) is not None:
                    response.text(delta)
            case AssistantAudio(reply=reply, samples=sound, text=text):
                if (response := self._of(reply)) is not None:
                    response.spoken.say(len(sound), text)
            case ReplyAudioEnded(reply=reply) | ReplyFinished(reply=reply):
                if (response := self._of(reply)) is not None:
                    response.spoken.complete = True
                self._speaker.complete(reply)
            case Interrupted(reply=reply, heard=heard):
                self._interrupted(self._of(reply), heard)
            case Notice(level="error", text=text):
                self.trouble = text

    def send_sound(self) -> None:
        """Send what is due of the newest reply, and end its response after the last piece."""
        for piece in self._speaker.pieces():
            response = self._of(piece.reply)
            if response is None or response.stopped:
                continue
            response.sound(piece.samples, last=piece.last)
            if piece.last and self.trouble:
                self.fail(response)
            elif piece.last:
                response.complete()

    def finish(self) -> None:
        """Count all that was sent so far as heard."""
        self._speaker.finish()

    def heard(self, response: WireResponse, most: int | None = None) -> int:
        """Return how much of ``response`` is taken to be heard, ``most`` samples (24 kHz) at
        most."""
        played = self._speaker.played
        if response.reply and played.reply_id == response.reply:
            most = played.samples if most is None else min(most, played.samples)
        return self._items.hear(response.item_id, most)

    def stop(self, response: WireResponse, reason: str, most: int | None = None) -> None:
        """Send no more of ``response``, of which ``most`` samples (24 kHz) were heard at most; end
        it if it is not done."""
        response.stopped = response.stopped or reason
        self._speaker.stop()
        response.cancel(response.spoken.split(self.heard(response, most)).text)

    def fail_waiting(self) -> None:
        """End the response that waits, or tell of a reply that nobody asked for and that failed."""
        failed = self.waiting or (self.open() if self.trouble else None)
        if failed is not None:
            self.fail(failed)

    def fail(self, response: WireResponse, reason: str = "no reply came") -> None:
        """End ``response``, which the engine could not complete."""
        response.fail(self.trouble or reason, response.spoken.written)

    def _interrupted(self, response: WireResponse | None, heard: str) -> None:
        if response is None:
            return
        if response.done:
            response.cut(heard)
        elif self.trouble:
            response.fail(self.trouble, heard)
        else:
            response.cancel(heard)

    def _of(self, reply: int) -> WireResponse | None:
        return next((r for r in self._responses if r.reply == reply), None)
