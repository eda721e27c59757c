"""What the proof measured, and whether that is what a recipe that works must give."""

from __future__ import annotations

from dataclasses import dataclass

from model.duplex.quiz.trials import QUIZ_BEHAVIOURS


@dataclass(frozen=True, slots=True)
class BehaviourFigures:
    """Shares of ``trials``: with the right behaviour, with the right names in the answer, and with
    an answer that is right to the last code."""

    trials: int
    rate: float
    names: float
    whole: float


@dataclass(frozen=True, slots=True)
class StudentFigures:
    """``losses``: means at the end of the training, by kind of token."""

    behaviours: dict[str, BehaviourFigures]
    losses: dict[str, float]


@dataclass(frozen=True, slots=True)
class ProofGoal:
    """A figure and its bound, from below or ``above``."""

    name: str
    value: float
    bound: float
    above: bool = False

    @property
    def met(self) -> bool:
        """Whether the figure keeps the bound."""
        return self.value <= self.bound if self.above else self.value >= self.bound


@dataclass(frozen=True, slots=True)
class Proof:
    """What was measured. ``teacher``: shares of its answers with the right names, and right to the
    last code. ``dropped``: answers of it that were not used."""

    teacher: tuple[float, float]
    dropped: int
    students: dict[str, StudentFigures]

    @property
    def goals(self) -> tuple[ProofGoal, ...]:
        """What must be true of a recipe that works, and of its controls."""
        names, whole = self.teacher
        student = self.students["student"].behaviours
        goals = [ProofGoal(f"student: {b}", student[b].rate, 0.95) for b in QUIZ_BEHAVIOURS]
        for behaviour, what in (
            ("turn", ""),
            ("interruption", " after an interruption"),
            ("backchannel", " through a hum"),
        ):
            found = student[behaviour]
            goals.append(ProofGoal(f"student: names right{what}", found.names, 0.95 * names))
            goals.append(ProofGoal(f"student: whole reply{what}", found.whole, 0.9 * whole))
        for name in ("from random weights", "answers shuffled"):
            if name in self.students:
                control = self.students[name].behaviours
                goals.append(ProofGoal(f"{name}: turn", control["turn"].rate, 0.9))
                goals.append(ProofGoal(f"{name}: names", control["turn"].names, 0.2, above=True))
        if "deaf" in self.students:
            deaf = self.students["deaf"].behaviours["turn"].rate
            goals.append(ProofGoal("deaf: turn", deaf, 0.05, above=True))
        if "cut by time" in self.students:
            leak, ours = (
                self.students[name].losses["text_filler"] for name in ("cut by time", "student")
            )
            goals.append(ProofGoal("cut by time: loss of text fillers", leak, 3 * ours))
        return tuple(goals)
