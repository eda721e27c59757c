"""``covo fd``: what its commands ask for, and what they tell beforehand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from covo_cli.app import app
from covo_cli.errors import CliError
from covo_cli.fd.recipe import FdRecipe
from covo_cli.fd.sizing import CARDS, find_card, stage_cost
from covo_cli.process.alone import alone_in
from tests.covo_cli.fd.small_work import teacher_folder


def run(*words: str):
    return CliRunner().invoke(app, ["fd", *words])


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("command")
    model = teacher_folder(folder / "model")
    refused = run("init", str(folder / "work"), "--model", str(model))
    assert "pass --accept-license" in str(refused.exception)
    assert not (folder / "work").exists()
    done = run("init", str(folder / "work"), "--model", str(model), "--accept-license")
    assert done.exit_code == 0, done.exception
    assert "publish neither" in done.stderr
    return folder / "work"


def test_a_dry_run_tells_what_it_takes_and_does_nothing(begun):
    before = sorted(begun.iterdir())
    stages = ("prompts", "questions", "answers", "dialogues", "encoder", "calibrate", "compare")
    for stage in stages:
        told = run(stage, str(begun), "--dry-run", "--gpu", "4090")
        assert told.exit_code == 0, told.exception
        assert "GB free" in told.output
    assert "hours: " in run("answers", str(begun), "--dry-run", "--gpu", "h100").output
    assert isinstance(
        run("answers", str(begun), "--dry-run", "--gpu", "abacus").exception, CliError
    )
    assert sorted(begun.iterdir()) == before


def test_the_cost_of_everything_is_told_before_it_begins(begun):
    pytest.importorskip("peft", reason="needs peft (the train extra)")
    before = sorted(begun.iterdir())
    told = run("cost", str(begun), "--gpu", "4090")
    assert told.exit_code == 0, told.exception
    assert [line.split(",")[0] for line in told.output.splitlines() if "in all" in line] == [
        *("prompts", "questions", "answers", "dialogues", "encoder", "training"),
        *("calibrate", "compare"),
    ]
    assert sorted(begun.iterdir()) == before
    recipe = FdRecipe.read(begun)
    training = replace(recipe.training, positions=64)
    small = replace(recipe, training=training)
    one = stage_cost("training", small, CARDS["h100"])
    assert one.hours > 0
    more = replace(recipe, training=replace(training, positions=2048, steps=2 * training.steps))
    several = stage_cost("training", more, CARDS["h100"])
    assert several.hours > 3 * one.hours
    assert several.memory > one.memory


def test_twice_the_work_takes_twice_as_much(begun):
    recipe = FdRecipe.read(begun)
    small = stage_cost("answers", recipe, CARDS["h100"])
    doubled = replace(recipe, questions=replace(recipe.questions, count=80_000))
    twice = stage_cost("answers", doubled, CARDS["h100"])
    assert twice.hours == pytest.approx(2 * small.hours)
    assert twice.disk == pytest.approx(2 * small.disk)
    assert stage_cost("answers", recipe, find_card("3090")).hours > small.hours
    alone = replace(recipe, answers=replace(recipe.answers, streams=1))
    assert stage_cost("answers", alone, CARDS["h100"]).hours > 5 * small.hours
    assert stage_cost("answers", alone, CARDS["h100"]).memory < small.memory
    assert stage_cost("dialogues", recipe, None).disk == pytest.approx(32.4e9)


@pytest.mark.parametrize("stage", ["calibrate", "compare"])
def test_judging_costs_what_the_held_out_conversations_take(begun, stage):
    recipe = FdRecipe.read(begun)
    questions = recipe.questions

    def cost(card: str = "h100", rounds: int = recipe.calibration.rounds, **changed):
        calibration = replace(recipe.calibration, rounds=rounds)
        asked = replace(questions, **changed)
        return stage_cost(
            stage, replace(recipe, questions=asked, calibration=calibration), CARDS[card]
        )

    once = cost()
    assert once.memory > 0
    twice = cost(held_out=2 * questions.held_out)
    assert (twice.hours, twice.disk) == pytest.approx((2 * once.hours, 2 * once.disk))
    assert cost(count=2 * questions.count) == once
    again, alone = cost(rounds=2 * recipe.calibration.rounds), cost(turns=(1.0,))
    if stage == "calibrate":  # every turn is heard, in each round
        assert (again.hours / once.hours, alone.hours / once.hours) == pytest.approx((2, 1))
    else:  # the first turn of each conversation is asked
        assert (again.hours / once.hours, alone.hours / once.hours) == pytest.approx((1, 4.01))
    assert cost("3090").hours > once.hours
    assert stage_cost(stage, recipe, None).hours is None


def test_a_work_without_consent_is_refused(begun):
    consent = begun / "consent.json"
    text = consent.read_text()
    consent.unlink()
    try:
        assert "consent.json" in str(run("dialogues", str(begun)).exception)
    finally:
        consent.write_text(text)


def test_two_processes_do_not_work_in_one_folder(begun):
    before = sorted(begun.rglob("*"))
    with alone_in(begun):
        stages = ("prompts", "questions", "answers", "dialogues", "encoder")
        for command in (*stages, "calibrate", "compare", "prove"):
            refused = run(command, str(begun)).exception
            assert isinstance(refused, CliError)
            assert str(refused) == (
                f"another process works in {begun}; wait until it is done, or stop it"
            )
    assert {path for path in begun.rglob("*") if path not in before} == {begun / ".lock"}


TRAINING = """
[network]
folder = "start"
output = "file/trained"
[data]
folder = "dialogues"
[training]
steps = 1
"""


@pytest.mark.parametrize(
    "command",
    ["fd prove {}/file/proof", "fd ears train {}/file/ears", "train duplex --config {}/train.toml"],
)
def test_a_folder_that_cannot_be_made_is_told_in_one_line(command, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "train.toml").write_text(TRAINING)
    result = CliRunner().invoke(app, command.format(tmp_path).split())
    assert isinstance(result.exception, CliError)
    assert str(result.exception).startswith(f"cannot work in {tmp_path / 'file'}")
    assert "\n" not in str(result.exception)
