"""The recipe behind the teacher, small: it answers, and becomes a full-duplex student, whose
training is killed on the way.

The teacher is that of ``tests/duplex_quiz``, really taught by ``covo fd prove``. It is asked about
three of its six syllables, so a guess has one name pair in nine.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests import ROOT

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from model.duplex.quiz.proof import ProofSize, prove
from model.duplex.quiz.students import ProofRun, measure_run
from model.duplex.quiz.trials import QUIZ_BEHAVIOURS
from model.duplex.quiz.verdict import StudentFigures
from model.duplex.training.training import STATE

pytestmark = pytest.mark.long

SMALL = ProofSize(
    dialogues=300, steps=250, trials=24, controls=False, control_trials=8, syllables=(0, 2, 4)
)
LEAST = {"rate": 0.85, "names": 0.8, "whole": 0.5}
"""Of the trials of each behaviour. Who cannot hear, or never learnt, has none of the answers right;
who guesses reaches these of the names in one run out of 10 ** 14."""
PROGRAM = """
import sys
from pathlib import Path
from model.duplex.quiz.proof import prove
from tests.model.duplex.quiz.test_quiz_short_proof import SMALL
prove(Path(sys.argv[1]), SMALL)
"""


def missed(figures: StudentFigures) -> set[str]:
    """The behaviours at which a student is not good enough, and at what."""
    return {
        f"{behaviour}: {what}"
        for behaviour in QUIZ_BEHAVIOURS
        for what, least in LEAST.items()
        if getattr(figures.behaviours[behaviour], what) < least
    }


@pytest.mark.timeout(900)
def test_a_student_is_made_though_its_training_is_killed(tmp_path):
    """One test, because its parts share two minutes of work."""
    out = tmp_path / "proof"
    shutil.copytree(ROOT / "tests/duplex_quiz/teacher", out / "teacher")
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(out)], cwd=ROOT) as run:
        while not (out / "student" / STATE).exists() and run.poll() is None:
            time.sleep(0.05)
        run.kill()
    assert run.returncode == -signal.SIGKILL
    told = list[tuple[str, str]]()
    proof = prove(out, SMALL, tell=lambda *words: told.append(words))

    # It went on where it was killed.
    steps = [how_far for part, how_far in told if part == "student" and "step" in how_far]
    first = int(steps[0].split()[1])
    assert 50 < first < SMALL.steps
    assert len(steps) == SMALL.steps - first + 1

    # It behaves and answers.
    assert min(proof.teacher) >= 0.95
    assert proof.dropped <= 0.02 * 3 * SMALL.dialogues
    student = proof.students["student"]
    assert missed(student) == set()
    assert "teacher" in student.losses  # it learnt from the teacher's opinions, too

    # Who is deaf or never learnt fails the same test.
    blank, slots = out / "blank", out / "dialogues/cut in slots"
    untaught = ProofRun("blank", blank, blank, slots, 0, SMALL.control_trials, SMALL.syllables)
    answers = {f"{b}: {what}" for b in QUIZ_BEHAVIOURS for what in ("names", "whole")}
    for figures in (proof.students["deaf"], measure_run(untaught, 0, lambda part, how_far: None)):
        assert answers | {"turn: rate", "interruption: rate"} <= missed(figures)
