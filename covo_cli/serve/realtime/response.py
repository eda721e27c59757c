"""One response on the wire: its events in their order, from ``response.created`` to ``.done``."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from covo_cli.serve.realtime.items import ConversationItems, message
from covo_cli.serve.realtime.sound import SoundEncoder
from covo_cli.serve.realtime.wire import new_id
from model.playback.spoken_text import SpokenText

Send = Callable[[dict[str, Any]], None]

NO_USAGE = {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "input_token_details": {"text_tokens": 0, "audio_tokens": 0, "cached_tokens": 0},
    "output_token_details": {"text_tokens": 0, "audio_tokens": 0},
}
"""Tokens are not counted here, but clients read them."""


class WireResponse:
    """A response that has begun: its first events are sent with its making.

    ``encoder`` None: text only. ``reply``: the engine's number, 0 while it is unknown.
    """

    def __init__(
        self,
        send: Send,
        items: ConversationItems,
        encoder: SoundEncoder | None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._send = send
        self._items = items
        self._encoder = encoder
        self._metadata = metadata
        self._told = ""
        self.response_id = new_id("resp")
        self.item_id = new_id("item")
        self.reply = 0
        self.spoken = SpokenText(speaks=encoder is not None)
        self.done = False
        """Whether ``response.done`` was sent."""
        self.stopped = ""
        """Why its sound ends: ``turn_detected`` or ``client_cancelled``; empty while it may go
        on."""
        send({"type": "response.created", "response": self._response("in_progress")})
        item = message(self.item_id, "assistant", [], "in_progress")
        before = items.add(message(self.item_id, "assistant", [], "in_progress"))
        place = {"response_id": self.response_id, "output_index": 0}
        send({"type": "response.output_item.added", **place, "item": item})
        send({"type": "conversation.item.added", "previous_item_id": before, "item": item})
        send({"type": "response.content_part.added", **self._place, "part": self._part("")})

    @property
    def speaks(self) -> bool:
        """Whether it is sent as sound."""
        return self._encoder is not None

    def text(self, delta: str) -> None:
        """Send more of its words."""
        self.spoken.write(delta)
        if self.done or self.stopped or not delta:
            return
        self._told += delta
        kind = "output_audio_transcript" if self.speaks else "output_text"
        self._send({"type": f"response.{kind}.delta", **self._place, "delta": delta})

    def sound(self, samples: Any, *, last: bool) -> None:
        """Send more of its sound (24 kHz)."""
        if self.done or self.stopped or self._encoder is None:
            return
        self._items.send(self.item_id, len(samples))
        data = self._encoder.encode(samples, last=last)
        if data:
            delta = base64.b64encode(data).decode()
            self._send({"type": "response.output_audio.delta", **self._place, "delta": delta})

    def complete(self) -> None:
        """End it: all was sent."""
        self._end("completed", None)

    def cancel(self, heard: str) -> None:
        """End it where it was stopped; ``heard`` is what is kept of its words."""
        reason = self.stopped or "turn_detected"
        self._end("cancelled", {"type": "cancelled", "reason": reason}, heard)

    def fail(self, message: str, heard: str = "") -> None:
        """End it because the engine failed."""
        error = {"type": "server_error", "code": "reply_failed", "message": message}
        self._end("failed", {"type": "failed", "error": error}, heard)

    def cut(self, heard: str) -> None:
        """Keep no more than ``heard`` of its words in the conversation."""
        entry = self._items[self.item_id]
        if self.done and entry is not None and len(heard) < len(entry.text):
            entry.value["content"] = [self._content(heard)]

    def _end(self, status: str, details: dict[str, Any] | None, heard: str | None = None) -> None:
        if self.done:
            return
        self.done = True
        kept = self._told if heard is None else heard
        if self.speaks:
            self._send({"type": "response.output_audio.done", **self._place})
            done = {"type": "response.output_audio_transcript.done", "transcript": self._told}
        else:
            done = {"type": "response.output_text.done", "text": self._told}
        self._send({**done, **self._place})
        part = self._part(self._told)
        self._send({"type": "response.content_part.done", **self._place, "part": part})
        whole = "completed" if status == "completed" else "incomplete"
        item = message(self.item_id, "assistant", [self._content(kept)], whole)
        entry = self._items[self.item_id]
        if entry is not None:
            entry.value = item
        place = {"response_id": self.response_id, "output_index": 0}
        self._send({"type": "response.output_item.done", **place, "item": item})
        if entry is not None:
            before = self._items.before(self.item_id)
            self._send({"type": "conversation.item.done", "previous_item_id": before, "item": item})
        response = self._response(status) | {"output": [item]}
        if details is not None:
            response["status_details"] = details
        self._send({"type": "response.done", "response": response})

    def _response(self, status: str) -> dict[str, Any]:
        response: dict[str, Any] = {
            "id": self.response_id,
            "object": "realtime.response",
            "status": status,
            "output": [],
            "output_modalities": ["audio" if self.speaks else "text"],
            "usage": NO_USAGE,
        }
        return response | ({"metadata": self._metadata} if self._metadata is not None else {})

    @property
    def _place(self) -> dict[str, Any]:
        return {
            "response_id": self.response_id,
            "item_id": self.item_id,
            "output_index": 0,
            "content_index": 0,
        }

    def _part(self, text: str) -> dict[str, Any]:
        if self.speaks:
            return {"type": "audio", "transcript": text}
        return {"type": "text", "text": text}

    def _content(self, text: str) -> dict[str, Any]:
        if self.speaks:
            return {"type": "output_audio", "transcript": text}
        return {"type": "output_text", "text": text}
