"""A reply generator that reads a text aloud: for benchmarks that need speech and no thought."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from audio_io.clock import ASSISTANT_RATE, seconds
from model.engine import EngineInfo, Progress
from model.lite.synthesizer import Synthesizer
from model.reply import Heard, ReplyAudio, ReplyPart, ReplyText, UserTurn

SENTENCES = (
    "The lighthouse stands at the end of a long pier, and on clear nights its light can be seen "
    "from more than twenty miles away.",
    "Every morning the baker opens his shop before sunrise, because people come early to buy warm "
    "bread.",
    "If you follow the river upstream for about an hour, you will reach a small village with a "
    "stone bridge.",
    "Most of the birds that live near the lake leave in autumn, but a few of them stay through the "
    "winter.",
    "He repaired the old radio with parts that he had collected over the years, and it has played "
    "music ever since.",
    "The garden behind the house is full of roses, lavender and tomatoes, which nobody planned to "
    "grow together.",
    "When the train finally arrived, the passengers were too tired to complain about the delay.",
    "A good question is often worth more than a quick answer, especially when several people have "
    "to agree.",
)


class ReadAloud:
    """Answers every turn with ``SENTENCES`` over and over, ``length`` seconds of them."""

    def __init__(self, synthesizer: Synthesizer, length: float) -> None:
        self._synthesizer = synthesizer
        self._length = length

    @property
    def info(self) -> EngineInfo:
        """What it is."""
        return EngineInfo("read-aloud", "a text read aloud, for benchmarks", "", "cpu", {})

    def warm_up(self, progress: Progress) -> None:
        """Speak once, unheard."""
        progress("the synthesiser")
        for _ in self._synthesizer.stream("Hello."):
            pass

    @property
    def hears(self) -> bool:
        """It needs no words."""
        return True

    def reply(
        self, reply_id: int, turn: UserTurn, cancelled: Callable[[], bool]
    ) -> Iterator[ReplyPart]:
        """Read."""
        spoken = 0.0
        while spoken < self._length:
            for sentence in _rotated(SENTENCES, reply_id):
                yield ReplyText(sentence + " ")
                for samples in self._synthesizer.stream(sentence):
                    if cancelled():
                        return
                    spoken += seconds(len(samples), ASSISTANT_RATE)
                    yield ReplyAudio(samples, sentence)
                if spoken >= self._length:
                    return

    def settle(self, reply_id: int, heard: Heard | None) -> None:
        """There is no history."""

    def set_voice(self, voice: str) -> None:
        """It has one voice."""

    def close(self) -> None:
        """Nothing to give back."""


def _rotated(items: Sequence[str], by: int) -> list[str]:
    by %= len(items)
    return [*items[by:], *items[:by]]
