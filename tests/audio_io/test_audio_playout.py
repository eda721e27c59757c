from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_io.errors import AudioError
from audio_io.levels import from_db
from audio_io.playout import DUCK_DB, RAMP, Playout
from audio_io.signal import Position


def ones(n: int) -> np.ndarray:
    return np.ones(n, np.float32)


def test_renders_what_was_queued_then_silence() -> None:
    playout = Playout()
    assert playout.played == Position(-1, 0)
    playout.play(1, np.arange(1, 701, dtype=np.float32) / 1000)
    first, second = playout.render(480), playout.render(480)
    np.testing.assert_array_equal(first, np.arange(1, 481, dtype=np.float32) / 1000)
    np.testing.assert_array_equal(second[:220], np.arange(481, 701, dtype=np.float32) / 1000)
    np.testing.assert_array_equal(second[220:], np.zeros(260, np.float32))
    assert playout.played == Position(1, 700)
    playout.render(480)
    assert playout.played == Position(1, 700)


def test_position_starts_again_with_the_next_reply() -> None:
    playout = Playout()
    playout.play(3, ones(100))
    playout.play(4, ones(200))
    playout.render(50)
    assert playout.played == Position(3, 50)
    playout.render(51)
    assert playout.played == Position(4, 1)


@settings(max_examples=100, deadline=None)
@given(
    plan=st.lists(
        st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 700)), min_size=1, max_size=40
    )
)
def test_played_at_agrees_with_a_count_of_every_sample(plan: list[tuple[bool, int, int]]) -> None:
    """Any mix of play and render; each sample carries its reply and its place in it."""
    playout = Playout()
    reply = 0
    sent: dict[int, int] = {}
    stream: list[np.ndarray] = []
    for is_play, step, n in plan:
        if is_play:
            reply += step  # replies come one after the other, as the engine sends them
            first = sent.get(reply, 0)
            playout.play(reply, (reply * 1e5 + first + np.arange(1, n + 1)).astype(np.float32))
            sent[reply] = first + n
        else:
            stream.append(playout.render(n))
    rendered = np.concatenate([np.zeros(0, np.float32), *stream])
    expected = Position()
    for index, value in enumerate(rendered):
        if value:
            expected = Position(int(value // 1e5), int(value % 1e5))
        assert playout.played_at(index + 1) == expected
    assert playout.rendered == len(rendered)


def test_starved_counts_silent_blocks_within_a_reply_only() -> None:
    playout = Playout()
    playout.render(480)  # before anything: no starvation
    playout.play(1, ones(500))
    playout.render(480)
    playout.render(480)  # runs dry after 20 samples
    playout.render(480)  # dry
    assert playout.starved == 0  # not known yet whether more will come
    playout.play(1, ones(480))
    playout.render(480)
    assert playout.starved == 2
    playout.render(480)  # the end of reply 1
    playout.play(2, ones(480))
    playout.render(480)
    assert playout.starved == 2


def test_the_fade_of_a_stop_goes_on_over_pieces() -> None:
    playout = Playout()
    for _ in range(3):
        playout.play(1, ones(100))
    playout.stop()
    fade = np.linspace(1, 0, RAMP + 1)[1:]
    np.testing.assert_allclose(playout.render(RAMP), fade, atol=1e-6)


def test_silence_after_a_stop_is_no_starvation() -> None:
    playout = Playout()
    playout.play(1, ones(4800))
    playout.render(480)
    playout.stop()
    playout.render(480)
    assert playout.starved == 0


def test_duck_ramps_within_10_ms_and_resume_ramps_back() -> None:
    playout = Playout()
    playout.play(1, ones(4800))
    low = from_db(DUCK_DB)
    playout.render(480)
    playout.duck()
    ducked = playout.render(480)
    assert 1 > ducked[0] > 0.99
    assert ducked[RAMP // 2 - 1] == pytest.approx((1 + low) / 2)
    np.testing.assert_allclose(ducked[RAMP:], low, rtol=1e-6)
    playout.resume()
    back = playout.render(480)
    assert low < back[0] < low + 0.01
    np.testing.assert_array_equal(back[RAMP:], ones(480 - RAMP))
    assert float(np.abs(np.diff(np.concatenate([ducked, back]))).max()) < 0.004, "a click"


def test_hold_stands_still_and_resume_goes_on_where_it_stood() -> None:
    sound = np.linspace(0.1, 0.9, 4800, dtype=np.float32)
    playout = Playout()
    playout.play(1, sound)
    playout.render(480)
    playout.hold()
    fading = playout.render(480)
    still = playout.played
    left = playout.queued
    assert not np.any(fading[still.samples - 480 :])
    assert still.samples < 480 + 360  # silent within 15 ms
    for _ in range(50):
        assert not playout.render(480).any()
    assert (playout.played, playout.queued) == (still, left)
    playout.resume()
    back = playout.render(480)
    assert back[0] < 0.01, "a click"
    np.testing.assert_array_equal(back[-100:], sound[still.samples :][380:480])
    rest = [playout.render(480) for _ in range(10)]
    assert playout.played == Position(1, 4800)
    assert rest[-1][-1] == 0
    assert playout.starved == 0  # nobody waited for sound that did not come


def test_a_reply_that_is_held_can_be_stopped_or_grow() -> None:
    playout = Playout()
    playout.play(1, ones(4800))
    playout.duck()
    playout.render(480)
    playout.hold()
    playout.render(480)
    still = playout.played
    playout.play(1, ones(480))
    assert not playout.render(480).any()
    playout.stop()
    assert playout.queued == 0
    assert not playout.render(480).any()
    assert playout.played == still
    playout.play(2, ones(480))
    np.testing.assert_array_equal(playout.render(480), ones(480))


def test_what_comes_to_a_speaker_that_is_held_waits_with_the_rest() -> None:
    playout = Playout()
    playout.hold()
    playout.render(480)
    playout.play(1, ones(480))
    assert not playout.render(480).any()
    playout.resume()
    playout.render(480)
    assert playout.played == Position(1, 480)


def test_stop_fades_within_10_ms_and_counts_only_what_was_heard() -> None:
    playout = Playout()
    playout.play(1, ones(48_000))
    playout.render(480)
    playout.stop()
    assert playout.queued == RAMP
    faded = playout.render(480)
    np.testing.assert_allclose(faded[:RAMP], np.linspace(1, 0, RAMP + 1)[1:], atol=1e-6)
    assert not faded[RAMP:].any()
    assert playout.played == Position(1, 480 + RAMP)
    assert not playout.render(480).any()


def test_after_a_stop_while_ducked_the_next_reply_is_at_full_level() -> None:
    playout = Playout()
    playout.play(1, ones(4800))
    playout.duck()
    playout.render(480)
    playout.stop()
    playout.play(2, ones(480))
    faded, after = playout.render(RAMP), playout.render(480)
    assert faded[0] <= from_db(DUCK_DB)
    np.testing.assert_array_equal(after, ones(480))
    assert playout.played == Position(2, 480)


def test_stop_with_less_queued_than_the_fade_ends_in_silence() -> None:
    playout = Playout()
    playout.play(1, ones(10))
    playout.stop()
    faded = playout.render(20)
    assert faded[9] == 0
    assert faded[0] == pytest.approx(0.9)
    playout.stop()
    assert not playout.render(20).any()


def test_the_limit_is_an_error_and_nothing_is_queued() -> None:
    playout = Playout(limit_seconds=0.01)
    playout.play(1, ones(200))
    with pytest.raises(AudioError, match=r"0\.01 s"):
        playout.play(1, ones(41))
    assert playout.queued == 200
    playout.play(1, ones(40))


def test_what_was_queued_is_a_copy() -> None:
    playout = Playout()
    sound = ones(10)
    playout.play(1, sound)
    sound[:] = 7
    np.testing.assert_array_equal(playout.render(10), ones(10))


def test_play_and_render_from_two_threads_lose_nothing() -> None:
    playout = Playout()
    values = np.arange(1, 40_001, dtype=np.float32)

    def feed() -> None:
        for part in np.split(values, 400):
            playout.play(1, part)

    thread = threading.Thread(target=feed)
    thread.start()
    got: list[np.ndarray] = []
    while thread.is_alive() or playout.queued:
        got.append(playout.render(96))
    thread.join()
    heard = np.concatenate(got)
    np.testing.assert_array_equal(heard[heard > 0], values)
    assert playout.played == Position(1, 40_000)


def test_what_the_device_will_not_play_is_taken_back() -> None:
    playout = Playout()
    playout.play(1, ones(4800))
    playout.duck()
    playout.render(480)
    playout.render(480)
    playout.take_back(700)
    playout.drop()
    assert (playout.queued, playout.rendered, playout.played) == (0, 700, Position(1, 700))
    assert not playout.render(480).any()
    playout.play(2, ones(480))
    np.testing.assert_array_equal(playout.render(480), ones(480))
    assert playout.played_at(699) == Position(1, 699)
    assert playout.played_at(1180) == Position(1, 700)
    assert playout.played_at(1181) == Position(2, 1)
    assert playout.starved == 0


def test_what_is_taken_back_of_a_reply_that_had_not_begun() -> None:
    playout = Playout()
    playout.play(1, ones(480))
    playout.render(480)
    playout.play(2, ones(480))
    playout.render(480)
    playout.take_back(480)
    assert playout.played == Position(1, 480)
    assert playout.queued == 0


@pytest.mark.parametrize(
    ("tail", "silent_blocks", "gaps"),
    [(0, 1, 1), (480, 10, 0), (480, 40, 1), (0, 40, 1)],
    ids=["within a sound", "a longer pause", "the next clause is late", "a lost device"],
)
def test_a_gap_is_a_silence_that_a_listener_hears(tail: int, silent_blocks: int, gaps: int) -> None:
    playout = Playout()
    playout.play(1, np.pad(ones(480), (0, tail)))
    for _ in range(1 + tail // 480 + silent_blocks):
        playout.render(480)
    playout.play(1, ones(480))
    playout.render(480)
    assert playout.gaps == gaps
    assert playout.starved == silent_blocks


def test_silence_that_is_taken_back_starved_nobody() -> None:
    playout = Playout()
    playout.play(1, ones(480))
    for _ in range(4):
        playout.render(480)
    playout.take_back(480 + 500)  # of three blocks of silence, a little more than one was played
    playout.play(1, ones(480))
    playout.render(480)
    assert playout.starved == 2
