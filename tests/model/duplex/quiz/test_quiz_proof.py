"""The proof of the recipe: its stages, run with next to nothing, and its goals."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests import ROOT

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from typer.testing import CliRunner

from covo_cli.app import app
from model.duplex.quiz import proof as quiz_proof
from model.duplex.quiz.proof import ProofSize, prove
from model.duplex.quiz.trials import QUIZ_BEHAVIOURS
from model.duplex.quiz.verdict import BehaviourFigures, Proof, StudentFigures
from model.errors import TrainingError

FOLDER = ROOT / "tests/duplex_quiz"
TINY = ProofSize(dialogues=6, steps=2, short_steps=2, trials=1, control_trials=1)


@pytest.fixture(scope="module")
def proved(tmp_path_factory) -> tuple[Path, Proof]:
    """Every stage, with the teacher that was taught before."""
    out = tmp_path_factory.mktemp("proof")
    shutil.copytree(FOLDER / "teacher", out / "teacher")
    return out, prove(out, TINY, jobs=2)


def test_students_that_learnt_nothing_prove_nothing(proved):
    _, proof = proved
    assert list(proof.students) == [
        *("student", "from random weights", "answers shuffled", "cut by time", "deaf"),
    ]
    assert proof.teacher[0] >= 0.98
    missed = {goal.name for goal in proof.goals if not goal.met}
    assert {"student: names right", "student: whole reply"} <= missed


def test_a_stopped_proof_goes_on(proved, tmp_path):
    out, proof = proved
    shutil.copytree(out, tmp_path / "stopped")
    for name in ("proof", "deaf", "student"):
        (tmp_path / f"stopped/{name}.json").unlink()
    told = []
    again = prove(tmp_path / "stopped", TINY, tell=lambda *words: told.append(words))
    assert again == proof
    assert {part for part, _ in told} == {"teacher", "dialogues", "student", "deaf"}
    assert not [how_far for _, how_far in told if how_far.startswith("step")]  # it was trained
    for path in out.glob("*.json"):
        assert (tmp_path / "stopped" / path.name).read_bytes() == path.read_bytes()
    written = json.loads((tmp_path / "stopped/proof.json").read_text())
    assert len(written["goals"]) == len(proof.goals)


def test_a_proof_of_another_size_or_seed_is_not_gone_on_with(proved):
    out, _ = proved
    before = {path: path.read_bytes() for path in out.glob("*.json")}
    for size, seed in ((replace(TINY, trials=2), 0), (TINY, 1)):
        with pytest.raises(TrainingError, match="begun with another size or seed"):
            prove(out, size, seed=seed)
    assert {path: path.read_bytes() for path in out.glob("*.json")} == before


def test_a_teacher_that_knows_nothing_is_told(tmp_path):
    size = ProofSize(quiz_proof.TeacherTraining(steps=1, batch=1), dialogues=1)
    with pytest.raises(TrainingError, match="none of the teacher's 3 answers"):
        prove(tmp_path, size)


def test_the_command_tells_what_was_missed(proved, monkeypatch):
    out, _ = proved
    monkeypatch.setattr(quiz_proof, "WHOLE", TINY)
    result = CliRunner().invoke(app, ["fd", "prove", str(out), "--jobs", "1"])
    assert result.exit_code == 1
    assert "MISSED" in result.output
    assert "cut by time" in result.output


# The goals


def figures(rate: float, names: float, whole: float, filler: float = 0.01) -> StudentFigures:
    found = BehaviourFigures(100, rate, names, whole)
    return StudentFigures(dict.fromkeys(QUIZ_BEHAVIOURS, found), {"text_filler": filler})


def proof_of(**changed: StudentFigures) -> Proof:
    students = {
        "student": figures(0.97, 0.98, 0.95),
        "from random weights": figures(0.98, 0.03, 0.02),
        "answers shuffled": figures(0.95, 0.02, 0.02),
        "cut by time": figures(1.0, 1.0, 1.0, 0.4),
        "deaf": figures(0.0, 0.0, 0.0),
    }
    return Proof((1.0, 1.0), 0, students | {n.replace("_", " "): f for n, f in changed.items()})


def test_a_recipe_that_works_meets_all_goals():
    assert all(goal.met for goal in proof_of().goals)


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({"student": figures(0.94, 0.98, 0.95)}, {f"student: {b}" for b in QUIZ_BEHAVIOURS}),
        ({"from_random_weights": figures(0.98, 0.5, 0.5)}, {"from random weights: names"}),
        ({"answers_shuffled": figures(0.5, 0.02, 0.02)}, {"answers shuffled: turn"}),
        ({"deaf": figures(0.5, 0.0, 0.0)}, {"deaf: turn"}),
        ({"cut_by_time": figures(1.0, 1.0, 1.0)}, {"cut by time: loss of text fillers"}),
    ],
)
def test_each_goal_can_be_missed(changed, missed):
    assert {goal.name for goal in proof_of(**changed).goals if not goal.met} == missed
