"""Measure the behaviours of a network that learnt the quiz, and what it answers.

The behaviours are those of :mod:`model.duplex.tones.behaviours`, through the real loop, with
speakers and questions that training never saw:

- turn: SHIFT comes within ``PATIENCE`` chunks after the question's end, and not before.
- pause: no SHIFT comes before the question's end, despite a pause of 0.5 to 1.6 s in it.
- backchannel: after a hum over the reply, BREAK does not come before all is said that was written.
- interruption: BREAK comes within ``PATIENCE`` chunks after a question begins over the reply, and
  not before.

The answer counts apart from the behaviour: that to the question, or, after an interruption, to the
second question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from model.duplex.protocol.profile import DuplexProfile
from model.duplex.protocol.sequence import SILENCE
from model.duplex.quiz.questions import (
    CODES_PER_WORD,
    NAMES,
    SYLLABLES,
    QuizQuestion,
    codes_of_word,
    draw_question,
)
from model.duplex.tones.behaviours import (
    HELD_OUT,
    LONGEST_REPLY,
    PATIENCE,
    LoopListener,
    Scene,
)
from model.duplex.tones.tones import hum


@dataclass(frozen=True, slots=True)
class QuizTrial:
    """Whether the behaviour was right, and what was answered to ``question``: text ids and codes,
    both empty without an answer in time."""

    success: bool
    question: QuizQuestion
    text: tuple[int, ...] = ()
    codes: tuple[int, ...] = ()

    @property
    def names(self) -> bool:
        """Whether the answer names what was asked."""
        return names_right(self.question, self.text)

    @property
    def whole(self) -> bool:
        """Whether the answer is right to the last code."""
        return whole_right(self.question, self.text, self.codes)


def names_right(question: QuizQuestion, text: tuple[int, ...]) -> bool:
    """Return whether an answer of ``text`` names what was asked."""
    return text[:NAMES] == question.answer[:NAMES]


def whole_right(question: QuizQuestion, text: tuple[int, ...], codes: tuple[int, ...]) -> bool:
    """Return whether an answer is right to the last code."""
    right = question.answer
    return text == right and codes == tuple(c for word in right for c in codes_of_word(word))


def try_quiz(
    listener: LoopListener,
    profile: DuplexProfile,
    behaviour: str,
    trials: int,
    syllables: Sequence[int] = SYLLABLES,
) -> list[QuizTrial]:
    """Run ``trials`` of ``behaviour`` with questions of ``syllables``, each in a conversation of
    its own."""
    first = 3 * HELD_OUT + list(_TRIALS).index(behaviour) * trials
    run = _TRIALS[behaviour]
    return [run(_Quiz(listener, profile, syllables, seed)) for seed in range(first, first + trials)]


class _Quiz(Scene):
    """A user who asks ``listener`` questions of ``syllables``."""

    def __init__(
        self, listener: LoopListener, profile: DuplexProfile, syllables: Sequence[int], seed: int
    ) -> None:
        super().__init__(listener, profile, seed)
        self._hears = listener
        self._syllables = syllables
        self.think_of_another()

    def think_of_another(self) -> None:
        """Draw the next ``question``."""
        self.question = draw_question(self.who, self.random, self._syllables)

    def ask(self, pause: float | None = None) -> int:
        """Say the question; return the chunk in which it ends."""
        first, gap, second = self.question.parts()
        self.say(first)
        self.wait(gap if pause is None else pause)
        self.say(second)
        return self.chunk

    def answered(self, end: int) -> int | None:
        """Return SHIFT's chunk if it is in time for a question that ends in chunk ``end``."""
        shift = self.first(end + PATIENCE, speaking=True)
        return None if shift is None or shift < end else shift

    def hear_out(self, shift: int, *, success: bool) -> QuizTrial:
        """Return the trial with the reply that began in chunk ``shift``, once it is over."""
        self.first(self.heard + LONGEST_REPLY, speaking=False)
        return QuizTrial(success, self.question, *self.said(shift))

    def said(self, shift: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the text and the codes since chunk ``shift``."""
        steps = self._hears.steps[shift:]
        codes = (code for step in steps for code in step.codes if code != SILENCE)
        return tuple(token for step in steps for token in step.text), tuple(codes)

    def over_a_reply(self) -> int | None:
        """Ask and let the reply run for 3 to 6 chunks; return SHIFT's, or None if it did not last
        or did not come."""
        self.wait(self.random.uniform(0.1, 1.2))
        shift = self.answered(self.ask())
        if shift is None:
            return None
        if self.first(shift + int(self.random.integers(3, 7)), speaking=False) is not None:
            return None
        self.wait(self.random.uniform(0.0, 0.15))
        return shift


def _turn(quiz: _Quiz) -> QuizTrial:
    quiz.wait(quiz.random.uniform(0.1, 1.2))
    shift = quiz.answered(quiz.ask())
    if shift is None:
        return QuizTrial(False, quiz.question)
    return quiz.hear_out(shift, success=True)


def _pause(quiz: _Quiz) -> QuizTrial:
    quiz.wait(quiz.random.uniform(0.1, 1.2))
    end = quiz.ask(quiz.random.uniform(0.5, 1.6))
    if quiz.first(end - 1, speaking=True) is not None:
        return QuizTrial(False, quiz.question)
    shift = quiz.answered(end)
    if shift is None:
        return QuizTrial(True, quiz.question)
    return quiz.hear_out(shift, success=True)


def _backchannel(quiz: _Quiz) -> QuizTrial:
    shift = quiz.over_a_reply()
    if shift is None:
        return QuizTrial(False, quiz.question)
    begin = quiz.next_chunk
    quiz.say(hum(quiz.who, quiz.random))
    stop = quiz.first(begin + PATIENCE, speaking=False)
    text, codes = quiz.said(shift)
    said = stop is None or len(codes) >= CODES_PER_WORD * len(text) > 0
    if stop is not None:
        return QuizTrial(said, quiz.question, text, codes)
    return quiz.hear_out(shift, success=True)


def _interruption(quiz: _Quiz) -> QuizTrial:
    shift = quiz.over_a_reply()
    quiz.think_of_another()
    if shift is None:
        return QuizTrial(False, quiz.question)
    begin = quiz.next_chunk
    end = quiz.ask()
    stop = quiz.first(begin + PATIENCE, speaking=False)
    if stop is None or stop < begin:
        return QuizTrial(False, quiz.question)
    again = quiz.answered(end)
    if again is None:
        return QuizTrial(True, quiz.question)
    return quiz.hear_out(again, success=True)


_TRIALS: Mapping[str, Callable[[_Quiz], QuizTrial]] = {
    "turn": _turn,
    "pause": _pause,
    "backchannel": _backchannel,
    "interruption": _interruption,
}
QUIZ_BEHAVIOURS = tuple(_TRIALS)
