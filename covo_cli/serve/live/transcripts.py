"""Words of both sides as fragments on the time line, which can only be added to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from audio_io.signal import Position
from covo_cli.serve.realtime.user_side import agreed
from model.events import (
    AssistantAudio,
    AssistantText,
    Event,
    Interrupted,
    ReplyAudioEnded,
    ReplyFinished,
    UserTranscript,
)
from model.playback.spoken_text import SpokenText

_REMEMBERED = 20
"""Turns whose words may still change."""

Tell = Callable[[str, int, int], None]
"""Sends a fragment and where it begins and ends, in user samples."""


@dataclass(slots=True)
class _TurnSaid:
    """What was told of a turn, up to ``end``, and its last partial words."""

    end: int
    told: str = ""
    partial: str = ""


class InputTranscript:
    """The user's words: partial ones as soon as two transcripts agree on them."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._turns: dict[int, _TurnSaid] = {}
        self._any = False

    def take(self, event: UserTranscript) -> None:
        """Tell what is new in ``event``. Words that were told stay, even if they were wrong."""
        said = self._turns.setdefault(event.turn, _TurnSaid(event.start))
        while len(self._turns) > _REMEMBERED:
            self._turns.pop(next(iter(self._turns)))
        if event.final:
            words = event.text.strip()
            if not words.startswith(said.told):
                rest = words.split()[len(said.told.split()) :]
                words = " ".join([said.told, *rest])
        else:
            words = agreed(said.partial, event.text)
            said.partial = event.text
        if not words.startswith(said.told) or words == said.told:
            return
        gap = " " if self._any and not said.told else ""
        delta, said.told, self._any = gap + words[len(said.told) :], words, True
        end = max(said.end, event.end)
        self._tell(delta, said.end, end)
        said.end = end


class OutputTranscript:
    """The assistant's words, each when it has been heard."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._replies: dict[int, SpokenText] = {}
        self._told: dict[int, str] = {}
        self._played = Position(-1, 0)
        self._since = 0

    def take(self, event: Event) -> None:
        """Note what a reply says, and tell what was heard of one that ended."""
        match event:
            case AssistantText(reply=reply, delta=delta):
                self._of(reply).write(delta)
            case AssistantAudio(reply=reply, samples=sound, text=text):
                self._of(reply).say(len(sound), text)
            case ReplyAudioEnded(reply=reply):
                self._of(reply).complete = True
            case ReplyFinished(reply=reply, text=heard) | Interrupted(reply=reply, heard=heard):
                self._heard(reply, heard, event.at)

    def play(self, played: Position, at: int) -> None:
        """Tell what was heard up to ``played``, at ``at`` (user samples)."""
        if played == self._played:
            return
        if played.reply_id != self._played.reply_id:
            self._since = at
        self._played = played
        if played.reply_id in self._replies:
            heard = self._replies[played.reply_id].split(played.samples).text
            self._heard(played.reply_id, heard, at)

    def _of(self, reply: int) -> SpokenText:
        if reply not in self._replies:
            self._replies[reply] = SpokenText()
            for kept in (self._replies, self._told):
                while len(kept) > 2:
                    kept.pop(next(iter(kept)))
        return self._replies[reply]

    def _heard(self, reply: int, heard: str, at: int) -> None:
        told = self._told.get(reply, "")
        if heard.startswith(told) and heard != told:
            self._told[reply] = heard
            self._tell(heard[len(told) :], min(self._since, at), at)
            self._since = at
