"""The :class:`Engine` interface, implemented by everything that can hold a conversation.

An engine's time is counted in samples, never by the wall clock. The conversation gives it the
user's audio frame by frame, with the speaker's position, and gets back :mod:`model.events`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from audio_io.signal import NOTHING_PLAYED, Audio, Position
from model.events import Event


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of the user's audio: ``samples`` (320,) at 16 kHz, beginning at ``start``."""

    start: int
    samples: Audio = field(repr=False)
    playback: Position = NOTHING_PLAYED

    @property
    def end(self) -> int:
        """The time just after the frame's last sample, in user samples."""
        return self.start + len(self.samples)


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop talking and listen."""


@dataclass(frozen=True, slots=True)
class SayText:
    """The user typed ``text`` instead of speaking."""

    text: str


@dataclass(frozen=True, slots=True)
class SetVoice:
    """Speak with the voice called ``voice`` from the next reply on."""

    voice: str


@dataclass(frozen=True, slots=True)
class SetMuted:
    """The user muted (or unmuted) the microphone; the frames are silence meanwhile."""

    muted: bool


@dataclass(frozen=True, slots=True)
class PushToTalk:
    """The push-to-talk key went down (``held``: a turn begins) or up (the turn is over)."""

    held: bool


@dataclass(frozen=True, slots=True)
class NewSpeaker:
    """Somebody else is the user from now on, where voices are told apart."""


Command = Interrupt | SayText | SetVoice | SetMuted | PushToTalk | NewSpeaker


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Describes an engine for the screen and the session's record.

    ``description``: its components. ``parts``: each part's model. ``speaks``: False for text only.
    ``languages``: the only ones that its voice speaks (codes), empty where no limit is known.
    """

    name: str
    description: str
    voice: str
    device: str
    parts: dict[str, str]
    speaks: bool = True
    languages: tuple[str, ...] = ()


Progress = Callable[[str], None]
"""Called with a short phrase when a new stage of loading begins."""


class Engine(Protocol):
    """Something that can hold a spoken conversation."""

    @property
    def info(self) -> EngineInfo:
        """What this engine is made of."""

    def warm_up(self, progress: Progress) -> None:
        """Load all parts and run them once, so that the first turn is not slow. Raises:
        ModelError."""

    def process(self, frame: Frame) -> Sequence[Event]:
        """Take in one frame; return what happened, in order of time, within milliseconds."""

    def command(self, command: Command) -> None:
        """Queue ``command`` for the next frame."""

    @property
    def busy(self) -> bool:
        """Whether a turn is unanswered, or a reply not fully played."""

    def close(self) -> None:
        """Stop all work and free the memory. Safe to call twice."""
