"""Whether the steps keep up with the user, and what is left out when they do not.

A step is due when the next chunk of audio is there. How far behind a step is, is how many chunks
wait when it begins. Then text goes first (a pass of five), then speech (four of five, and BREAK is
heard again); the user's audio never goes: every chunk is heard, however late. While the assistant
listens there is nothing to leave out.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.duplex.network.loop import ChunkStep, Effort


def effort(waiting: int) -> Effort:
    """What the step may cost while ``waiting`` later chunks are there already."""
    return Effort(min(waiting, max(Effort)))


@dataclass(slots=True)
class PaceReport:
    """Counts over a conversation: ``steps``, how many were ``late``, and how many chunks went
    ``without_text`` or ``without_speech`` that would have had some."""

    steps: int = 0
    late: int = 0
    without_text: int = 0
    without_speech: int = 0

    def add(self, step: ChunkStep, *, late: bool) -> bool:
        """Take note of a step; whether it is time to say something: at the first late step, and
        whenever their number has doubled."""
        self.steps += 1
        spoke = step.before.speaking and step.turn.speaking
        self.without_text += spoke and step.effort is Effort.WITHOUT_TEXT
        self.without_speech += spoke and step.effort is Effort.WITHOUT_SPEECH
        self.late += late
        return late and self.late & (self.late - 1) == 0

    def __str__(self) -> str:
        return (
            f"{self.late} of {self.steps} steps were late; {self.without_text} chunks went without "
            f"text, {self.without_speech} without speech"
        )
