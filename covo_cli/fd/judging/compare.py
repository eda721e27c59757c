"""Compare what a student answers with what its teacher answers to the same questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

from covo_cli.bench.words import word_error_rate
from covo_cli.evaluation.judging.statistics import Estimate, difference, rate

LEAST_ACCURACY = 0.95
"""Of the student's share of right answers over the teacher's."""
MOST_PERPLEXITY = 1.15
"""Of the student's text over the teacher's own, both by the teacher."""
MOST_MISHEARD = 0.01
"""Of the word error rate of the student's sound, more than the teacher's."""
LEAST_ANSWERED = 0.95
"""Of the questions, by the student."""


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """One answer.

    Args:
        right: whether it answers the question; None if nobody can tell.
        tokens: text tokens.
        log_probability: of its text by the teacher, who heard the question in its own format.
    """

    right: bool | None
    tokens: int
    log_probability: float


@dataclass(frozen=True, slots=True)
class ReadReply:
    """What a reply says by its text, and what was understood of its sound."""

    meant: str
    understood: str


@dataclass(frozen=True, slots=True)
class ReadAnswers:
    """The teacher's reply to a question and the student's."""

    teacher: ReadReply
    student: ReadReply


@dataclass(frozen=True, slots=True)
class MisheardWords:
    """The word error rates of the sound against its text."""

    teacher: float
    student: float

    @classmethod
    def of(cls, heard: Sequence[ReadAnswers]) -> MisheardWords:
        """Return the rates of ``heard``."""
        return cls(
            *(
                word_error_rate([(one.meant, one.understood) for one in replies])
                for replies in ([a.teacher for a in heard], [a.student for a in heard])
            )
        )


@dataclass(frozen=True, slots=True)
class AnswerComparison:
    """A student beside its teacher.

    Args:
        teacher, student: shares of right answers; None if there is no question with a key.
        answered: share of the questions to which the student said anything.
        gain: the student's share minus the teacher's (Newcombe's interval).
        perplexity: the student's over the teacher's, per token.
        length: the student's tokens over the teacher's.
        misheard: the word error rates of their sound; None if nobody read it.
    """

    teacher: Estimate | None
    student: Estimate | None
    gain: Estimate | None
    answered: float
    perplexity: float
    length: float
    misheard: MisheardWords | None = None

    @property
    def accuracy(self) -> float | None:
        """The student's share of right answers over the teacher's; None if that has none."""
        if self.teacher is None or self.student is None or not self.teacher.value:
            return None
        return self.student.value / self.teacher.value

    @property
    def more_misheard(self) -> float | None:
        """By how much more of the student's words are misheard; None if nobody read the sound."""
        return None if self.misheard is None else self.misheard.student - self.misheard.teacher

    @property
    def missed(self) -> tuple[str, ...]:
        """The gates that the student does not pass, in words."""
        gates = (
            ("answered", self.answered, LEAST_ANSWERED, False),
            ("accuracy", self.accuracy, LEAST_ACCURACY, False),
            ("perplexity", self.perplexity, MOST_PERPLEXITY, True),
            ("more misheard", self.more_misheard, MOST_MISHEARD, True),
        )
        return tuple(
            f"{name} {value:.3f}, must be {'at most' if above else 'at least'} {bound:g}"
            for name, value, bound, above in gates
            if value is not None and (value > bound if above else value < bound)
        )


def compare_answers(
    pairs: Sequence[tuple[JudgedAnswer, JudgedAnswer]], misheard: MisheardWords | None = None
) -> AnswerComparison:
    """Compare ``pairs`` of the teacher's and the student's answer to a question, of which one at
    least has text on both sides, and the words ``misheard`` of their sound."""
    teachers, students = zip(*pairs, strict=True)
    keyed = [(a.right, b.right) for a, b in pairs if a.right is not None and b.right is not None]
    teacher = student = gain = None
    if keyed:
        teacher = rate(sum(a for a, _ in keyed), len(keyed))
        student = rate(sum(b for _, b in keyed), len(keyed))
        gain = difference(teacher, student)
    return AnswerComparison(
        teacher,
        student,
        gain,
        answered=sum(answer.tokens > 0 for answer in students) / len(students),
        perplexity=exp(_surprise(students) - _surprise(teachers)),
        length=_tokens(students) / _tokens(teachers),
        misheard=misheard,
    )


def _tokens(answers: Sequence[JudgedAnswer]) -> int:
    return sum(answer.tokens for answer in answers)


def _surprise(answers: Sequence[JudgedAnswer]) -> float:
    """Return the mean negative log-probability of a token."""
    return -sum(answer.log_probability for answer in answers) / _tokens(answers)
