"""covo's own events, for clients that ask for them (``?covo=1``).

What the terminal shows beyond the Realtime API: whose turn it is, the speaker is ducked, held,
resumed or stopped and why, how a silence was judged, how long an answer took, and messages for the
user. Nobody else gets them, because other clients take an unknown event for an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from model.events import (
    EndpointJudged,
    Event,
    Notice,
    PlaybackControl,
    StateChanged,
    TurnLatency,
)


def told_besides(
    event: Event, response_id: str | None, place: Callable[[int], int]
) -> Iterator[dict[str, Any]]:
    """Yield what covo's own clients are told of ``event``.

    ``response_id``: of the newest reply. ``place`` turns the engine's time into ms of the client's
    sound.
    """
    match event:
        case StateChanged(state=state, reason=reason):
            yield {"type": "covo.state", "state": state.value, "reason": reason}
        case PlaybackControl(action=action, reason=reason):
            told = {"action": action.value, "reason": reason, "response_id": response_id}
            yield {"type": "covo.playback", **told}
        case EndpointJudged(over=over, silence=silence, reason=reason):
            yield {"type": "covo.endpoint", "over": over, "silence": silence, "reason": reason}
        case TurnLatency(at=at, total=total, parts=parts):
            took = {"total": total, "parts": parts, "audio_ms": place(at)}
            took["response_id"] = response_id
            yield {"type": "covo.latency", **took}
        case Notice(level=level, text=text):
            yield {"type": "covo.notice", "level": level, "text": text}
