"""What listens to a conversation: the screen, the recorder, file output, the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from audio_io.signal import Audio
from model.events import Event


@dataclass(frozen=True, slots=True)
class Tick:
    """Everything that happened in one frame (20 ms) of a conversation.

    ``at``: the frame's first sample on the user's clock. ``user``: (320,) float32 at 16 kHz, after
    echo cancellation; ``assistant``: (480,) float32 at 24 kHz, what was heard meanwhile.
    ``talking``: push-to-talk is on. ``microphone`` and ``speaker`` are warnings about the
    endpoints, empty when all is well.
    """

    at: int
    user: Audio = field(repr=False)
    assistant: Audio = field(repr=False)
    events: tuple[Event, ...]
    muted: bool = False
    talking: bool = False
    microphone: str = ""
    speaker: str = ""


class Consumer(Protocol):
    """Told of every tick, in order, on the conversation's thread: must be quick."""

    def on_tick(self, tick: Tick) -> None:
        """Take note of one frame."""

    def close(self) -> None:
        """The conversation is over. Safe to call twice."""
