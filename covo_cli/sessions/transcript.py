"""Who said what when: the one fold of a conversation's events into a transcript.

The live screen feeds a :class:`TranscriptFold` event by event; the recorded session, its exports
and the evaluation call :func:`transcript` on a whole log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from audio_io.clock import ASSISTANT_RATE, USER_RATE, samples, seconds
from audio_io.signal import Position
from covo_cli.sessions.event_log import RecordedAudio, RecordedBackchannel, RecordedRing
from model.events import (
    AssistantAudio,
    AssistantText,
    Backchannel,
    Event,
    Interrupted,
    ReplyAudioEnded,
    ReplyFinished,
    ReplyStarted,
    TimerRang,
    ToolAnswered,
    ToolCalled,
    ToolOutcome,
    TurnDiscarded,
    TurnLatency,
    UserTranscript,
)
from model.playback.spoken_text import SpokenText

BROKEN_OFF = "the recording ends here"


class Who(StrEnum):
    """Who speaks, or does something."""

    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


NAMES = {Who.USER: "You", Who.ASSISTANT: "Covo", Who.TOOL: "Tool"}
"""Names of the speakers in text for people."""


@dataclass(frozen=True, slots=True)
class TranscriptEntry:
    """What the user said in one turn, the assistant in one reply or ``backchannel``, or a tool's
    use.

    ``number`` is the turn's, the reply's or the call's; that of a backchannel or of a timer's ring
    is negative. ``turn``: the turn that was said or answered (-1: unknown). ``start`` and ``end``
    bound the sound, in user samples. ``text`` was said aloud; ``unheard`` is written but not played
    yet, or never will be if ``cut_off`` gives a reason. ``stopped``: when the reply was
    finished or cut off. Until ``final`` it may change.
    """

    who: Who
    number: int
    turn: int
    start: int
    end: int
    text: str = ""
    unheard: str = ""
    final: bool = False
    cut_off: str = ""
    stopped: int | None = None
    latency: TurnLatency | None = None
    backchannel: bool = False

    @property
    def shown(self) -> str:
        """The text for people: what was said aloud, a backchannel in parentheses."""
        return f"({self.text})" if self.backchannel else self.text

    @property
    def start_s(self) -> float:
        """Start in seconds."""
        return seconds(self.start)

    @property
    def end_s(self) -> float:
        """End in seconds."""
        return seconds(self.end)


@dataclass(slots=True)
class _ReplyFold:
    """One reply as far as its events are known; ``start`` is None until it is released."""

    number: int
    turn: int = -1
    start: int | None = None
    spoken: SpokenText = field(default_factory=SpokenText)
    played: int = 0
    ending: ReplyFinished | Interrupted | None = None
    latency: TurnLatency | None = None

    def take(self, event: Event) -> None:
        match event:
            case ReplyStarted():
                self.turn = event.turn
                self._begin(event.at)
            case AssistantText() if self.ending is None:
                self.spoken.write(event.delta)
            case AssistantAudio() | RecordedAudio():
                if not self.spoken.samples:
                    self._begin(event.at)
                size = event.samples
                self.spoken.say(size if isinstance(size, int) else len(size), event.text)
            case ReplyAudioEnded():
                self.spoken.complete = True
            case ReplyFinished() | Interrupted():
                self.ending = event
                self._begin(event.at if self.start is None else self.start)
            case TurnLatency():
                self.latency = event

    def entry(self) -> TranscriptEntry | None:
        """Return the entry; None before the reply is released, or if nothing came of it."""
        if self.start is None:
            return None
        end = self.start + _user_samples(self.spoken.samples)
        text, unheard, cut_off = "", "", ""
        match self.ending:
            case ReplyFinished():
                text, end = self.ending.text, max(end, self.ending.at)
            case Interrupted():
                text, unheard = self.ending.heard, self.ending.unheard
                cut_off = self.ending.reason or "?"
                end = self.start + _user_samples(self.ending.heard_samples)
            case None:
                heard = self.spoken.split(self.played, begun=True)
                text, unheard = heard.text, heard.unheard
        if self.ending is not None and not (text.strip() or unheard.strip()):
            return None
        return TranscriptEntry(
            Who.ASSISTANT,
            self.number,
            self.turn,
            self.start,
            end,
            text,
            unheard,
            final=self.ending is not None,
            cut_off=cut_off,
            stopped=self.ending.at if self.ending else None,
            latency=self.latency,
        )

    def break_off(self, duration: float | None) -> None:
        """End an open reply with its last sound, or with the recording of ``duration`` seconds."""
        if self.ending is not None or self.start is None:
            return
        end = self.start + _user_samples(self.spoken.samples)
        if duration is None or end <= samples(duration):
            self.ending = ReplyFinished(end, self.number, self.spoken.written)
            return
        played = max(0, round((duration - seconds(self.start)) * ASSISTANT_RATE))
        heard = self.spoken.split(played)
        self.ending = Interrupted(
            samples(duration), self.number, played, heard.text, heard.unheard, BROKEN_OFF
        )

    def _begin(self, at: int) -> None:
        self.start = at if self.start is None else max(self.start, at)


class TranscriptFold:
    """Folds events, in their order, into transcript entries."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Who, int], TranscriptEntry] = {}
        self._replies: dict[int, _ReplyFold] = {}
        self._settled: set[tuple[Who, int]] = set()

    @property
    def entries(self) -> tuple[TranscriptEntry, ...]:
        """The entries that are not settled, by start."""
        return tuple(sorted(self._entries.values(), key=lambda entry: entry.start))

    def take(self, event: Event) -> None:
        """Take in the next event."""
        match event:
            case UserTranscript(turn=turn):
                entry = TranscriptEntry(
                    Who.USER, turn, turn, event.start, event.end, event.text, final=event.final
                )
                self._put((Who.USER, turn), entry if event.text.strip() else None)
            case TurnDiscarded():
                self._put((Who.USER, event.turn), None)
            case ToolCalled() | ToolAnswered():
                self._put((Who.TOOL, event.call), self._used(event))
            case Backchannel() | RecordedBackchannel():
                entry = _hummed(event)
                self._put((entry.who, entry.number), entry)
            case TimerRang(ring=1) | RecordedRing(ring=1):  # ringing again is no news
                text = f"timer rings: {event.name}"
                at, number = event.at, event.number
                entry = TranscriptEntry(Who.TOOL, number, -1, at, at, text, final=True)
                self._put((Who.TOOL, number), entry)
            case (
                ReplyStarted(reply=number)
                | AssistantText(reply=number)
                | AssistantAudio(reply=number)
                | RecordedAudio(reply=number)
                | ReplyAudioEnded(reply=number)
                | ReplyFinished(reply=number)
                | Interrupted(reply=number)
                | TurnLatency(reply=number)
            ):
                reply = self._replies.setdefault(number, _ReplyFold(number))
                reply.take(event)
                self._put((Who.ASSISTANT, number), reply.entry())

    def play(self, position: Position) -> None:
        """Note how far the speaker has played."""
        reply = self._replies.get(position.reply_id)
        if reply is not None and reply.ending is None and reply.played != position.samples:
            reply.played = position.samples
            self._put((Who.ASSISTANT, reply.number), reply.entry())

    def begins_turn(self, event: UserTranscript) -> bool:
        """Return whether a new turn begins, so that the entries so far will not change any more.

        Words that come later than their answer do not end it: they stand above it.
        """
        key = (Who.USER, event.turn)
        known = key in self._entries or key in self._settled
        return not known and not any(
            entry.start > event.start and not entry.final for entry in self._entries.values()
        )

    def settle(self) -> tuple[TranscriptEntry, ...]:
        """Return the entries as final and drop them; later changes to them are ignored."""
        settled = tuple(replace(entry, final=True) for entry in self.entries)
        self._settled |= self._entries.keys()
        self._entries.clear()
        return settled

    def close(self, duration: float | None) -> tuple[TranscriptEntry, ...]:
        """Return the entries of a recording of ``duration`` seconds that ends here."""
        for number, reply in self._replies.items():
            reply.break_off(duration)
            self._put((Who.ASSISTANT, number), reply.entry())
        return tuple(entry for entry in self.entries if entry.final)

    def _used(self, event: ToolCalled | ToolAnswered) -> TranscriptEntry:
        """Return the entry of a tool's use, as far as it is known."""
        known = self._entries.get((Who.TOOL, event.call))
        start, text = (event.at, event.tool) if known is None else (known.start, known.text)
        if isinstance(event, ToolCalled):
            text = f"{event.tool} {event.arguments}".strip()
        else:
            end = event.outcome.value if event.outcome is not ToolOutcome.DONE else ""
            text += f" → {': '.join(filter(None, (end, event.result)))}"
        final = isinstance(event, ToolAnswered)
        return TranscriptEntry(Who.TOOL, event.call, -1, start, start, text, final=final)

    def _put(self, key: tuple[Who, int], entry: TranscriptEntry | None) -> None:
        if entry is None:
            self._entries.pop(key, None)
        elif key not in self._settled:
            self._entries[key] = entry


def transcript(
    events: Iterable[Event], duration: float | None = None
) -> tuple[TranscriptEntry, ...]:
    """Return who said what in ``events``, by start.

    The user's entries come from final transcripts. A reply starts when its first sound is
    released and ends when it was played or cut off. In a recording that breaks off during a reply,
    the reply ends with its last sound or with the recording: after ``duration`` seconds.
    """
    fold = TranscriptFold()
    for event in events:
        fold.take(event)
    return fold.close(duration)


def _hummed(event: Backchannel | RecordedBackchannel) -> TranscriptEntry:
    length = event.samples if isinstance(event.samples, int) else len(event.samples)
    end = event.at + _user_samples(length)
    return TranscriptEntry(
        Who.ASSISTANT,
        event.number,
        event.turn,
        event.at,
        end,
        event.text,
        final=True,
        stopped=end,
        backchannel=True,
    )


def _user_samples(assistant_samples: int) -> int:
    return round(assistant_samples * USER_RATE / ASSISTANT_RATE)
