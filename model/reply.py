"""The half-duplex half of an engine: one turn of the user in, one streamed reply out.

A :class:`ReplyGenerator` knows nothing of time, devices or interruptions. Wrapped in
:class:`model.turns.controller.TurnTakingEngine` it becomes an engine. The embedded cascade is one;
Covo-Audio-Chat (:mod:`model.covo.conversation.generator`) is another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from audio_io.signal import Audio
from model.engine import EngineInfo, Progress


@dataclass(frozen=True, slots=True)
class UserTurn:
    """One turn of the user: ``audio`` float32 mono 16 kHz, or ``text`` when it was typed."""

    audio: Audio = field(repr=False)
    text: str | None = None


@dataclass(frozen=True, slots=True)
class TurnText:
    """What the user was understood to say; comes once at most, at any time: a network that hears
    the turn itself may be answering before the words are known.

    An empty ``text`` means that no speech was recognised; no reply follows then.
    """

    text: str


@dataclass(frozen=True, slots=True)
class ReplyText:
    """More text of the reply, as it is written."""

    delta: str


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """More sound of the reply: float32 mono 24 kHz. ``text`` is what it says."""

    samples: Audio = field(repr=False)
    text: str


@dataclass(frozen=True, slots=True)
class ReplyNotice:
    """Something that the user should know about the reply. ``level``: as in a Notice event."""

    level: str
    text: str


ReplyPart = TurnText | ReplyText | ReplyAudio | ReplyNotice


@dataclass(frozen=True, slots=True)
class Heard:
    """A reply's text, divided at the point up to which it was heard."""

    heard: str
    unheard: str


class ReplyGenerator(Protocol):
    """Answers turns. One reply at a time; :meth:`reply` runs on a worker thread, the rest may be
    called from the conversation's thread at any moment, also while a reply is being made."""

    @property
    def info(self) -> EngineInfo:
        """What this generator is made of."""

    def warm_up(self, progress: Progress) -> None:
        """Load every part and run it once. Raises: ModelError."""

    def reply(
        self, reply: int, turn: UserTurn, cancelled: Callable[[], bool]
    ) -> Iterator[ReplyPart]:
        """Answer ``turn``, streaming; returns soon after ``cancelled()`` becomes true.

        The history is read but not changed: that is :meth:`settle`'s. Raises: ModelError.
        """

    def settle(self, reply: int, heard_samples: int | None) -> Heard:
        """End reply ``reply`` and write into the history what really happened.

        ``heard_samples``: how much of it was played, 24 kHz; it is cut there. None: the reply and
        its turn never happened (a speculation that was thrown away). Quick, and safe while the
        reply is still being made: what is made later is ignored.
        """

    def set_voice(self, voice: str) -> None:
        """Use ``voice`` from the next reply on. May load it. Raises: ModelError, VoiceError."""

    def close(self) -> None:
        """Give back memory. Safe to call twice."""


class Recognizer(Protocol):
    """Speech to text."""

    def transcribe(self, audio: Audio) -> str:
        """The text of ``audio`` (float32 mono 16 kHz); empty when there is no speech in it.

        Thread-safe. Raises: RecognizerError.
        """


class LoadableRecognizer(Recognizer, Protocol):
    """A recogniser with weights to load."""

    def load(self) -> None:
        """Make it ready. Raises: RecognizerError."""

    def close(self) -> None:
        """Give back memory. Safe to call twice."""
