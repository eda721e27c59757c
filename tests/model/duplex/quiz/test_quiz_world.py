"""The quiz: its questions, the teacher's format, and its dialogues."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

import itertools

from model.covo.config.network_config import CovoConfig
from model.covo.conversation.answer import CODE_GROUP, TEXT_GROUP
from model.duplex.network.network import load_duplex
from model.duplex.protocol.grammar import Grammar
from model.duplex.protocol.profile import read_profile
from model.duplex.quiz.dialogues import (
    Cutting,
    cut_in_time,
    draw_dialogue_questions,
    quiz_dialogue,
    reply_of,
    write_dialogues,
)
from model.duplex.quiz.questions import NUMBERS, QuizQuestion, codes_of_word
from model.duplex.quiz.teacher import (
    QuizTeacher,
    TaughtAnswer,
    TeacherTraining,
    train_teacher,
)
from model.duplex.quiz.trials import names_right, whole_right
from model.duplex.quiz.world import VOCABULARY, write_blank
from model.duplex.tones.tones import ToneSpeaker
from model.duplex.training.hard_places import EventKind
from model.duplex.training.sample import TokenKind
from tests.model.duplex.quiz.small_quiz import TEACHER, opened, right_answer, rightly_answered

WHO = ToneSpeaker(120.0, 1.0, 0.1)


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quiz") / "blank"
    write_blank(folder)
    return folder


@pytest.fixture(scope="module")
def grammar(blank) -> Grammar:
    return Grammar(read_profile(blank), CovoConfig.read(blank / "config.json"))


def test_the_answer_names_both_then_the_larger_and_counts_on():
    words = [NUMBERS[n] for n in QuizQuestion(WHO, 3, 1, 0).answer]
    assert words == ["four", "two", "four", "five", "six", "seven", "eight", "nine", "ten"]
    longest = QuizQuestion(WHO, 5, 5, 0).answer
    assert NUMBERS[longest[-1]] == NUMBERS[-1]
    assert len({codes_of_word(n) for n in range(len(NUMBERS))}) == len(NUMBERS)


def resonance(sound) -> float:
    """The mean frequency above 700 Hz, by power."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    frequency = np.fft.rfftfreq(len(sound), 1 / 16_000)
    high = frequency > 700
    return float((power * frequency)[high].sum() / power[high].sum())


def test_a_syllable_is_told_by_its_resonance_at_any_pitch():
    means = []
    for number in range(6):
        of_pitch = [
            resonance(QuizQuestion(ToneSpeaker(pitch, 1.0, 0.1), number, 0, seed).parts()[0])
            for pitch in (105.0, 140.0, 190.0, 250.0)
            for seed in range(3)
        ]
        means.append((min(of_pitch), max(of_pitch)))
    for (_, below), (above, _) in itertools.pairwise(means):
        assert below < above


def test_a_question_is_said_alike_each_time():
    question = QuizQuestion(WHO, 0, 5, 3)
    first, gap, second = question.parts()
    assert np.array_equal(question.sound()[: len(first)], first)
    assert len(question.sound()) == len(first) + round(gap * 16_000) + len(second)


def test_the_teacher_alternates_five_and_fifteen(blank):
    teacher = QuizTeacher.load(blank)
    question = QuizQuestion(WHO, 5, 5, 0)
    tokens = teacher.reply_tokens(question)
    first_code = teacher.covo.config.first_audio_token
    kinds = "".join("c" if token >= first_code else "t" for token in tokens[:-1])
    words = len(question.answer)
    assert words == 13
    group = "t" * TEXT_GROUP + "c" * CODE_GROUP
    assert kinds == group * 2 + "ttt" + "c" * (6 * words - 2 * CODE_GROUP)
    assert tokens[-1] == VOCABULARY["<end>"]
    assert teacher.split(tokens) == right_answer(question)
    assert teacher.split(tokens[:-1]) is None  # no end
    assert teacher.split([0, tokens[-1]]) is None  # no speech


def test_the_teacher_was_really_taught():
    teacher = QuizTeacher.load(TEACHER)
    drawn = [q for n in range(8) for q in draw_dialogue_questions(np.random.default_rng((9, n)))]
    answers = teacher.answer(drawn)
    right = [
        a is not None and whole_right(q, a.text, a.codes)
        for q, a in zip(drawn, answers, strict=False)
    ]
    assert sum(right) >= 23
    # It hears: to other questions these would be wrong.
    other = [
        a is not None and names_right(q, a.text) for q, a in zip(drawn[1:], answers, strict=False)
    ]
    assert sum(other) <= 5


def test_each_question_is_answered_alike_alone_and_in_a_batch():
    teacher = QuizTeacher.load(TEACHER)
    drawn = [q for n in range(3) for q in draw_dialogue_questions(np.random.default_rng(n))]
    together, alone = teacher.answer(drawn), teacher.answer(drawn, batch=1)
    assert [(a.text, a.codes) for a in together] == [(a.text, a.codes) for a in alone]
    both = [
        [log for a in some for word in a.likely for _, log in word] for some in (together, alone)
    ]
    assert both[0] == pytest.approx(both[1], abs=2e-3)


def test_the_teacher_tells_what_it_found_likely():
    """Its best word is the one that it said, and its opinions reach the student's places."""
    teacher = QuizTeacher.load(TEACHER)
    drawn = draw_dialogue_questions(np.random.default_rng(0))
    for answer in teacher.answer(drawn):
        assert len(answer.likely) == len(answer.text)
        for word, likely in zip(answer.text, answer.likely, strict=True):
            ids, logs = zip(*likely, strict=True)
            assert ids[0] == word
            assert list(logs) == sorted(logs, reverse=True)
            assert 0.9 < sum(np.exp(logs)) <= 1.001


def test_a_teacher_learns(blank, tmp_path):
    losses = list(train_teacher(blank, tmp_path, TeacherTraining(steps=6, batch=4, warm_up=2)))
    assert losses[-1] < losses[0] - 0.2
    again = list(train_teacher(blank, tmp_path, TeacherTraining(steps=6, batch=4, warm_up=2)))
    assert again == losses


def test_a_dialogue_is_asked_and_answered(grammar):
    kinds = set()
    for seed in range(20):
        asked = rightly_answered(seed)
        made, events = quiz_dialogue(grammar, asked, np.random.default_rng((1, seed)))
        assert len(made.replies) == len(asked)
        turns = [event for event in events if event.kind is EventKind.TURN]
        stops = [event for event in events if event.kind is EventKind.INTERRUPTION]
        kinds |= {event.kind for event in events}
        for turn, reply, one in zip(turns, made.replies, asked, strict=True):
            shift = reply.start // 4 - 1
            assert shift - int((turn.end - 1e-6) / 0.16) in (1, 2)
            whole = reply_of(one.answer, shift, grammar.profile)
            assert whole.codes[: len(reply.codes)] == reply.codes
        cut = [
            len(r.codes) < len(one.answer.codes)
            for r, one in zip(made.replies, asked, strict=False)
        ]
        assert sum(cut) <= len(stops)
    assert kinds == {
        EventKind.TURN,
        EventKind.PAUSE,
        EventKind.BACKCHANNEL,
        EventKind.INTERRUPTION,
    }


def test_cut_by_time_leaves_less_text(grammar):
    for seed in range(20):
        made = {
            cutting: quiz_dialogue(
                grammar, rightly_answered(seed), np.random.default_rng(seed), cutting
            )[0]
            for cutting in Cutting
        }
        for slots, time in zip(*(made[c].replies for c in Cutting), strict=True):
            assert slots.codes == time.codes
            assert slots.text[: len(time.text)] == time.text
    whole = reply_of(right_answer(QuizQuestion(WHO, 0, 0, 0)), 2, grammar.profile)
    assert len(cut_in_time(whole, 6, grammar).text) == 2  # three chunks: 12 codes of two words


def test_dialogues_are_read_as_they_were_made(grammar, blank, tmp_path):
    asked = [rightly_answered(seed) for seed in range(3)]
    sure = replace(asked[0][0].answer, likely=tuple(((n, 0.0),) for n in asked[0][0].answer.text))
    asked[0][0] = replace(asked[0][0], answer=sure)
    write_dialogues(tmp_path / "some", grammar, asked, seed=4)
    folder = opened(tmp_path / "some", load_duplex(blank))
    for number in range(3):
        made, events = quiz_dialogue(grammar, asked[number], np.random.default_rng((4, number)))
        path = tmp_path / f"some/{number:05}.flac"
        read, told = folder.read(path)
        assert read.replies == made.replies
        assert told == events
        assert np.abs(read.user - made.user).max() < 1e-4
        assert TokenKind.TEXT in folder[number].kinds
        assert (folder[number].teaching is not None) is (number == 0)
        assert json.loads(path.with_suffix(".json").read_text())["events"]
    longer = replace(asked[0][0], answer=TaughtAnswer((0,), (0,)))
    with pytest.raises(FileExistsError):
        write_dialogues(tmp_path / "some", grammar, [[longer]], seed=4)


def test_the_vocabulary_has_no_id_twice(blank):
    network = load_duplex(blank)
    ids = [*VOCABULARY.values(), *(token.id for token in network.profile.tokens.all)]
    assert len(set(ids)) == len(ids)
    assert VOCABULARY["<audio>"] == network.covo.config.placeholder
