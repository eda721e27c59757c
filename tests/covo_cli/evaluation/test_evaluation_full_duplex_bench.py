"""Folders in the format of Full-Duplex-Bench, made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from audio_io.files import write_audio
from covo_cli.evaluation import Kind
from covo_cli.evaluation.scenarios.full_duplex_bench import read_scenarios
from covo_cli.evaluation.scenarios.scenario import EvaluationError, Mark, Role, SoundSource

LIST = {"timestamp": [2.5, 3.0]}
METADATA = {
    "context_text": "Tell me a story.",
    "current_turn_text": "uh huh",
    "timestamps": [4.0, 4.5],
}


def sample(folder: Path, annotation: object = None, name: str = "", rate: int = 16_000) -> None:
    folder.mkdir(parents=True)
    write_audio(folder / "input.wav", np.zeros(6 * rate, np.float32), rate)
    if name:
        (folder / name).write_text(json.dumps(annotation))


@pytest.mark.parametrize(
    ("task", "name", "annotation", "kind", "mark"),
    [
        (
            "synthetic_pause_handling",
            "pause.json",
            [{"text": "[PAUSE]", **LIST}],
            Kind.PAUSE,
            Mark(Role.UNFINISHED, 0.0, 6.0),
        ),
        (
            "candor_turn_taking",
            "turn_taking.json",
            [{"text": "[TURN-TAKING]", **LIST}],
            Kind.TURN,
            Mark(Role.TURN, 0.0, 2.5),
        ),
        ("icc_backchannel", "", None, Kind.LISTENING, Mark(Role.UNFINISHED, 0.0, 6.0)),
        (
            "synthetic_user_interruption",
            "interrupt.json",
            [{"context": "Tell me a story.", "interrupt": "Wait, stop.", **LIST}],
            Kind.INTERRUPTION,
            Mark(Role.INTERRUPTION, 2.5, 3.0, "Wait, stop."),
        ),
        (
            "user_backchannel",
            "metadata.json",
            METADATA,
            Kind.BACKCHANNEL,
            Mark(Role.BACKCHANNEL, 4.0, 4.5, "uh huh"),
        ),
        (
            "talking_to_other",
            "metadata.json",
            METADATA,
            Kind.SIDE_TALK,
            Mark(Role.SIDE_TALK, 4.0, 4.5, "uh huh"),
        ),
    ],
)
def test_each_task_becomes_a_scenario(tmp_path, task, name, annotation, kind, mark):
    sample(tmp_path / task / "1", annotation, name, rate=24_000)
    (scenario,) = read_scenarios(tmp_path).scenarios
    assert (scenario.id, scenario.kind, scenario.duration) == (f"{task}-1", kind, 6.0)
    (line,) = scenario.lines
    assert (line.source, line.file, line.level) == (SoundSource.FILE, f"{task}/1/input.wav", None)
    assert line.marks == (mark,)


def test_versions_and_single_tasks_are_found_and_samples_are_in_order(tmp_path):
    for number in (10, 9):
        sample(tmp_path / "v1.0" / "icc_backchannel" / str(number))
    sample(tmp_path / "v1.5" / "user_backchannel" / "1", METADATA, "metadata.json")
    ids = [scenario.id for scenario in read_scenarios(tmp_path).scenarios]
    assert ids == ["v1.0-icc_backchannel-9", "v1.0-icc_backchannel-10", "v1.5-user_backchannel-1"]
    one = read_scenarios(tmp_path / "v1.0" / "icc_backchannel")
    assert len(one.scenarios) == 2


def test_a_sample_whose_annotation_is_missing_or_another_is_told_by_name(tmp_path):
    sample(tmp_path / "candor_turn_taking" / "1")
    with pytest.raises(EvaluationError, match=r"candor_turn_taking/1/turn_taking\.json"):
        read_scenarios(tmp_path)
    (tmp_path / "candor_turn_taking" / "1" / "turn_taking.json").write_text('[{"text": "?"}]')
    with pytest.raises(EvaluationError, match="not in Full-Duplex-Bench's format"):
        read_scenarios(tmp_path)


def test_a_folder_with_neither_says_what_it_could_hold(tmp_path):
    with pytest.raises(EvaluationError, match="covo eval build"):
        read_scenarios(tmp_path)
