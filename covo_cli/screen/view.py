"""Fold the ticks of a conversation into what the live screen shows.

:class:`ConversationView` takes every tick; :attr:`ConversationView.now` is a frozen :class:`View`
that any thread may draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from audio_io.clock import ASSISTANT_RATE, USER_RATE, seconds
from audio_io.levels import FLOOR_DB, Meter
from covo_cli.conversation.consumer import Tick
from covo_cli.sessions.transcript import TranscriptEntry, TranscriptFold
from model.events import (
    EndpointJudged,
    Event,
    Interrupted,
    Notice,
    PlaybackAction,
    PlaybackControl,
    ReplyStarted,
    StateChanged,
    TurnLatency,
    TurnState,
    UserTranscript,
    VoiceChanged,
)

INFO_NOTICE_S = 8.0
"""How long an info notice is shown."""

_RESTS = (TurnState.LISTENING, TurnState.MUTED)


@dataclass(frozen=True, slots=True)
class ConversationInfo:
    """What stays the same during a conversation.

    ``recording``: the session's folder, empty when nothing is recorded. ``voices``: those to choose
    from, with what each sounds like (perhaps empty).
    """

    engine: str
    voice: str
    microphone: str
    speaker: str
    recording: str = ""
    voices: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """Everything the user may see at one moment.

    ``at``: end of the last tick, in user samples. The first ``settled`` of the ``entries`` will not
    change any more. Levels are peaks in dBFS. ``lowered``: why the reply is played quietly or
    stands still, or empty. ``warning`` is the latest one; ``info_notice`` goes after
    :data:`INFO_NOTICE_S`. ``microphone`` and ``speaker``: what is wrong with them now.
    """

    info: ConversationInfo
    voice: str
    at: int = 0
    state: TurnState = TurnState.LISTENING
    reason: str = ""
    entries: tuple[TranscriptEntry, ...] = ()
    settled: int = 0
    input_level: float = FLOOR_DB
    output_level: float = FLOOR_DB
    latency: TurnLatency | None = None
    muted: bool = False
    lowered: str = ""
    warning: Notice | None = None
    info_notice: Notice | None = None
    microphone: str = ""
    speaker: str = ""
    replies: int = 0
    interruptions: int = 0


class ConversationView:
    """A consumer that folds ticks into a :class:`View`."""

    def __init__(self, info: ConversationInfo) -> None:
        self._view = View(info=info, voice=info.voice)
        self._input = Meter(USER_RATE)
        self._output = Meter(ASSISTANT_RATE)
        self._transcript = TranscriptFold()
        self._settled: tuple[TranscriptEntry, ...] = ()

    @property
    def now(self) -> View:
        """The present view. Thread-safe."""
        return self._view

    def on_tick(self, tick: Tick) -> None:
        """Take in one frame."""
        self._view = replace(
            self._view,
            at=tick.at + len(tick.user),
            input_level=self._input.update(tick.user).peak,
            output_level=self._output.update(tick.assistant).peak,
            muted=tick.muted,
            microphone=tick.microphone,
            speaker=tick.speaker,
        )
        for event in tick.events:
            if isinstance(event, UserTranscript) and self._transcript.begins_turn(event):
                self._settled += self._transcript.settle()
            self._transcript.take(event)
            self._fold(event)
        self._transcript.play(tick.played)
        if any(isinstance(e, StateChanged) and e.state in _RESTS for e in tick.events):
            self._settled += self._transcript.settle()
        entries = self._settled + self._transcript.entries
        self._change(entries=entries, settled=len(self._settled))
        notice = self._view.info_notice
        if notice is not None and seconds(self._view.at - notice.at) > INFO_NOTICE_S:
            self._change(info_notice=None)

    def _change(self, **changes: object) -> None:
        self._view = replace(self._view, **changes)  # type: ignore[arg-type]

    def _fold(self, event: Event) -> None:
        match event:
            case StateChanged():
                self._change(state=event.state, reason=event.reason)
                if event.state is not TurnState.SPEAKING:
                    self._change(lowered="")
            case PlaybackControl():
                lowered = event.action in (PlaybackAction.HOLD, PlaybackAction.DUCK)
                self._change(lowered=event.reason if lowered else "")
            case EndpointJudged(over=False):
                self._change(reason=f"waiting for you: {event.reason}")
            case ReplyStarted():
                self._change(replies=self._view.replies + 1)
            case Interrupted():
                self._change(interruptions=self._view.interruptions + 1)
            case TurnLatency():
                self._change(latency=event)
            case VoiceChanged():
                self._change(voice=event.voice)
            case Notice(level="info"):
                self._change(info_notice=event)
            case Notice():
                self._change(warning=event)
