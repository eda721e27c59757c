"""Speech over a reply, where only its length is known."""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.clock import FRAME, USER_RATE, samples
from model.events import (
    Interrupted,
    PlaybackAction,
    PlaybackControl,
    ReplyFinished,
    ReplyStarted,
    UserTranscript,
)
from model.turns.turn_settings import TurnSettings
from tests.fakes.engine import silence, speech
from tests.fakes.talks import LISTENING, converse


def test_speech_over_a_reply_ducks_then_stops_it_within_200_ms_of_being_confirmed():
    # The reply lasts from 1.7 s to 6.7 s; the user talks over it from 4.0 s on.
    log, fake = converse(
        *(speech(1), silence(3), speech(1.5), silence(10)), words=[f"w{n}" for n in range(10)]
    )
    duck, stop = log.of(PlaybackControl)
    assert (duck.action, stop.action) == (PlaybackAction.DUCK, PlaybackAction.STOP)
    assert duck.at == samples(4.0 + 0.08)
    assert stop.at == samples(4.0 + 0.30)
    assert log.level(3.5, 4.0) == pytest.approx(0.5)
    assert log.level(4.1, 4.3) == pytest.approx(0.5 * 10 ** (-12 / 20), rel=1e-3)
    assert log.level(4.3 + 0.2, 6.0) == 0
    (cut,) = log.of(Interrupted)
    assert cut.at <= stop.at + samples(0.2)
    # 1.7 s to 4.3 s: five words of half a second were heard, and part of the sixth.
    assert cut.heard_samples == pytest.approx((4.3 - 1.7) * 24_000, abs=0.03 * 24_000)
    assert (cut.heard, cut.unheard) == ("w0 w1 w2 w3 w4 ", "w5 w6 w7 w8 w9 ")
    assert fake.history[0] == ("hello", "w0 w1 w2 w3 w4")
    # The barge-in is a turn of its own, whole from its first sample.
    assert log.of(UserTranscript)[-1].turn == 2
    assert np.count_nonzero(fake.turns[-1].audio) == 1.5 * USER_RATE


def test_a_short_noise_over_a_reply_only_ducks_it():
    log, fake = converse(
        *(speech(1), silence(3), speech(0.2), silence(6)), words=[f"w{n}" for n in range(8)]
    )
    assert [e.action for e in log.of(PlaybackControl)] == [
        PlaybackAction.DUCK,
        PlaybackAction.RESUME,
    ]
    assert not log.of(Interrupted)
    assert len(fake.history[0][1].split()) == 8
    assert np.count_nonzero(np.concatenate(log.heard)) == 8 * 12_000  # nothing lost or repeated
    assert log.level(4.8, 5.5) == pytest.approx(0.5)


def test_barge_in_can_be_switched_off():
    log, _ = converse(
        *(speech(1), silence(1.5), speech(1), silence(6)), settings=TurnSettings(barge_in=False)
    )
    assert not log.of(PlaybackControl)
    assert len(log.of(ReplyFinished)) == 1


def test_speech_that_begins_over_the_end_of_a_reply_is_the_next_turn():
    # The reply ends at 3.7 s; the user begins at 3.6 s.
    log, fake = converse(speech(1), silence(2.6), speech(1), silence(6))
    assert not log.of(Interrupted)
    assert len(log.of(ReplyFinished)) == 2
    assert np.count_nonzero(fake.turns[-1].audio) == USER_RATE
    assert log.level(5.5, 6.5) == pytest.approx(0.5)  # no longer ducked


@pytest.mark.parametrize("noise", [0.1, 0.16])
def test_a_noise_at_the_end_of_a_short_reply_is_not_the_old_question_again(noise):
    # The reply "yes" is heard from 1.7 s to 2.2 s.
    log, fake = converse(*(speech(1), silence(1.1), speech(noise), silence(5)), words=["yes"])
    assert fake.history == [("hello", "yes")]
    assert len(log.of(ReplyStarted)) == 1
    assert log.states[-1] is LISTENING


def test_speech_at_the_end_of_a_short_reply_is_a_turn_of_its_own():
    _, fake = converse(*(speech(1), silence(1.1), speech(1), silence(5)), words=["yes"])
    assert len(fake.history) == 2
    assert np.count_nonzero(fake.turns[-1].audio) == pytest.approx(USER_RATE, abs=FRAME)


@pytest.mark.parametrize("tail", [0.1, 0.3, 0.45])
def test_without_barge_in_the_echo_of_a_reply_is_not_a_turn(tail):
    # The reply is heard from 1.7 s to 3.7 s; its echo goes on a little longer.
    log, fake = converse(
        *(speech(1), silence(0.7), speech(2 + tail), silence(4)),
        settings=TurnSettings(barge_in=False),
    )
    assert len(fake.history) == 1
    assert log.states[-1] is LISTENING
