"""``covo fd calibrate``: the student's decisions in held-out conversations, and its biases."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from covo_cli.app import app
from covo_cli.errors import CliError
from covo_cli.fd.judging.calibrating import CalibrationStage
from covo_cli.fd.laying.maker import DialogueMaker
from covo_cli.fd.recipe import FdRecipe
from covo_cli.fd.work import Journal
from model.duplex.network.network import load_duplex, load_tokenizer
from model.duplex.protocol.profile import read_profile, write_profile
from model.duplex.training.dataset import Codec, DialogueFolder
from model.duplex.training.hard_places import EventKind
from model.duplex.training.judging.calibration import DecisionMargins, decision_margins, share_above
from model.errors import WeightsError
from tests.covo_cli.fd.small_work import files, manifest, small_recipe, student_folder

ROUNDS = {"rounds": 2}


def calibrated(folder: Path) -> CalibrationStage:
    return CalibrationStage(folder, FdRecipe.read(folder), "cpu")


@pytest.fixture(scope="module")
def trained(work, model, tmp_path_factory) -> Path:
    """A work with a student."""
    folder = tmp_path_factory.mktemp("trained") / "work"
    shutil.copytree(work, folder)
    student_folder(folder, model)
    small_recipe(folder, calibration=ROUNDS)
    return folder


@pytest.fixture(scope="module")
def judged(trained, tmp_path_factory) -> Path:
    """A work whose student was calibrated."""
    folder = tmp_path_factory.mktemp("judged") / "work"
    shutil.copytree(trained, folder)
    done = CliRunner().invoke(app, ["fd", "calibrate", str(folder), "--device", "cpu"])
    assert done.exit_code == 0, done.exception
    assert "shift_bias: -" in done.output
    assert "begins in pauses: 0.0" in done.output
    return folder


def test_the_student_keeps_still_where_it_would_have_begun(judged):
    counts = manifest(judged / "calibration")["counts"]
    margins = Journal(judged / "calibration/margins.jsonl", DecisionMargins)
    pauses = [margin for one in margins for margin in one.pauses]
    assert counts["dialogues"] == len(margins) == 4
    assert counts["pauses"] == len(pauses) > 4
    bias = read_profile(judged / "trained").shift_bias
    assert share_above(pauses, 0.0) == pytest.approx(counts["begins in pauses, before"], abs=1e-4)
    assert share_above(pauses, 0.0) > 0.02
    assert share_above(pauses, bias) == 0.0
    assert share_above(pauses, bias + 0.01) > 0.0  # and no more than is needed
    ends = [margin for one in margins for margin in one.ends]
    assert counts["answers turns in time"] == pytest.approx(share_above(ends, bias), abs=1e-4)


def test_a_student_that_is_damaged_is_written_again(trained, tmp_path):
    folder = tmp_path / "work"
    shutil.copytree(trained, folder)
    os.truncate(folder / "trained/model.safetensors", 1000)
    remedy = r"damaged; write it again: `covo train duplex --config .*train\.toml --take STEP`"
    with pytest.raises(WeightsError, match=remedy):
        list(calibrated(folder).run())


def test_its_decisions_are_those_in_held_out_dialogues(judged):
    folder = judged / "calibration"
    network = load_duplex(judged / "trained", merge=False)
    tokenizer = load_tokenizer(judged / "trained", network.profile)
    dialogues = DialogueFolder(folder, network.grammar, tokenizer, Codec.NONE)
    dialogue, events = dialogues.read(folder / "000002.flac")
    margins = Journal(folder / "margins.jsonl", DecisionMargins)[2]
    assert decision_margins(network, dialogue, events) == margins
    assert len(margins.pauses) <= sum(event.kind is EventKind.PAUSE for event in events)
    recipe = FdRecipe.read(judged)
    maker = DialogueMaker(judged, recipe, network.profile, held_out=True)
    assert {maker.conversations[index].voice for index in maker.usable} == {"aside"}


def test_a_stopped_calibration_goes_on_to_the_same_bytes(trained, judged, tmp_path):
    folder = tmp_path / "work"
    shutil.copytree(trained, folder)
    stopped = calibrated(folder).run()
    assert [next(stopped), next(stopped)] == [1, 2]
    stopped.close()
    assert read_profile(folder / "trained").shift_bias == 0.0
    assert not manifest(folder / "calibration")["complete"]
    assert list(calibrated(folder).run()) == [3, 4]
    assert files(folder) == files(judged)


def test_the_biases_are_written_again_beside_weights_that_lost_them(judged, tmp_path):
    folder = tmp_path / "work"
    shutil.copytree(judged, folder)
    before = files(folder)
    profile = read_profile(folder / "trained")
    write_profile(replace(profile, shift_bias=0.0), folder / "trained")
    assert list(calibrated(folder).run()) == []
    assert files(folder) == before


def test_both_biases_keep_to_the_recipe(trained, tmp_path):
    folder = tmp_path / "work"
    shutil.copytree(trained, folder)
    small_recipe(folder, calibration={**ROUNDS, "takeovers": 0.5, "stops": 0.25})
    stage = calibrated(folder)
    known = DecisionMargins((2.0,), (5.0, 1.0), (0.5, 3.0), (0.7,))
    other = DecisionMargins((-1.0,), (), (-4.0, -5.0), (3.5,))
    Journal(stage.stage.folder / "margins.jsonl", DecisionMargins).append(
        [known, other, DecisionMargins(), DecisionMargins()]
    )
    assert list(calibrated(folder).run()) == []
    profile = read_profile(folder / "trained")
    assert (profile.shift_bias, profile.stop_bias) == (0.0, pytest.approx(-0.501, abs=1e-6))
    counts = manifest(folder / "calibration")["counts"]
    told = ("begins in pauses", "stops for backchannels", "stops for interruptions")
    assert [counts[name] for name in told] == [0.5, 0.25, 1.0]
    assert counts["stops for backchannels, before"] == 0.5


def test_what_was_not_trained_is_not_calibrated(work, trained, tmp_path):
    with pytest.raises(CliError, match=r"run `covo train duplex --config .*train.toml` first"):
        calibrated(work)
    assert not (work / "calibration").exists()
    folder = tmp_path / "work"
    shutil.copytree(trained, folder)
    calibrated(folder)
    with (folder / "trained/model.safetensors").open("ab") as weights:
        weights.write(b"\0")
    with pytest.raises(CliError, match="begun with another student; delete the folder"):
        calibrated(folder)
