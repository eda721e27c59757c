"""What the engine knows of one reply: what was said when, and how much of it was heard."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from audio_io.clock import ASSISTANT_RATE, USER_RATE, seconds
from model.duplex.network.speech import SpokenState
from model.playback.falling_silent import FallingSilent


@dataclass(slots=True)
class SpokenReply:
    """Reply ``number``, to the user's utterance ``turn``. Times are user samples, lengths samples
    at 24 kHz.

    ``end_of_speech``: when the user had last spoken as it began, 0 if nothing new was said.
    ``shifted_at``: SHIFT; ``sound_at``: its first sound; ``heard_at``: when that was first played.
    ``samples`` were made so far, the first ``cushion`` of them silence; ``complete``: no more will
    be. ``over_speech``: the user was speaking when BREAK came. ``falling``: somebody had it
    stopped, and the speaker may not be silent yet. ``speech``: where its sound is; only touched
    where sound is made.
    """

    number: int
    turn: int
    end_of_speech: int
    shifted_at: int
    sound_at: int | None = None
    heard_at: int | None = None
    samples: int = 0
    cushion: int = 0
    heard: int = 0
    heard_since: int = 0
    complete: bool = False
    failed: bool = False
    over_speech: bool = False
    falling: FallingSilent | None = None
    speech: SpokenState[Any] = field(default_factory=SpokenState, repr=False)
    _text: list[tuple[int, str]] = field(default_factory=list)

    @property
    def stopped(self) -> bool:
        """Whether somebody had it stopped."""
        return self.falling is not None

    def add_text(self, delta: str) -> None:
        """The network wrote ``delta`` beside the sound that comes next."""
        if delta:
            self._text.append((self.samples, delta))

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(delta for _, delta in self._text)

    def split(self, heard: int) -> tuple[str, str]:
        """The text beside what was heard, and the rest. Where text runs ahead of speech (see
        :class:`~model.duplex.protocol.profile.TextTiming`), the first part is more than what was
        said.
        """
        said = "".join(delta for at, delta in self._text if at < heard)
        return said, self.text[len(said) :]

    def play(self, now: int, heard: int) -> bool:
        """Note that ``heard`` samples were played by ``now``; whether the first sound is among
        them."""
        if heard > self.heard:
            self.heard, self.heard_since = heard, now
        if self.heard_at is not None or heard <= self.cushion:
            return False
        self.heard_at = now - round((heard - self.cushion) * USER_RATE / ASSISTANT_RATE)
        return True

    def latency(self) -> dict[str, float]:
        """From the user's last speech to the first sound played, by what it was spent on."""
        marks = {
            "turn taking": self.shifted_at,
            "speech": self.sound_at,
            "playing": self.heard_at,
        }
        parts, before = {}, self.end_of_speech
        for name, at in marks.items():
            after = max(before, at or before)
            parts[name] = seconds(after - before)
            before = after
        return parts
