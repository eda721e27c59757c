"""Speech over a reply while it is not known what it is: its turn, and its words as they come."""

from __future__ import annotations

from audio_io.clock import samples, seconds
from audio_io.signal import Audio
from model.events import Notice
from model.hearing.open_turn import OpenTurn
from model.hearing.recognition import Recognition
from model.turns.barge_in import ENDED, UNCLEAR, SpeechOver
from model.turns.phrases import Phrases, ToldOver

FIRST_WORDS = samples(UNCLEAR)
"""Speech before which no words can be recognised, unless it has ended."""

MORE_WORDS = samples(0.15)
"""Speech that must have come before it is recognised again."""

_LEAD = samples(0.3)
"""Audio from before the speech that its words are recognised with."""


class TalkOver:
    """Speech over a reply, collected in ``turn``, of which ``voiced`` samples belong to it so far.

    ``goes_on``: it is the very turn that the reply answers. ``told``: what its first ``told_of``
    samples of speech say. ``user_level``: at which the user speaks, in dBFS, if that is known.
    """

    def __init__(
        self, turn: OpenTurn, voiced: int, user_level: float | None, *, goes_on: bool = False
    ) -> None:
        self.turn = turn
        self._user_level = user_level
        self.goes_on = goes_on
        self.told: ToldOver | None = None
        self.told_of = 0
        self._voiced_before = turn.voiced - voiced
        self._begins = max(0, turn.length - voiced - _LEAD)

    @property
    def voiced(self) -> int:
        """How much speech there was over the reply, in user samples."""
        return self.turn.voiced - self._voiced_before

    @property
    def level(self) -> float:
        """Its level so far, in dB relative to the user's (0 where one of them is not known)."""
        level = self.turn.level(self.voiced)
        return 0.0 if level is None or self._user_level is None else level - self._user_level

    @property
    def audio(self) -> Audio:
        """The speech, and the moment before it."""
        return self.turn.audio()[self._begins :]


class WordsOver:
    """Recognises speech over a reply again and again while it grows, and once when it has ended.

    Without a recogniser, or ``phrases`` to judge by, it does nothing.
    """

    def __init__(self, recognition: Recognition, phrases: Phrases | None) -> None:
        self._recognition = recognition
        self._phrases = phrases
        self._talk: TalkOver | None = None
        self._asked_of = 0

    def poll(self, now: int, talk: TalkOver, silence: int, reply: str) -> list[Notice]:
        """Ask and collect: what is known by ``now`` is then in ``talk``. ``silence``: since its
        last speech, in samples. ``reply``: what it is said over."""
        if self._phrases is None or not self._works:
            return []
        question = self._recognition.overlap
        if self._talk is not talk:
            self.drop()
            self._talk = talk
        notices = []
        if question.pending:
            notices = question.poll(now)
            if question.answer is not None:
                talk.told = self._phrases.over_a_reply(question.answer.text, reply)
                talk.told_of = self._asked_of
        ended = silence >= samples(ENDED)
        if not question.pending and self._works and self._worth_asking(talk, ended=ended):
            self._asked_of = talk.voiced
            self._recognition.ask(question, now, talk.audio)
        return notices

    def evidence(self, talk: TalkOver, silence: int) -> SpeechOver:
        """What is known of ``talk``."""
        return SpeechOver(
            voiced=seconds(talk.voiced),
            silence=seconds(silence),
            level=talk.level,
            recognized=self._works,
            told=talk.told,
            told_of=seconds(talk.told_of),
            goes_on=talk.goes_on,
        )

    def drop(self) -> None:
        """Discard the pending question and its answer."""
        self._recognition.overlap.drop()
        self._talk = None
        self._asked_of = 0

    @property
    def _works(self) -> bool:
        recognition = self._recognition
        known = self._phrases is not None and recognition.available
        return known and not recognition.overlap.disabled

    def _worth_asking(self, talk: TalkOver, *, ended: bool) -> bool:
        more = talk.voiced - self._asked_of
        return more > 0 if ended else talk.voiced >= FIRST_WORDS and more >= MORE_WORDS
