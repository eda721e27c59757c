"""Ask the end-of-turn model about a turn, in the background."""

from __future__ import annotations

from model.events import Notice
from model.hearing.open_turn import OpenTurn
from model.jobs.executor import Executor
from model.jobs.question import Question
from model.turns.endpointing import EndOfTurnModel

END_OF_TURN_LANE = "end of turn"


class EndOfTurnProbe:
    """Asks ``model`` once per silence, after ``first`` user samples: it was trained on short
    silences. Without a model, the probability stays unknown."""

    def __init__(self, model: EndOfTurnModel | None, executor: Executor, first: int) -> None:
        self._model = model
        self._first = first
        self._asked_of = (0, 0)  # the turn, and where its speech ended
        self._asked = False
        self._question: Question[float] = Question(
            executor,
            END_OF_TURN_LANE,
            model="the end-of-turn model",
            trouble="turns end by silence and words alone",
        )

    @property
    def probability(self) -> float | None:
        """Probability that the turn is over in the present silence; None while unknown."""
        return self._question.answer

    def poll(self, now: int, turn: OpenTurn, silence: int) -> list[Notice]:
        """Ask about ``turn`` in its present ``silence`` (user samples), and collect the answer."""
        model = self._model
        if model is None:
            return []
        if self._asked_of != (turn.number, turn.end_of_speech):
            self.forget()
            self._asked_of = (turn.number, turn.end_of_speech)
        notices = self._question.poll(now)
        if not self._asked and silence >= self._first:
            audio = turn.audio()
            self._asked = True
            self._question.ask(now, lambda: model.probability(audio))
        return notices

    def forget(self) -> None:
        """Discard the pending question and its answer."""
        self._question.drop()
        self._asked = False
