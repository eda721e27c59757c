"""What counts as an answered question in the conversation benchmark."""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.clock import samples
from audio_io.levels import span_of_sound
from covo_cli.bench.conversation import ConversationLog, _turns
from covo_cli.bench.words import word_error_rate
from covo_cli.simulation.scripted_user import Line, ScriptedUser
from model.events import TurnLatency, UserTranscript
from tests.fakes.engine import FakeSpeaker, silence, speech

PARTS = {"wait": 0.2, "recognize": 0.3, "think": 0.1, "speak": 0.1, "hold": 0.0, "play": 0.0}
LINE = Line(np.concatenate([speech(1), silence(0.2)]), "what is it?")


def log_of(end_of_speech: float) -> ConversationLog:
    log = ConversationLog(FakeSpeaker())
    log.transcripts[1] = UserTranscript(0, 1, "What is it?", True, 0, samples(end_of_speech))
    log.latencies.append(TurnLatency(0, 1, 1, sum(PARTS.values()), PARTS))
    log.gaps[1] = 0
    return log


def asked_at(*starts: float) -> ScriptedUser:
    user = ScriptedUser([LINE] * len(starts), paced=False)
    user.spoken = [(samples(s), samples(s) + len(LINE.audio)) for s in starts]
    return user


def test_latency_counts_from_the_true_end_of_the_sound():
    assert span_of_sound(LINE.audio) == (0, samples(1.0))
    # The detector let go 0.1 s late: the question ended at 6.0 s, it said 6.1 s.
    (turn,) = _turns(asked_at(5.0), [LINE], log_of(6.1))
    assert turn["seconds"] == pytest.approx(0.7 + 0.1)
    assert sum(turn["parts"].values()) == pytest.approx(turn["seconds"])


def test_a_question_that_was_cut_short_is_not_answered():
    assert _turns(asked_at(5.0), [LINE], log_of(5.5)) == []


def test_word_errors_are_counted_over_all_words():
    pairs = [("There are seven days.", "there are 7 days"), ("a cat sat here", "a cat sat")]
    assert word_error_rate(pairs) == pytest.approx(1 / 8)
    assert word_error_rate([("...", "")]) == 0
