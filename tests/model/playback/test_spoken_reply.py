"""A reply on its way to the ear: handed out, followed, and stopped."""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.clock import ASSISTANT_RATE, FRAME, samples
from audio_io.signal import Position
from model.events import AssistantAudio, AssistantText, ReplyAudioEnded
from model.playback.spoken_reply import STALLED_S, SpokenReply, latency_parts

SECOND = ASSISTANT_RATE
SOUND = np.ones(SECOND, np.float32)


def made(**options: int) -> SpokenReply:
    """A complete reply of two seconds, handed out at 0."""
    reply = SpokenReply(1, 7, **options)
    for word in ("one ", "two "):
        reply.write(0, word)
        reply.say(0, SOUND, word)
    reply.end()
    reply.take(0)
    return reply


def test_it_is_held_back_until_it_is_taken():
    reply = SpokenReply(1, 7)
    reply.write(10, "one ")
    reply.say(20, SOUND, "one ")
    text, audio = reply.take(30)
    assert text == AssistantText(30, 1, "one ")
    assert isinstance(audio, AssistantAudio)
    assert reply.take(40) == []
    reply.end()
    assert reply.take(50) == [ReplyAudioEnded(50, 1, SECOND)]
    assert reply.take(60) == []
    assert (reply.first_text_at, reply.first_audio_at) == (10, 20)


def test_it_is_heard_to_its_end():
    reply = made()
    assert not reply.follow(FRAME, Position(-1, 0))
    assert reply.follow(10 * FRAME, Position(1, 480))
    assert reply.first_heard_at == 9 * FRAME
    assert not reply.follow(11 * FRAME, Position(1, SECOND))
    assert reply.split().text == "one "
    assert not reply.finished
    reply.follow(12 * FRAME, Position(1, 2 * SECOND))
    assert reply.finished
    assert reply.split().unheard == ""


def test_what_is_played_of_a_later_reply_ends_it():
    reply = made()
    reply.follow(FRAME, Position(2, 480))
    assert reply.finished


def test_the_cushion_is_not_heard():
    reply = made(cushion=480)
    assert not reply.follow(10 * FRAME, Position(1, 480))
    assert reply.follow(11 * FRAME, Position(1, 960))
    assert reply.first_heard_at == 10 * FRAME


@pytest.mark.parametrize("held", [False, True])
def test_a_speaker_that_stands_still_has_lost_the_rest_unless_it_was_asked_to(held):
    reply = made()
    reply.held = held
    end = samples(STALLED_S)
    reply.follow(end - 1, Position(1, 0))
    assert not reply.stalled(end - 1)
    reply.follow(end, Position(1, 0))
    assert reply.stalled(end) is not held


def test_a_speaker_may_take_a_moment_to_begin():
    late = samples(STALLED_S) + FRAME
    reply = SpokenReply(1, 7)
    reply.say(late, SOUND, "one ")
    reply.end()
    reply.take(late)
    reply.follow(late, Position())
    assert not reply.stalled(late)
    assert reply.stalled(2 * late)


def test_time_without_sound_to_play_does_not_count_as_standing_still():
    reply = SpokenReply(1, 7)
    reply.say(0, SOUND, "one ")
    reply.take(0)
    long = samples(10 * STALLED_S)
    reply.follow(long - 1, Position(1, SECOND))
    reply.end()
    reply.say(long, SOUND, "two ")  # a slow chat model wrote it at last
    reply.take(long)
    reply.follow(long, Position(1, SECOND))
    assert not reply.stalled(long)
    reply.follow(long + samples(STALLED_S), Position(1, SECOND))
    assert reply.stalled(long + samples(STALLED_S))


def test_waiting_behind_an_earlier_reply_does_not_count_as_standing_still():
    reply = made()
    late = samples(10 * STALLED_S)
    reply.follow(late, Position(0, SECOND))
    assert not reply.stalled(late)
    reply.follow(late + FRAME, Position(1, 480))
    assert not reply.stalled(late + FRAME)


def test_after_a_stop_it_is_silent_when_the_speaker_stands_still():
    reply = made()
    reply.follow(0, Position(1, 480))
    reply.stop()
    reply.say(1, SOUND, "more")
    for number, at in enumerate((960, *[1440] * 6)):
        assert not reply.silent
        reply.follow(number * FRAME, Position(1, at))
    assert not reply.silent  # five frames without progress
    reply.follow(9 * FRAME, Position(1, 1440))
    assert reply.silent
    assert reply.take(10 * FRAME) == []
    assert reply.heard == 1440


def test_a_speaker_that_never_stops_is_not_waited_for():
    reply = made()
    reply.stop()
    for frame in range(25):
        assert not reply.silent
        reply.follow(frame * FRAME, Position(1, 480 * (frame + 1)))
    assert reply.silent


def test_parts_of_a_latency_add_up():
    parts = latency_parts(16_000, {"a": 24_000, "b": None, "c": 20_000, "d": 32_000})
    assert parts == {"a": 0.5, "b": 0.0, "c": 0.0, "d": 0.5}
