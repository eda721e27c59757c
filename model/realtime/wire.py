"""Client events as they are sent, and what can be read of a server's events.

The fields are those of ``openai.types.realtime``; servers leave out some of them.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from model.characters import whole_text
from model.lite.failures import in_a_line

WireEvent = Mapping[str, Any]

OUTPUT_RATE = 24_000
HOUSEKEEPING = "covo_tidy"
"""Event id of what may be refused without a word to the user: it came too late, or is unknown."""

_BETA = ("response.audio.delta", "response.audio_transcript.delta", "response.text.delta")
_TRANSCRIPTION = ("transcription.delta", "transcription.done", "transcription_session.created")


def session_update(
    *, input_rate: int, voice: str = "", instructions: str = "", transcription: str = ""
) -> dict[str, Any]:
    """Return the update that begins a session; what is empty is left to the server."""
    audio_in: dict[str, Any] = {"format": {"type": "audio/pcm", "rate": input_rate}}
    audio_out: dict[str, Any] = {"format": {"type": "audio/pcm", "rate": OUTPUT_RATE}}
    if transcription:
        audio_in["transcription"] = {"model": transcription}
    if voice:
        audio_out["voice"] = voice
    session: dict[str, Any] = {
        "type": "realtime",
        "audio": {"input": audio_in, "output": audio_out},
    }
    if instructions:
        session["instructions"] = instructions
    return {"type": "session.update", "session": session}


def persona_update(*, voice: str = "", instructions: str | None = None) -> dict[str, Any]:
    """Return the update that changes the voice, who the assistant is, or both."""
    session: dict[str, Any] = {"type": "realtime"}
    if voice:
        session["audio"] = {"output": {"voice": voice}}
    if instructions is not None:
        session["instructions"] = instructions
    return {"type": "session.update", "session": session}


def turn_detection_update(detection: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the update that sets the server's turn detection, None for turns of the client's."""
    audio = {"input": {"turn_detection": detection and dict(detection)}}
    return {"type": "session.update", "session": {"type": "realtime", "audio": audio}}


def append(sound: bytes) -> dict[str, Any]:
    """Return 16-bit samples of the user's."""
    audio = base64.b64encode(sound).decode()
    return {"type": "input_audio_buffer.append", "audio": audio}


def text_item(role: str, text: str) -> dict[str, Any]:
    """Return a message of the ``user`` or the ``assistant``, to be put into the conversation."""
    kind = "input_text" if role == "user" else "output_text"
    content = [{"type": kind, "text": text}]
    item = {"type": "message", "role": role, "content": content}
    return {"type": "conversation.item.create", "item": item}


def truncate(item_id: str, played_ms: int) -> dict[str, Any]:
    """Return that only the first ``played_ms`` of the item's sound were heard."""
    return {
        "type": "conversation.item.truncate",
        "event_id": HOUSEKEEPING,
        "item_id": item_id,
        "content_index": 0,
        "audio_end_ms": played_ms,
    }


def cancel() -> dict[str, Any]:
    """Return that the response is not wanted any more."""
    return {"type": "response.cancel", "event_id": HOUSEKEEPING}


def covo_played(item_id: str, played_ms: int) -> dict[str, Any]:
    """Return how much of an item was played, for covo serve."""
    return {"type": "covo.played", "item_id": item_id, "audio_ms": played_ms}


def playback_ack(response_id: str, item_id: str, played_ms: int) -> dict[str, Any]:
    """Return how much of a response was played, for vLLM-Omni."""
    ids = {"response_id": response_id, "item_id": item_id}
    return {"type": "playback.ack", **ids, "played_ms": played_ms}


def plain(kind: str) -> dict[str, Any]:
    """Return an event without fields."""
    return {"type": kind}


def part_of(event: WireEvent, *path: str) -> WireEvent:
    """Return the object at ``path``, empty where there is none."""
    for key in path:
        found = event.get(key)
        event = found if isinstance(found, Mapping) else {}
    return event


def text_of(event: WireEvent, *path: str) -> str:
    """Return the text at ``path``, in whole characters, empty where there is none."""
    found = part_of(event, *path[:-1]).get(path[-1])
    return whole_text(found) if isinstance(found, str) else ""


def delta_of(event: WireEvent) -> str:
    """Return the piece of a text in a delta, which may begin or end with half a character."""
    delta = event.get("delta")
    return delta if isinstance(delta, str) else ""


def number_of(event: WireEvent, *path: str) -> int | None:
    """Return the whole number at ``path``, None where there is none."""
    found = part_of(event, *path[:-1]).get(path[-1])
    return int(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def error_line(event: WireEvent) -> str:
    """Return what an ``error`` event says, in one line."""
    error = event.get("error")
    found = error if isinstance(error, Mapping) else event
    return in_a_line(text_of(found, "message") or text_of(found, "code") or str(error))


def sound_of(event: WireEvent) -> bytes:
    """Return the sound in a delta. Raises: ValueError."""
    delta = event.get("delta")
    if not isinstance(delta, str):
        raise ValueError("no delta")
    return base64.b64decode(delta, validate=True)


def foreign_dialect(event: WireEvent) -> str:
    """Return which protocol ``event`` is of, if it is another one, else ""."""
    kind = text_of(event, "type")
    if kind in _BETA:
        return "the beta of OpenAI's protocol (as Qwen-Omni-Realtime does), which covo does not"
    if kind in _TRANSCRIPTION or text_of(event, "session", "type") == "transcription":
        return "transcription only (as vLLM's own /v1/realtime does): nobody would answer"
    if kind == "response.output_audio.delta" and "delta" not in event:
        return "a protocol of its own (as vLLM-Omni does without ?duplex=1)"
    return ""
