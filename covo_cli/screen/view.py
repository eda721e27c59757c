"""What there is to see of a conversation, folded from its ticks: no drawing, no wall clock.

:class:`ConversationView` is fed every tick; :attr:`ConversationView.now` is a frozen
:class:`View` that any thread may take and draw at its leisure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from audio_io.clock import ASSISTANT_RATE, USER_RATE, seconds
from audio_io.levels import FLOOR_DB, Meter
from covo_cli.conversation.consumer import Tick
from covo_cli.screen.heard import HeardText
from model.events import (
    AssistantAudio,
    AssistantText,
    EndpointJudged,
    Event,
    Interrupted,
    Notice,
    PlaybackAction,
    PlaybackControl,
    ReplyFinished,
    ReplyStarted,
    StateChanged,
    TurnDiscarded,
    TurnLatency,
    TurnState,
    UserTranscript,
    VoiceChanged,
)

INFO_FOR = 8.0
"""How long a mere piece of information is shown, in seconds of the conversation."""


@dataclass(frozen=True, slots=True)
class ConversationInfo:
    """What stays the same during a conversation.

    ``recording``: the session's folder, or empty when nothing is recorded.
    """

    engine: str
    voice: str
    microphone: str
    speaker: str
    recording: str = ""


class Who(StrEnum):
    """Whose words an entry holds."""

    USER = "you"
    ASSISTANT = "covo"


@dataclass(frozen=True, slots=True)
class Entry:
    """One utterance. ``number`` is the user's turn or the assistant's reply; ``at`` when it began.

    ``heard`` is what was said aloud, ``unheard`` what is written but not spoken (yet, or never:
    then ``cut_off`` is the reason). Not ``final``: it may still change.
    """

    who: Who
    number: int
    at: int
    heard: str = ""
    unheard: str = ""
    final: bool = False
    cut_off: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """Everything the user may see at one moment.

    ``at``: the end of the last tick, in user samples. ``entries`` in order of appearance; the
    first ``settled`` of them will not change any more. Levels are peaks in dBFS. ``lowered`` says
    why the reply is being played quietly or stands still, or is empty. ``warning`` is the last one,
    ``info_notice`` is None a while after it came; ``microphone`` and ``speaker`` say what is wrong
    with them now. ``replies`` and ``interruptions``: how many there were.
    """

    info: ConversationInfo
    voice: str
    at: int = 0
    state: TurnState = TurnState.LISTENING
    reason: str = ""
    entries: tuple[Entry, ...] = ()
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
    """Folds ticks into a :class:`View`. A consumer; ``on_tick`` takes some tens of microseconds."""

    def __init__(self, info: ConversationInfo) -> None:
        self._view = View(info=info, voice=info.voice)
        self._input = Meter(USER_RATE)
        self._output = Meter(ASSISTANT_RATE)
        self._heard = HeardText(-1)
        self._held = False

    @property
    def now(self) -> View:
        """The view as it is; safe to take from any thread."""
        return self._view

    def on_tick(self, tick: Tick) -> None:
        """Take note of one frame."""
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
            self._fold(event)
        if not self._held and self._heard.play(tick.assistant):
            self._update_reply(self._heard.reply)
        notice = self._view.info_notice
        if notice is not None and seconds(self._view.at - notice.at) > INFO_FOR:
            self._change(info_notice=None)

    def close(self) -> None:
        """Nothing to give back."""

    def _change(self, **changes: object) -> None:
        self._view = replace(self._view, **changes)  # type: ignore[arg-type]

    def _fold(self, event: Event) -> None:
        match event:
            case StateChanged():
                self._enter(event)
            case PlaybackControl():
                self._held = event.action is PlaybackAction.HOLD
                lowered = self._held or event.action is PlaybackAction.DUCK
                self._change(lowered=event.reason if lowered else "")
            case EndpointJudged(over=False):
                self._change(reason=f"waiting for you: {event.reason}")
            case TurnLatency():
                self._change(latency=event)
            case VoiceChanged():
                self._change(voice=event.voice)
            case Notice(level="info"):
                self._change(info_notice=event)
            case Notice():
                self._change(warning=event)
            case _:
                self._fold_words(event)

    def _fold_words(self, event: Event) -> None:
        match event:
            case UserTranscript():
                self._transcribe(event)
            case TurnDiscarded():
                self._drop(Who.USER, event.turn)
            case ReplyStarted():
                self._held = False
                self._heard = HeardText(event.reply)
                self._put(Entry(Who.ASSISTANT, event.reply, event.at))
                self._change(replies=self._view.replies + 1)
            case AssistantText():
                self._heard.write(event.reply, event.delta)
                self._update_reply(event.reply)
            case AssistantAudio():
                self._heard.send(event.reply, len(event.samples), event.text)
            case ReplyFinished():
                self._finish(event)
            case Interrupted():
                self._interrupt(event)

    def _enter(self, event: StateChanged) -> None:
        self._change(state=event.state, reason=event.reason)
        if event.state is not TurnState.SPEAKING:
            self._change(lowered="")
        if event.state in (TurnState.LISTENING, TurnState.MUTED):
            self._settle_all()

    # Entries

    def _settle_all(self) -> None:
        """What was said before a rest, or before a new turn, will not change any more."""
        entries = tuple(replace(e, final=True) if not e.final else e for e in self._view.entries)
        self._change(entries=entries, settled=len(entries))

    def _transcribe(self, event: UserTranscript) -> None:
        entry = Entry(Who.USER, event.turn, event.start, heard=event.text, final=event.final)
        entries = self._view.entries
        if self._find(Who.USER, event.turn) is None:
            if entries and entries[-1].at > event.start and not entries[-1].final:
                # The words came later than their answer: they stand above it.
                self._change(entries=(*entries[:-1], entry, entries[-1]))
                return
            self._settle_all()
        self._put(entry)

    def _update_reply(self, reply: int) -> None:
        index = self._find(Who.ASSISTANT, reply)
        if index is None or reply != self._heard.reply:
            return
        entry = self._view.entries[index]
        if not entry.final:
            heard, unheard = self._heard.split()
            self._put(replace(entry, heard=heard, unheard=unheard))

    def _finish(self, event: ReplyFinished) -> None:
        index = self._find(Who.ASSISTANT, event.reply)
        at = event.at if index is None else self._view.entries[index].at
        self._put(Entry(Who.ASSISTANT, event.reply, at, heard=event.text, final=True))

    def _interrupt(self, event: Interrupted) -> None:
        self._change(interruptions=self._view.interruptions + 1)
        if not event.heard.strip() and not event.unheard.strip():
            self._drop(Who.ASSISTANT, event.reply)
            return
        index = self._find(Who.ASSISTANT, event.reply)
        at = event.at if index is None else self._view.entries[index].at
        entry = Entry(
            Who.ASSISTANT, event.reply, at, event.heard, event.unheard, True, event.reason or "?"
        )
        self._put(entry)

    def _find(self, who: Who, number: int) -> int | None:
        """Where the entry is; the newest are looked at first."""
        entries = self._view.entries
        for index in range(len(entries) - 1, -1, -1):
            if entries[index].who is who and entries[index].number == number:
                return index
        return None

    def _put(self, entry: Entry) -> None:
        """Replace the entry with the same speaker and number, or append it."""
        entries = self._view.entries
        index = self._find(entry.who, entry.number)
        if index is None:
            self._change(entries=(*entries, entry))
        else:
            self._change(entries=(*entries[:index], entry, *entries[index + 1 :]))

    def _drop(self, who: Who, number: int) -> None:
        """Take back an entry, unless it is settled: what was shown for good stays."""
        index = self._find(who, number)
        if index is not None and index >= self._view.settled:
            entries = self._view.entries
            self._change(entries=entries[:index] + entries[index + 1 :])
