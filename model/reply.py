"""Reply generators, the half-duplex part of an engine: a turn in, a streamed reply out.

A :class:`ReplyGenerator` knows nothing about time, devices, recognition or interruptions.
:class:`model.turns.controller.TurnTakingEngine` makes an engine of it: the embedded
cascade (:mod:`model.lite.cascade`), Covo-Audio-Chat (:mod:`model.covo.conversation.generator`) or
a speaking model on a server (:mod:`model.endpoints.audio_chat`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from audio_io.signal import Audio
from model.engine import EngineInfo, Progress
from model.events import ToolOutcome


@dataclass(frozen=True, slots=True)
class UserTurn:
    """One turn of the user: its ``audio`` (float32 mono 16 kHz, empty if it was typed) and its
    ``text`` (None where the generator hears the audio itself). ``added``: text to answer along
    with it. ``over``: returns whether the turn is over, so that its reply may have effects."""

    audio: Audio = field(repr=False)
    text: str | None = None
    added: str = ""
    over: Callable[[], bool] = field(default=lambda: True, repr=False, compare=False)


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


@dataclass(frozen=True, slots=True)
class ReplyToolCall:
    """The reply uses ``tool``: as in :class:`~model.events.ToolCalled`."""

    call: int
    tool: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ReplyToolResult:
    """What came of a tool: as in :class:`~model.events.ToolAnswered`."""

    call: int
    tool: str
    outcome: ToolOutcome
    result: str


@dataclass(frozen=True, slots=True)
class ReplyWaits:
    """Nothing yet: the reply waits for the end of the turn, or for a tool."""


ToolPart = ReplyToolCall | ReplyToolResult | ReplyWaits
ReplyPart = ReplyText | ReplyAudio | ReplyNotice | ToolPart


@dataclass(frozen=True, slots=True)
class Heard:
    """How much of a reply was heard: ``samples`` (24 kHz) of its sound, the ``text`` that they
    say, and the ``unheard`` rest of what was written."""

    samples: int
    text: str
    unheard: str


class ReplyGenerator(Protocol):
    """Answer turns, one at a time.

    :meth:`reply` runs on a worker thread. The other methods may be called from the conversation's
    thread at any time, also while a reply is being made.
    """

    @property
    def info(self) -> EngineInfo:
        """What this generator is made of."""

    @property
    def hears(self) -> bool:
        """Whether it takes the audio itself: a reply then begins before the words are known."""

    def warm_up(self, progress: Progress) -> None:
        """Load every part and run it once. Raises: ModelError."""

    def reply(
        self, reply_id: int, turn: UserTurn, cancelled: Callable[[], bool]
    ) -> Iterator[ReplyPart]:
        """Answer ``turn``, streaming; return soon after ``cancelled()`` becomes true.

        Reads the history; only :meth:`settle` changes it. Raises: ModelError.
        """

    def settle(self, reply_id: int, heard: Heard | None) -> None:
        """End a reply and write into the history what was ``heard`` of it.

        None: neither the reply nor its turn happened (a discarded speculation). Ignores a reply
        that was never begun. The last reply may be settled again, with less of it heard. Quick,
        and safe while the reply is still being made.
        """

    def set_voice(self, voice: str) -> None:
        """Use ``voice`` from the next reply on. May load it. Raises: ModelError, VoiceError."""

    def set_persona(self, persona: str) -> None:
        """Be who ``persona`` describes from the next reply on; empty: who it was at first."""

    def remember(self, number: int, user: str, assistant: str) -> None:
        """Add an exchange of text to the history. ``number``: negative, to forget it by."""

    def forget(self, number: int) -> None:
        """Remove exchange ``number`` from the history: that of a reply, or one remembered."""

    def start_over(self) -> None:
        """Forget all replies; history, persona and voice are those of the start. No reply may be
        under way. Raises: ModelError, VoiceError."""

    def close(self) -> None:
        """Free the memory. Safe to call twice."""


@runtime_checkable
class ReadsAhead(Protocol):
    """A generator that can read a turn's first words before the turn is over."""

    def read_ahead(self, words: str) -> None:
        """Read what the next turn may begin with. Not called beside :meth:`ReplyGenerator.reply`.

        Raises: ModelError.
        """


@runtime_checkable
class TextSpeaker(Protocol):
    """A generator whose voice can speak any text."""

    def say(self, text: str) -> Audio:
        """Return ``text`` in the present voice: float32 mono 24 kHz, empty if that cannot be said.

        May be called beside everything else. Raises: ModelError.
        """
