"""Ask the models about the end of a turn, in the background."""

from __future__ import annotations

from functools import partial

from audio_io.clock import samples
from model.events import Notice
from model.hearing.languages import WITHOUT_SPACES
from model.hearing.open_turn import OpenTurn
from model.jobs.executor import Executor
from model.jobs.question import Question, ReadingAhead
from model.turns.answer import TurnAnswer
from model.turns.endings.features import TurnEnding, features
from model.turns.endings.models import EndOfTurnModel, Outlook, OutlookModel
from model.turns.endings.weights import WeighedEnding, weights_of
from model.turns.phrases import Phrases

SOUND_LANE, OUTLOOK_LANE = "end of turn", "end of the words"

SOUND_AFTER_S = 0.12
"""Silence after which the sound is judged: it was trained on short ones, and the weights with this
one."""

_AHEAD = 6
"""Words to read ahead at once: a reading takes a core 12 ms, and 7 ms more for each word, and what
is left to read at the end is read while the reply is begun."""


class EndOfTurnProbe:
    """Asks about each silence: ``sound`` once, after :data:`SOUND_AFTER_S`, and ``outlook`` when
    the words are known. What a missing or failing model would tell stays unknown.

    While the user speaks, ``outlook`` reads the partial words ahead: a language model then only has
    to read what is new."""

    def __init__(
        self,
        sound: EndOfTurnModel | None,
        outlook: OutlookModel | None,
        executor: Executor,
    ) -> None:
        self._sound_model = sound
        self._outlook_model = outlook
        self._asked_of = (0, 0)  # the turn, and where its speech ended
        self._sound_asked = self._outlook_asked = False
        self._sound: Question[float] = Question(
            executor,
            SOUND_LANE,
            model="the end-of-turn model",
            trouble="turns end by silence and words alone",
        )
        self._outlook: Question[Outlook] = Question(
            executor,
            OUTLOOK_LANE,
            model="the language model of the end of turns",
            trouble="whether words are complete is judged without it",
        )
        self._ahead = ReadingAhead(executor, OUTLOOK_LANE, _AHEAD)
        self._weighed: tuple[TurnEnding, Phrases, WeighedEnding] | None = None

    @property
    def sound(self) -> float | None:
        """Probability that the turn is over, by the sound before the present silence; None while
        unknown."""
        return self._sound.answer

    @property
    def pending(self) -> bool:
        """Whether the outlook of the words is still to come."""
        return self._outlook.pending

    def read_ahead(self, now: int, words: str, language: str, before: str) -> None:
        """Let the language model read the partial ``words`` of a turn if enough of them is new."""
        model = self._outlook_model
        if model is not None and _reads(model, language):
            spaced = language not in WITHOUT_SPACES
            call = partial(model.read_ahead, words, before)
            self._ahead.read(now, words, call, after=before, spaced=spaced)

    def poll(
        self, now: int, turn: OpenTurn, silence: int, answer: TurnAnswer | None, before: str
    ) -> list[Notice]:
        """Ask about ``turn`` in its present ``silence`` (user samples), and collect the answers.

        ``answer``: its answer, which knows its words. ``before``: the question that it answers.
        """
        if self._asked_of != (turn.number, turn.end_of_speech):
            self.forget()
            self._asked_of = (turn.number, turn.end_of_speech)
        notices = self._sound.poll(now) + self._outlook.poll(now)
        model = self._sound_model
        if model is not None and not self._sound_asked and silence >= samples(SOUND_AFTER_S):
            self._sound_asked, audio = True, turn.audio()
            self._sound.ask(now, lambda: model.probability(audio))
        if self._outlook_model is not None and not self._outlook_asked and answer is not None:
            self._ask_outlook(now, self._outlook_model, answer, before)
        return notices

    def weigh(self, answer: TurnAnswer | None, phrases: Phrases | None) -> WeighedEnding | None:
        """Return what is known of the ending, weighed; None if nothing is known of its words or of
        their language, whose rules are ``phrases``."""
        weights = weights_of(phrases.language) if phrases is not None else None
        if answer is None or not answer.words or phrases is None or weights is None:
            return None
        outlook = self._outlook.answer if weights.with_outlook is not None else None
        known = TurnEnding(answer.words, outlook, self.sound)
        if self._weighed is None or self._weighed[:2] != (known, phrases):
            trained = weights.without_outlook
            if outlook is not None and weights.with_outlook is not None:
                trained = weights.with_outlook
            self._weighed = known, phrases, trained.weigh(features(known, phrases))
        return self._weighed[2]

    def forget(self) -> None:
        """Discard pending questions and their answers."""
        self._sound.drop()
        self._outlook.drop()
        self._sound_asked = self._outlook_asked = False

    def _ask_outlook(self, now: int, model: OutlookModel, answer: TurnAnswer, before: str) -> None:
        words, language = answer.words, answer.language
        if answer.words_coming or not words:
            return
        self._outlook_asked = True
        if _reads(model, language):
            self._outlook.ask(now, lambda: model.outlook(words, before))


def _reads(model: OutlookModel, language: str) -> bool:
    """Return whether ``model`` reads ``language``, which may be unknown."""
    return not language or language in model.languages
