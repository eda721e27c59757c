"""Speech over a reply until it is classified: its turn, and its words as they arrive."""

from __future__ import annotations

from audio_io.clock import samples, seconds
from audio_io.signal import Audio
from model.events import Notice
from model.hearing.identity.profile import LONG_ENOUGH_S
from model.hearing.identity.speaker_check import SpeakerCheck
from model.hearing.open_turn import OpenTurn
from model.hearing.recognition import Recognition
from model.turns.barge_in import ENDED_S, UNCLEAR_S, OverlapEvidence
from model.turns.phrases import OverlapWords, Phrases

_FIRST_WORDS = samples(UNCLEAR_S)
"""Least speech in which to recognise words, unless it has ended."""

_MORE_WORDS = samples(0.15)
"""Recognise again after this much more speech."""

_VOICE_TOLD = samples(LONG_ENOUGH_S + 0.4)
"""Speech after which the voice should have been told."""

_LEAD = samples(0.3)
"""Audio before the speech to recognise along with it."""


class Overlap:
    """Speech over a reply, collected in ``turn``, of which ``voiced`` samples belong to it so far.

    ``goes_on``: it continues the turn that the reply answers. ``stops``: whether it may stop the
    reply; otherwise it is answered after the reply. ``user_level``: the user's level in
    dBFS, if known. Its words are recognised while it grows and once when it has ended, unless there
    is no recogniser or there are no ``phrases`` to judge by, or none for their language.
    """

    def __init__(
        self,
        turn: OpenTurn,
        voiced: int,
        recognition: Recognition,
        phrases: Phrases | None,
        speakers: SpeakerCheck,
        *,
        user_level: float | None,
        goes_on: bool,
        stops: bool,
    ) -> None:
        recognition.overlap.drop()
        self.turn = turn
        self.goes_on = goes_on
        self.stops = stops
        self._recognition = recognition
        self._phrases = phrases
        self._speakers = speakers
        self._user_level = user_level
        self._voiced_before = turn.voiced - voiced
        self._begins = max(0, turn.length - voiced - _LEAD)
        self._words: OverlapWords | None = None
        self._words_until = 0
        self._asked_until = 0
        self._unknown_language = False

    @property
    def voiced(self) -> int:
        """Amount of speech over the reply, in user samples."""
        return self.turn.voiced - self._voiced_before

    @property
    def level(self) -> float:
        """Its level so far, in dB relative to the user's (0 where one of them is unknown)."""
        level = self.turn.level(self.voiced)
        return 0.0 if level is None or self._user_level is None else level - self._user_level

    def poll(self, now: int, silence: int, reply: str) -> list[Notice]:
        """Request and collect the words of speech over ``reply``, ``silence`` samples after its
        end; ask whose voice it is."""
        ended = silence >= samples(ENDED_S)
        self._speakers.ask(now, self.turn, self.voiced, ended=ended)
        if self._phrases is None or not self._recognizable:
            return []
        question = self._recognition.overlap
        notices: list[Notice] = []
        if question.pending:
            notices = question.poll(now)
            if question.answer is not None:
                phrases = self._phrases.of(question.answer.language)
                self._unknown_language = phrases is None
                if phrases is not None:
                    self._words = phrases.over_a_reply(question.answer.text, reply)
                    self._words_until = self._asked_until
        if not question.pending and self._recognizable and self._worth_asking(ended=ended):
            self._asked_until = self.voiced
            self._recognition.ask(question, now, self._audio())
        return notices

    def evidence(self, silence: int) -> OverlapEvidence:
        """Return the evidence so far."""
        speakers, other = self._speakers, self._speakers.other(self.turn)
        unended = silence < samples(ENDED_S) and self.voiced < _VOICE_TOLD
        return OverlapEvidence(
            voiced=seconds(self.voiced),
            silence=seconds(silence),
            level=self.level,
            recognized=self._recognizable,
            words=self._words,
            words_until=seconds(self._words_until),
            goes_on=self.goes_on,
            other=bool(other),
            voice_coming=speakers.pending or (unended and speakers.knows_user and other is None),
        )

    def drop(self) -> None:
        """Discard the words being recognised."""
        self._recognition.overlap.drop()

    @property
    def _recognizable(self) -> bool:
        recognition = self._recognition
        judged = self._phrases is not None and not self._unknown_language
        return judged and recognition.available and not recognition.overlap.disabled

    def _worth_asking(self, *, ended: bool) -> bool:
        more = self.voiced - self._asked_until
        return more > 0 if ended else self.voiced >= _FIRST_WORDS and more >= _MORE_WORDS

    def _audio(self) -> Audio:
        """The speech and the audio just before it."""
        return self.turn.audio()[self._begins :]
