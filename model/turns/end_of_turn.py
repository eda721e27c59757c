"""Asks the end-of-turn model about a turn, beside the conversation's loop."""

from __future__ import annotations

from collections.abc import Iterator

from model.errors import ModelError, failing_as_model_error
from model.events import Notice
from model.hearing.open_turn import OpenTurn
from model.jobs.executor import Executor, Job, once
from model.turns.endpointing import EndOfTurnModel

END_OF_TURN_LANE = "end of turn"


class EndOfTurnProbe:
    """Asks ``model`` once in each silence, when it has lasted ``first``: the model was made for
    short ones. Without a model it knows nothing.
    """

    def __init__(self, model: EndOfTurnModel | None, executor: Executor, first: int) -> None:
        self._model = model
        self._executor = executor
        self._first = first
        self._asked_of = (0, 0)  # the turn, and where its speech ended
        self._asked = False
        self._job: Job[float] | None = None
        self.probability: float | None = None

    def poll(self, now: int, turn: OpenTurn, silence: int) -> Iterator[Notice]:
        """Ask and collect; afterwards :attr:`probability` is about the silence that lasts now."""
        if self._model is None:
            return
        if self._asked_of != (turn.number, turn.end_of_speech):
            self.forget()
            self._asked_of = (turn.number, turn.end_of_speech)
        if self._job is not None:
            yield from self._collect(self._job, now)
        if not self._asked and silence >= self._first:
            model, audio = self._model, turn.audio()
            self._asked = True
            work = once(lambda: model.probability(audio))
            self._job = self._executor.submit(END_OF_TURN_LANE, now, work)

    def forget(self) -> None:
        """What was asked about is no longer so."""
        if self._job is not None:
            self._job.cancel()
        self._job = self.probability = None
        self._asked = False

    def _collect(self, job: Job[float], now: int) -> Iterator[Notice]:
        try:
            with failing_as_model_error("the end-of-turn model"):
                for probability in job.poll(now):
                    self.probability = probability
        except ModelError as error:
            yield Notice(now, "warning", f"turns end by silence and words alone: {error}")
            self._model = None
        if job.finished:
            self._job = None
