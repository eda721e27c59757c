"""Judging during training: along held-out dialogues, and the weights of the best steps."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from safetensors.torch import load_file

from model.covo.config.precision import Precision
from model.duplex.network.network import load_duplex
from model.duplex.quiz.dialogues import write_dialogues
from model.duplex.quiz.world import write_blank
from model.duplex.training.judging import best as judging
from model.duplex.training.judging.best import JUDGED, BestSteps, Judgement, judge
from model.duplex.training.training import DuplexTrainer
from model.duplex.training.training_config import (
    DataSection,
    NetworkSection,
    TrainingConfig,
    TrainingSection,
)
from model.errors import TrainingError
from tests.model.duplex.quiz.small_quiz import STUDENT, opened, rightly_answered


@pytest.fixture(scope="module")
def student():
    return load_duplex(STUDENT, precision=Precision.FP32, merge=False)


@pytest.fixture(scope="module")
def held_out(student, tmp_path_factory) -> Path:
    """Six dialogues with the right answers."""
    folder = tmp_path_factory.mktemp("judged") / "held_out"
    write_dialogues(folder, student.grammar, [rightly_answered(12, n) for n in range(6)], seed=12)
    return folder


def test_who_knows_more_is_judged_better(student, held_out, tmp_path):
    knows = judge(student, opened(held_out, student))
    assert min(knows.taken, knows.stopped) >= 0.9
    assert knows.written >= 0.95
    write_blank(tmp_path)
    blank = load_duplex(tmp_path, merge=False)
    assert judge(blank, opened(held_out, blank)).written < 0.3
    with torch.no_grad():  # it speaks for ever, but knows as much
        row = student.covo.llm.lm_head.weight[student.profile.tokens.stop.id]
        before = row.clone()
        row.copy_(student.covo.llm.lm_head.weight[student.profile.tokens.text_filler.id])
    mute = judge(student, opened(held_out, student))
    with torch.no_grad():
        row.copy_(before)
    assert mute.stopped <= 0.1 < mute.written
    assert mute.score < knows.score


SCORES = {1: 0.5, 2: 0.9, 3: 0.6, 4: 0.7}


@pytest.fixture
def scripted(monkeypatch) -> list[int]:
    """Judgements as in ``SCORES``, in the order of the steps."""
    judged: list[int] = []

    def script(network, dialogues) -> Judgement:
        judged.append(len(judged) + 1)
        return Judgement(*[SCORES[(judged[-1] - 1) % 4 + 1]] * 3)

    monkeypatch.setattr(judging, "judge", script)
    return judged


def config(held_out: Path, output: Path, **training) -> TrainingConfig:
    return TrainingConfig(
        NetworkSection(STUDENT, output, "float32"),
        DataSection(held_out, held_out=held_out),
        TrainingSection(
            **{"steps": 4, "batch": 1, "warm_up": 1, "judge_every": 1, "best": 2, **training}
        ),
    )


def test_the_best_step_is_the_result(held_out, tmp_path, scripted):
    seen = {}
    trainer = DuplexTrainer(config(held_out, tmp_path, save_every=1))
    for report in trainer.run():
        # before it is judged
        seen[report.step] = trainer.network.covo.llm.lm_head.weight.detach().clone()
    assert scripted == [1, 2, 3, 4]
    kept = sorted(path.name for path in tmp_path.glob("*.kept"))
    assert kept == ["step-000002.kept", "step-000004.kept"]
    written = load_file(tmp_path / "model.safetensors")["llm.lm_head.weight"]
    assert torch.equal(written, seen[2])
    assert not torch.equal(seen[2], seen[4])
    assert trainer.best.judgements == {n: Judgement(s, s, s) for n, s in SCORES.items()}
    # Another one that was kept.
    DuplexTrainer(config(held_out, tmp_path)).take(4)
    written = load_file(tmp_path / "model.safetensors")["llm.lm_head.weight"]
    assert torch.equal(written, seen[4])
    with pytest.raises(TrainingError, match="of step 3; those kept, the best first: 2, 4"):
        DuplexTrainer(config(held_out, tmp_path)).take(3)
    with pytest.raises(TrainingError, match="judge_every is 0"):
        DuplexTrainer(config(held_out, tmp_path, judge_every=0)).take(4)


def test_a_stopped_run_is_judged_again_and_a_new_one_anew(held_out, tmp_path, scripted):
    asked = config(held_out, tmp_path, save_every=2)
    stopped = DuplexTrainer(asked).run()
    assert [next(stopped).step for _ in range(4)] == [1, 2, 3, 4]
    stopped.close()  # after step 3 was judged
    scripted[:] = [1, 2]  # the state is that after step 2
    assert [report.step for report in DuplexTrainer(asked).run()] == [3, 4]
    kept = BestSteps(tmp_path, 2, None, {}, None)
    assert kept.judgements == {n: Judgement(s, s, s) for n, s in SCORES.items()}
    shorter = replace(asked, training=replace(asked.training, steps=1))
    list(DuplexTrainer(shorter).run())
    assert [path.name for path in tmp_path.glob("*.kept")] == ["step-000001.kept"]
    assert list(kept.judgements) == [1]


def test_adapters_of_another_network_are_not_taken(held_out, tmp_path, scripted):
    pytest.importorskip("peft", reason="needs peft (the train extra)")
    source = tmp_path / "source"
    shutil.copytree(STUDENT, source)
    asked = config(held_out, tmp_path / "out", lora_rank=2)
    asked = replace(asked, network=replace(asked.network, folder=source))
    list(DuplexTrainer(asked).run())
    DuplexTrainer(asked).take(4)
    profile = source / "duplex.json"
    profile.write_text(profile.read_text() + "\n")
    with pytest.raises(TrainingError, match=r"4\.kept belongs to another network\.folder"):
        DuplexTrainer(asked).take(4)


def test_damaged_judgements_are_told(tmp_path):
    (tmp_path / JUDGED).write_text("{")
    with pytest.raises(TrainingError, match="delete it to go on"):
        BestSteps(tmp_path, 2, None, {}, None).take()


def test_nothing_is_judged_by_nothing(held_out, tmp_path):
    with pytest.raises(ValueError, match=r"needs data\.held_out"):
        replace(config(held_out, tmp_path), data=DataSection(held_out))
