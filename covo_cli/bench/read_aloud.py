"""A reply generator that reads fixed text aloud, for measurements without a chat model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from audio_io.clock import ASSISTANT_RATE, samples
from audio_io.signal import Audio
from model.engine import EngineInfo, Progress
from model.reply import Heard, ReplyAudio, ReplyPart, ReplyText, UserTurn

THINK_S, SPEAK_S = 0.1, 0.1
"""How long a scripted reply takes until its first words, and to synthesise a sentence."""

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
    """Answer every turn with ``sentences``, repeated for ``length`` seconds.

    Args:
        speak: synthesises a sentence in pieces, float32 mono 24 kHz.
        pass_time: advances a simulated clock by seconds.
        hears: see :class:`model.reply.ReplyGenerator`.
    """

    def __init__(
        self,
        info: EngineInfo,
        speak: Callable[[str], Iterable[Audio]],
        length: float,
        *,
        hears: bool,
        pass_time: Callable[[float], None] = lambda duration: None,
        sentences: Sequence[str] = SENTENCES,
    ) -> None:
        self.info = info
        self.hears = hears
        self._speak = speak
        self._length = samples(length, ASSISTANT_RATE)
        self._pass_time = pass_time
        self._sentences = sentences

    def warm_up(self, progress: Progress) -> None:
        """Do nothing."""

    def reply(
        self, reply_id: int, turn: UserTurn, cancelled: Callable[[], bool]
    ) -> Iterator[ReplyPart]:
        """Read aloud, starting each reply at another sentence."""
        self._pass_time(THINK_S)
        spoken, number = 0, reply_id
        while spoken < self._length and not cancelled():
            sentence = self._sentences[number % len(self._sentences)]
            number += 1
            yield ReplyText(sentence + " ")
            self._pass_time(SPEAK_S)
            for sound in self._speak(sentence):
                if cancelled():
                    return
                spoken += len(sound)
                yield ReplyAudio(sound, sentence)

    def settle(self, reply_id: int, heard: Heard | None) -> None:
        """Do nothing: there is no history."""

    def set_voice(self, voice: str) -> None:
        """Do nothing: there is one voice."""

    def set_persona(self, persona: str) -> None:
        """Do nothing: it reads aloud whoever it is."""

    def remember(self, number: int, user: str, assistant: str) -> None:
        """Do nothing: there is no history."""

    def forget(self, number: int) -> None:
        """Do nothing: there is no history."""

    def start_over(self) -> None:
        """Do nothing: there is no history."""

    def close(self) -> None:
        """Do nothing."""
