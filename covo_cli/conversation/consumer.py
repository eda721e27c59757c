"""The interface of screen, recorder and others that follow a conversation frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from audio_io.signal import NOTHING_PLAYED, Audio, Position
from model.events import Event


@dataclass(frozen=True, slots=True)
class Tick:
    """Everything that happened in one frame (20 ms) of a conversation.

    ``at``: the frame's first sample on the user's clock. ``user``: (320,) at 16 kHz, after echo
    cancellation. ``assistant``: (480,) at 24 kHz, what the speaker played meanwhile, up to
    ``played``. ``talking``: push-to-talk is on. ``microphone``, ``speaker``: what is wrong with
    the device, or "".
    """

    at: int
    user: Audio = field(repr=False)
    assistant: Audio = field(repr=False)
    events: tuple[Event, ...]
    muted: bool = False
    talking: bool = False
    microphone: str = ""
    speaker: str = ""
    played: Position = NOTHING_PLAYED


class Consumer(Protocol):
    """Receives every tick, in order, as part of the conversation's step."""

    def on_tick(self, tick: Tick) -> None:
        """Take in one frame; return within a few milliseconds.

        Raises: SessionError to be dropped; OutputClosed to end the conversation.
        """
