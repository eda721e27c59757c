"""``covo fd compare``: a student is asked through the loop, and its teacher judges."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from audio_io.clock import USER_RATE
from audio_io.files import read_audio
from covo_cli.app import app
from covo_cli.errors import CliError
from covo_cli.fd.answers import load_teacher
from covo_cli.fd.judging import sound
from covo_cli.fd.judging.compare import JudgedAnswer, ReadAnswers, compare_answers
from covo_cli.fd.judging.comparing import ComparisonStage, Opinion
from covo_cli.fd.judging.keys import is_right, read_keys
from covo_cli.fd.judging.sound import sound_reader
from covo_cli.fd.judging.student import Student, StudentReply
from covo_cli.fd.recipe import FdRecipe
from covo_cli.fd.records import AnsweredConversation, SpokenConversation
from covo_cli.fd.work import Journal
from model.covo.config.precision import Precision
from model.covo.config.token2wav_config import Token2WavConfig
from model.duplex.making.teacher import AskedConversation
from model.duplex.network.loop import DuplexLoop
from model.duplex.network.network import load_duplex
from model.duplex.protocol.profile import read_profile, write_profile
from model.duplex.quiz.questions import draw_question
from model.duplex.tones.tones import speaker
from model.hearing.recognition import Transcript
from model.weights.packages import WeightStore
from tests import ROOT
from tests.covo_cli.fd.small_work import files, manifest, student_folder
from tests.model.covo.covo_model import VOICE
from voices.store import VoiceStore


def compared(folder: Path, keys: Path | None = None, **read) -> ComparisonStage:
    return ComparisonStage(folder, FdRecipe.read(folder), "cpu", keys, **read)


@pytest.fixture(scope="module")
def trained(work, model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("compared") / "work"
    shutil.copytree(work, folder)
    student_folder(folder, model)
    return folder


@pytest.fixture
def unread(monkeypatch) -> str:
    """Why the command reads no sound here."""
    monkeypatch.setattr(sound, "sound_reader", lambda *of: "no recogniser here")
    return "no recogniser here"


# The real loop


def test_a_student_of_the_quiz_answers_what_it_is_asked():
    network = load_duplex(ROOT / "tests/duplex_quiz/student", precision=Precision.FP32)
    student = Student(DuplexLoop(network), limit=200)
    right = 0
    for seed in range(8):
        random = np.random.default_rng((11, seed))
        question = draw_question(speaker(random), random)
        reply = student.answer(question.sound(), seed)
        right += reply.text == question.answer
        assert reply.complete
        assert 0.0 < reply.first_word < 1.0
    assert right >= 7
    cut = Student(DuplexLoop(network), limit=12).answer(question.sound(), seed)
    assert (cut.complete, cut.text) == (False, question.answer[: len(cut.text)])
    assert 12 <= len(cut.codes) < len(reply.codes)
    assert student.answer(np.zeros(USER_RATE, np.float32), 0) == StudentReply()


# The teacher


def test_the_teacher_finds_an_answer_as_likely_as_when_it_gave_it(trained):
    recipe = FdRecipe.read(trained)
    every = replace(recipe, answers=replace(recipe.answers, likely=10_000, limit=80))
    teacher = load_teacher(every, "cpu", 1000, streams=1)
    sounds = sorted((trained / "questions/sounds").glob("*.flac"))[:2]
    first, second = (read_audio(path, USER_RATE) for path in sounds)
    asked = AskedConversation([first], 0, lambda number, made: None)
    [(_, [reply])] = teacher.answer([asked])
    said = zip(reply.text, reply.likely, strict=True)
    wanted = sum(dict(likely)[token] for token, likely in said)
    answers = [reply.tokens, reply.tokens[::-1], (), reply.tokens]
    own, backwards, nothing, again = teacher.log_probabilities(first, answers)
    assert own == pytest.approx(wanted, abs=0.02)
    assert own == pytest.approx(again, abs=1e-4)
    assert nothing == 0.0
    assert abs(backwards - own) > 0.1
    [elsewhere] = teacher.log_probabilities(second, [reply.tokens])
    assert abs(elsewhere - own) > 1e-3  # the tiny network hears little


# The command


def test_a_poor_student_misses_the_gates(trained, tmp_path, unread):
    folder, other = tmp_path / "work", tmp_path / "other"
    shutil.copytree(trained, folder)
    profile = read_profile(folder / "trained")
    write_profile(replace(profile, shift_bias=20.0), folder / "trained")  # begins at once
    shutil.copytree(folder, other)
    conversations = Journal(folder / "questions/conversations.jsonl", SpokenConversation)
    asked = next(one for one in conversations if one.held_out).turns[0].text
    keys = tmp_path / "keys.txt"
    keys.write_text(f"{asked}\tno words of any network\nNobody asked?\tyes|no\n")
    done = CliRunner().invoke(
        app, ["fd", "compare", str(folder), "--keys", str(keys), "--device", "cpu"]
    )
    assert done.exit_code == 1, done.exception
    counts = manifest(folder / "comparison")["counts"]
    opinions = list(Journal(folder / "comparison/opinions.jsonl", Opinion))
    assert counts["questions"] == len(opinions) == 2
    assert (counts["with a key"], counts["answered"]) == (1, 1.0)
    answers = Journal(folder / "answers/replies.jsonl", AnsweredConversation)
    said = [answers[n].replies[0] for n, one in enumerate(conversations) if one.held_out]
    assert [one.teacher.tokens for one in opinions] == [len(one.text) for one in said]
    found = compare_answers([(one.teacher, one.student) for one in opinions])
    assert counts["perplexity"] == pytest.approx(found.perplexity, abs=1e-4)
    assert counts["length"] == pytest.approx(found.length, abs=1e-4)
    assert counts["gates missed"] == list(found.missed)
    assert any(gate.startswith("perplexity") for gate in found.missed)
    assert "first word, median s" in done.output
    assert counts["sound not read"] == unread
    stopped = compared(other, keys, read=unread).run()
    assert [next(stopped) for _ in range(3)] == [1, 2, 3]
    stopped.close()
    assert list(compared(other, keys, read=unread).run()) == [4]
    assert files(other) == files(folder)
    with pytest.raises(CliError, match="begun with another keys"):
        compared(other)


def test_a_silent_student_is_not_compared(trained, tmp_path):
    folder = tmp_path / "work"
    shutil.copytree(trained, folder)
    profile = read_profile(folder / "trained")
    write_profile(replace(profile, shift_bias=-100.0), folder / "trained")
    with pytest.raises(CliError, match="answers none of the questions; is shift_bias"):
        list(compared(folder).run())


@pytest.mark.usefixtures("unread")
def test_an_equal_student_passes(trained, tmp_path):
    folder = tmp_path / "work"
    shutil.copytree(trained, folder)
    stage = compared(folder)
    answer = JudgedAnswer(None, 9, -4.5)
    replies = [StudentReply((1,) * 9, (2,) * 30, 0.25, True), StudentReply((1,), (2,), 0.75, True)]
    Journal(stage.stage.folder / "replies.jsonl", StudentReply).append(replies)
    Journal(stage.stage.folder / "opinions.jsonl", Opinion).append([Opinion(answer, answer)] * 2)
    done = CliRunner().invoke(app, ["fd", "compare", str(folder), "--device", "cpu"])
    assert done.exit_code == 0, done.exception
    counts = manifest(folder / "comparison")["counts"]
    assert (counts["perplexity"], counts["length"], counts["gates missed"]) == (1.0, 1.0, [])
    assert (counts["first word, median s"], counts["first word, latest s"]) == (0.5, 0.75)
    assert "accuracy" not in counts


# The sound


def test_the_sound_of_both_is_read_and_gone_on_with(trained, tmp_path):
    folder, other = tmp_path / "work", tmp_path / "other"
    shutil.copytree(trained, folder)
    profile = read_profile(folder / "trained")
    write_profile(replace(profile, shift_bias=20.0), folder / "trained")
    shutil.copytree(folder, other)
    spoken = []

    def read(codes, language):
        spoken.append((tuple(codes), language))
        return f"{len(codes)} codes"

    assert list(compared(folder, read=read).run())[-1] == 6
    answers = Journal(folder / "answers/replies.jsonl", AnsweredConversation)
    conversations = Journal(folder / "questions/conversations.jsonl", SpokenConversation)
    said = [answers[n].replies[0] for n, one in enumerate(conversations) if one.held_out]
    replies = list(Journal(folder / "comparison/replies.jsonl", StudentReply))
    whole = [one.codes if one.complete else () for one in replies]
    both = [codes for one, own in zip(said, whole, strict=True) for codes in (one.codes, own)]
    assert spoken == [(codes, "en") for codes in both]
    heard = list(Journal(folder / "comparison/heard.jsonl", ReadAnswers))
    assert [one.teacher.understood for one in heard] == [f"{len(s.codes)} codes" for s in said]
    assert all(one.teacher.meant for one in heard)
    assert [bool(one.student.meant) for one in heard] == [one.complete for one in replies]
    counts = manifest(folder / "comparison")["counts"]
    assert counts["misheard, teacher"] > 0.5
    assert "sound not read" not in counts
    assert list(compared(other).run()) == [1, 2, 3, 4]
    assert manifest(other / "comparison")["counts"]["sound not read"] == "nothing reads it"
    stopped = compared(other, read=read).run()  # now there is what reads it
    assert next(stopped) == 5
    stopped.close()
    assert list(compared(other, read=read).run()) == [6]
    assert files(other) == files(folder)


def test_who_reads_the_sound_speaks_and_listens(trained, tmp_path, monkeypatch):
    """token2wav speaks, at the recogniser's rate; what is missing is told."""
    lengths = []

    class Listens:
        def __init__(self, folder: Path, language: str) -> None:
            assert (folder, language) == (tmp_path, "zh")

        def transcribe(self, audio, cancelled=None):
            lengths.append(len(audio))
            return Transcript("heard")

    monkeypatch.setattr(sound, "WhisperRecognizer", Listens)
    student, packs = trained / "trained", VoiceStore(tmp_path / "voices")
    missing = WeightStore(tmp_path / "nothing")
    assert "covo models pull" in sound_reader(student, VOICE, "cpu", missing, packs)
    weights = SimpleNamespace(whole=lambda piece: tmp_path)
    assert "no voice called" in sound_reader(student, "nobody", "cpu", weights, packs)
    read = sound_reader(student, VOICE, "cpu", weights, packs)
    assert read((), "zh") == ""
    assert [read((1, 2, 3) * n, "zh") for n in (1, 2)] == ["heard", "heard"]
    config = Token2WavConfig.read(student / "token2wav/config.json")
    one, two = lengths
    assert two - one == pytest.approx(3 * USER_RATE / config.codes_per_second, abs=2)


# Keys


def test_an_answer_is_right_with_one_of_the_wanted_words(tmp_path):
    path = tmp_path / "keys.txt"
    path.write_text("How many is two and two?\t4|four\n\n法国的首都是哪里？\t巴黎\n")
    keys = read_keys(path)
    two = "how many is two and two"
    assert is_right(keys, two, "That is Four, of course.") is True
    assert is_right(keys, two, "It is 4.") is True
    assert is_right(keys, two, "Fourteen, or 44.") is False
    assert is_right(keys, two, "") is False
    assert is_right(keys, "法国的首都是哪里", "法国的首都是巴黎。") is True
    assert is_right(keys, "What else?", "four") is None


def test_a_line_without_a_key_is_refused(tmp_path):
    path = tmp_path / "keys.txt"
    path.write_text("One?\t1\nTwo?\n")
    with pytest.raises(CliError, match="line 2: no key"):
        read_keys(path)
