"""The events that an engine emits: frozen, typed, on the user's sample clock.

The live screen, the recorder, file mode and the benchmarks see these events and nothing else of an
engine. ``at`` is in 16 kHz samples of the user's audio (see :mod:`audio_io.clock`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class TurnState(StrEnum):
    """Whose turn it is."""

    LISTENING = "listening"
    USER_SPEAKING = "user speaking"
    THINKING = "thinking"
    SPEAKING = "speaking"
    INTERRUPTED = "interrupted"
    MUTED = "muted"


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events. ``at``: when it happened, in user samples."""

    at: int


@dataclass(frozen=True, slots=True)
class StateChanged(Event):
    """The turn state is now ``state``; ``reason`` is a short phrase for the user."""

    state: TurnState
    reason: str


@dataclass(frozen=True, slots=True)
class UserTranscript(Event):
    """What the user said in turn ``turn``; replaces the turn's earlier transcripts.

    ``start`` and ``end`` bound the speech, in user samples. Unless ``final``, it may still change.
    ``language``: a code such as ``en``; empty if it is unknown, typed, or was not recorded.
    """

    turn: int
    text: str
    final: bool
    start: int
    end: int
    language: str = ""


@dataclass(frozen=True, slots=True)
class EndpointJudged(Event):
    """A silence in turn ``turn`` was judged; sent again when the judgement changes.

    ``over``: the turn is over; otherwise the user may go on. ``silence``: seconds since the last
    speech. ``probability``: that the turn is over, -1 if unknown. ``phrase``: how the words end,
    one of :class:`model.turns.endpointing.TurnEnd`.
    """

    turn: int
    over: bool
    silence: float
    probability: float
    phrase: str
    reason: str


@dataclass(frozen=True, slots=True)
class TurnDiscarded(Event):
    """Turn ``turn`` was dropped (too short, nothing recognised, a backchannel)."""

    turn: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReplyStarted(Event):
    """Reply ``reply`` to turn ``turn`` begins; its text and sound follow."""

    reply: int
    turn: int


@dataclass(frozen=True, slots=True)
class AssistantText(Event):
    """More text of reply ``reply``; all deltas joined are the written reply."""

    reply: int
    delta: str


@dataclass(frozen=True, slots=True)
class AssistantAudio(Event):
    """More sound of reply ``reply``: ``samples`` float32 mono 24 kHz, which say ``text``."""

    reply: int
    samples: NDArray[np.float32] = field(repr=False)
    text: str


@dataclass(frozen=True, slots=True)
class ReplyAudioEnded(Event):
    """The sound of reply ``reply`` is complete: ``samples`` (24 kHz) in all."""

    reply: int
    samples: int


@dataclass(frozen=True, slots=True)
class ReplyFinished(Event):
    """Reply ``reply`` was played to its end. ``text`` is all of it."""

    reply: int
    text: str


@dataclass(frozen=True, slots=True)
class SoundBeside(Event):
    """Base of the sounds that are no reply, and not in the history.

    ``samples`` are float32 mono 24 kHz, for the speaker under ``number``, which is negative.
    """

    number: int
    samples: NDArray[np.float32] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Backchannel(SoundBeside):
    """The assistant hums ``text`` in a pause of turn ``turn``."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class TimerRang(SoundBeside):
    """The timer ``name`` rings for the ``ring``-th time, counted from 1."""

    name: str
    ring: int


class ToolOutcome(StrEnum):
    """What came of a tool's call. ``ASKED``: the user is asked first whether to use it."""

    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ASKED = "asked"


@dataclass(frozen=True, slots=True)
class ToolCalled(Event):
    """Reply ``reply`` uses ``tool`` with ``arguments`` (JSON). ``call`` is counted in the
    conversation."""

    reply: int
    call: int
    tool: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolAnswered(Event):
    """Call ``call`` of ``tool`` has ended; ``result`` is what the model is told."""

    reply: int
    call: int
    tool: str
    outcome: ToolOutcome
    result: str


class PlaybackAction(StrEnum):
    """A command to the speaker."""

    DUCK = "duck"
    HOLD = "hold"
    RESUME = "resume"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class PlaybackControl(Event):
    """The speaker must duck, hold, resume at full level, or drop its queue.

    ``reason`` tells the user why.
    """

    reply: int
    action: PlaybackAction
    reason: str


@dataclass(frozen=True, slots=True)
class Interrupted(Event):
    """Reply ``reply`` was cut off after ``heard_samples`` (24 kHz) were played.

    ``heard`` stays in the conversation's history; ``unheard`` is dropped from it.
    """

    reply: int
    heard_samples: int
    heard: str
    unheard: str
    reason: str


@dataclass(frozen=True, slots=True)
class SpeculationDiscarded(Event):
    """A reply that was begun early for turn ``turn`` was discarded for ``reason``."""

    turn: int
    reason: str


@dataclass(frozen=True, slots=True)
class TurnLatency(Event):
    """From the last sample of the user's speech to the first sample out, in seconds.

    ``parts`` is the breakdown in order of time; its values add up to ``total``.
    """

    turn: int
    reply: int
    total: float
    parts: dict[str, float]


@dataclass(frozen=True, slots=True)
class VoiceChanged(Event):
    """Replies that start from now on are spoken by ``voice``."""

    voice: str


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """A message for the user. ``level`` is ``info``, ``warning``, or ``error`` where a turn, its
    reply or the recording has failed."""

    level: str
    text: str
