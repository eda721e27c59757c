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
from model.turns.turn_settings import TurnSettings


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
    """Push-to-talk began (``talking``: a turn begins) or ended (the turn is over)."""

    talking: bool


@dataclass(frozen=True, slots=True)
class NewSpeaker:
    """From now on somebody else is the user, for engines that tell voices apart."""


@dataclass(frozen=True, slots=True)
class SayAudio:
    """The user's next turn is ``samples`` (float32 mono 16 kHz), whole.

    ``answer``: whether to answer it; None: as the turn taking says.
    """

    samples: Audio = field(repr=False)
    answer: bool | None = None


@dataclass(frozen=True, slots=True)
class EndTurn:
    """The turn that the user is speaking is over."""


@dataclass(frozen=True, slots=True)
class AnswerNow:
    """Answer the turn being spoken, the turns that wait for an answer, and ``text``, as one.

    ``text`` is not shown as the user's words. A reply under way comes first. With nothing to
    answer, a turn is discarded.
    """

    text: str = ""


@dataclass(frozen=True, slots=True)
class DropTurn:
    """Do not answer turn ``turn``, which waits for an answer; 0: the one being spoken."""

    turn: int = 0


@dataclass(frozen=True, slots=True)
class SetPersona:
    """Be who ``persona`` describes from the next reply on; empty: who the engine was at first."""

    persona: str


@dataclass(frozen=True, slots=True)
class SetTurnTaking:
    """Take turns by ``settings`` from now on; None: by the engine's own."""

    settings: TurnSettings | None


@dataclass(frozen=True, slots=True)
class Remember:
    """Add an exchange of text to the end of the history.

    ``number`` names it for :class:`Forget`: negative, because positive numbers are replies.
    """

    number: int
    user: str
    assistant: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove the exchange ``number`` from the history: a reply and its turn, or one added."""

    number: int


@dataclass(frozen=True, slots=True)
class CutReply:
    """At most ``samples`` (24 kHz) of reply ``reply`` were heard.

    Stops it if it is being spoken. Of the last reply to end, only the history is cut.
    """

    reply: int
    samples: int


Command = (
    Interrupt
    | SayText
    | SetVoice
    | SetMuted
    | PushToTalk
    | NewSpeaker
    | SayAudio
    | EndTurn
    | AnswerNow
    | DropTurn
    | SetPersona
    | SetTurnTaking
    | Remember
    | Forget
    | CutReply
)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Describes an engine for the screen and the session's record.

    ``description``: its components. ``parts``: each part's model. ``speaks``: False for text only.
    ``languages``: the only ones that its voice speaks (codes), ``writes``: the only ones that its
    chat model writes; empty where no limit is known.
    ``lacks``: the names of the commands that it cannot obey.
    """

    name: str
    description: str
    voice: str
    device: str
    parts: dict[str, str]
    speaks: bool = True
    languages: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


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

    def start_over(self) -> None:
        """Forget the conversation and be as after loading, ready for another one.

        History, persona, voice, turn taking and time are those of the start; nothing is loaded
        again. Call it between two conversations only.
        """

    def close(self) -> None:
        """Stop all work and free the memory. Safe to call twice."""
