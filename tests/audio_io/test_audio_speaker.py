from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from audio_io.errors import AudioError, DeviceError
from audio_io.live.speaker import LiveSpeaker
from audio_io.signal import Position
from tests.fakes.audio import BUILT_IN, USB, FakeBackend, FakeClock

LATENCY = 0.03


class Setup:
    """A speaker whose device and feeder run as time passes, 10 ms at a time."""

    def __init__(self, wanted: str = "usb", latency: float = LATENCY) -> None:
        self.clock = FakeClock()
        self.backend = FakeBackend(USB, BUILT_IN, latency=latency)
        self.speaker = LiveSpeaker(
            wanted, self.backend, clock=self.clock, run=lambda work: work(), feeder=False
        )
        self.rate_error = 0.0
        self._debt = 0.0
        self.out: list[np.ndarray] = []
        self.ticks: list[np.ndarray] = []
        self.rounds = 0

    def run(self, seconds: float, *, pump: bool = True, tick: bool = True) -> None:
        for _ in range(round(seconds * 100)):
            self.clock.now += 0.01
            stream = self.backend.stream
            if stream.active:
                self._debt += stream.rate * 0.01 * (1 + self.rate_error)
                n = int(self._debt)
                self._debt -= n
                self.out.append(stream.play(n))
            if pump:
                self.speaker.pump()
            self.rounds += 1
            if tick and self.rounds % 2 == 0:
                self.ticks.append(self.speaker.tick())

    @property
    def ticked(self) -> np.ndarray:
        return np.concatenate(self.ticks)


def tone(seconds: float) -> np.ndarray:
    time = np.arange(round(24_000 * seconds)) / 24_000
    return (0.5 * np.sin(2 * np.pi * 500 * time)).astype(np.float32)


@pytest.mark.parametrize(("wanted", "rate"), [("usb", 48_000), ("built-in", 44_100)])
def test_the_device_gets_the_sound_at_its_own_rate(wanted: str, rate: int) -> None:
    setup = Setup(wanted)
    setup.speaker.start()
    setup.run(0.2)
    setup.speaker.play(1, tone(1.0))
    setup.run(1.5)
    out = np.concatenate(setup.out)
    first = int(np.argmax(np.abs(out) > 0.02))
    assert first / rate == pytest.approx(0.2 + 0.03, abs=0.005), "waiting silence gives way"
    time = np.arange(rate // 2) / rate
    expected = np.exp(-2j * np.pi * 500 * time)
    middle = out[first + rate // 10 :][: rate // 2]
    assert 2 * abs(np.mean(middle * expected)) == pytest.approx(0.5, abs=1e-3)
    assert not np.isnan(out).any()
    assert setup.speaker.status.starved == 0


def test_ticks_are_the_played_sound_without_a_gap() -> None:
    setup = Setup()
    setup.speaker.start()
    setup.run(0.2)
    setup.speaker.play(1, tone(1.0))
    setup.run(2.0)
    ticked = setup.ticked
    assert len(ticked) == 110 * 480
    first = int(np.flatnonzero(ticked)[0]) - 1  # the tone's own first sample is 0
    np.testing.assert_array_equal(ticked[first : first + 24_000], tone(1.0))
    assert setup.speaker.corrections == 0


def test_played_is_what_the_device_took_less_its_latency() -> None:
    setup = Setup()
    setup.speaker.start()
    assert setup.speaker.played == Position(-1, 0)
    setup.run(0.2)
    setup.speaker.play(7, tone(1.0))
    setup.run(0.5)
    out = np.concatenate(setup.out)
    first = int(np.argmax(np.abs(out) > 0.002))
    taken = (len(out) - first) / 48_000
    played = setup.speaker.played
    assert played.reply_id == 7
    assert played.samples / 24_000 == pytest.approx(taken - LATENCY, abs=0.002)
    setup.run(2.0)
    assert setup.speaker.played == Position(7, 24_000)


def test_ticks_run_ahead_of_the_ear_so_that_the_reference_precedes_the_echo() -> None:
    setup = Setup(latency=0.05)
    setup.speaker.start()
    setup.run(0.2)
    setup.speaker.play(1, np.ones(24_000, np.float32))
    setup.run(0.5)
    assert np.count_nonzero(setup.ticked) > setup.speaker.played.samples


def test_stop_is_silent_within_30_ms_of_the_device() -> None:
    setup = Setup()
    setup.speaker.start()
    setup.speaker.play(1, tone(5.0))
    setup.run(1.0)
    before = np.concatenate(setup.out)
    setup.speaker.stop()
    setup.out.clear()
    setup.run(0.5)
    after = np.concatenate(setup.out)
    last = int(np.flatnonzero(np.abs(after) > 1e-3)[-1])
    assert last / 48_000 < 0.031
    whole = np.concatenate([before, after])
    assert np.abs(np.diff(whole)).max() < 0.05, "a click"
    first = int(np.argmax(np.abs(whole) > 1e-3))
    sounded = (len(before) + last - first) / 48_000
    assert setup.speaker.played.samples / 24_000 == pytest.approx(sounded, abs=0.001)
    setup.run(0.5)
    assert setup.speaker.played.samples / 24_000 == pytest.approx(sounded, abs=0.001)
    ticked = np.flatnonzero(setup.ticked)
    assert (ticked[-1] - ticked[0]) / 24_000 == pytest.approx(sounded, abs=0.001)


def test_after_a_stop_the_next_reply_is_whole() -> None:
    setup = Setup()
    setup.speaker.start()
    setup.speaker.play(1, tone(5.0))
    setup.run(1.0)
    setup.speaker.duck()
    setup.run(0.1)
    setup.speaker.stop()
    setup.run(0.1)
    setup.speaker.play(2, np.full(24_000, 0.5, np.float32))
    setup.ticks.clear()
    setup.out.clear()
    setup.run(2.0)
    assert setup.speaker.played == Position(2, 24_000)
    assert np.count_nonzero(setup.ticked == 0.5) == 24_000
    out = np.concatenate(setup.out)
    assert np.count_nonzero(np.abs(out - 0.5) < 0.01) / 48_000 == pytest.approx(1.0, abs=0.005)
    assert setup.speaker.status.starved == 0


def test_a_late_feeder_is_counted_and_the_ring_grows() -> None:
    setup = Setup()
    setup.speaker.start()
    setup.speaker.play(1, tone(5.0))
    setup.run(0.5)
    assert setup.speaker.status.starved == 0
    setup.run(0.09, pump=False)
    setup.run(0.1)
    starved = setup.speaker.status.starved
    assert starved > 0
    setup.run(0.09, pump=False)
    setup.run(0.1)
    assert setup.speaker.status.starved == starved, "the larger ring bridges the same pause"


def test_a_grown_ring_shrinks_again_after_minutes_without_a_miss() -> None:
    setup = Setup()
    setup.speaker.start()
    setup.run(0.2)
    setup.run(0.2, pump=False)
    setup.run(0.1)

    def filled() -> float:
        line = setup.speaker._device.line
        assert line is not None
        return line.ring.filled / 48_000

    assert filled() > 0.1
    for _ in range(20):
        setup.clock.now += 700.0
        setup.run(0.2)
    assert filled() == pytest.approx(0.07, abs=0.015)


def test_missed_silence_is_not_starvation() -> None:
    setup = Setup()
    setup.speaker.start()
    setup.run(0.2)
    setup.run(0.3, pump=False)
    setup.run(0.1)
    assert setup.speaker.status.starved == 0


@pytest.mark.parametrize("error", [-1500e-6, 1500e-6])
def test_clocks_that_drift_apart_stay_together(error: float) -> None:
    """90 ms in a minute: as much as 300 ppm, worse than any sound card, make in five minutes."""
    setup = Setup()
    setup.rate_error = error
    setup.speaker.start()
    for _ in range(6):
        setup.speaker.play(1, tone(8.0))
        setup.run(10.0)
        setup.ticks.clear()
        setup.out.clear()
    behind = setup.speaker.played.samples
    assert behind == 6 * 8 * 24_000
    assert setup.speaker.corrections <= 2
    setup.speaker.play(2, np.ones(24_000, np.float32))
    setup.run(0.5)
    lag = setup.speaker.played.samples - np.count_nonzero(setup.ticked)
    assert abs(lag) / 24_000 < 0.15


def test_unplugged_the_playout_goes_on_with_the_wall_clock() -> None:
    setup = Setup()
    setup.speaker.start()
    setup.speaker.play(1, tone(10.0))
    setup.run(1.0)
    before = setup.speaker.played.samples
    setup.backend.present.remove(USB)
    setup.backend.stream.broken = True
    setup.run(2.0)
    assert "'USB Headset' is gone: waiting" in setup.speaker.status.message
    assert setup.speaker.played.samples == pytest.approx(before + 2.0 * 24_000, abs=3000)
    setup.backend.present.append(USB)
    setup.run(3.0)
    assert setup.speaker.status.message == "speaker 'USB Headset' is back"
    assert setup.speaker.played.samples == pytest.approx(6.0 * 24_000, abs=7000)
    assert np.abs(setup.out[-1]).max() > 0.4
    setup.run(16.0)
    assert setup.speaker.played == Position(1, 240_000)
    assert setup.speaker.status.message == ""


def test_unplugged_for_long_is_replaced_by_the_default() -> None:
    setup = Setup()
    setup.speaker.start()
    setup.speaker.play(1, tone(10.0))
    setup.run(1.0)
    setup.backend.present.remove(USB)
    setup.backend.stream.broken = True
    setup.run(6.0)
    assert setup.speaker.status.device == "Built-in Audio"
    assert "using 'Built-in Audio' instead" in setup.speaker.status.message
    assert setup.backend.stream.rate == 44_100
    assert np.abs(setup.out[-1]).max() > 0.4


@pytest.mark.parametrize("first_rounds", [0, 2])
def test_a_device_that_stalls_when_it_was_just_opened_is_not_gone(first_rounds: int) -> None:
    """As PulseAudio does for a second, sometimes after it has called back a few times."""
    setup = Setup()
    setup.speaker.start()
    setup.run(first_rounds / 100)
    for _ in range(250):
        setup.clock.now += 0.01
        setup.speaker.pump()
    setup.run(2.0)
    assert len(setup.backend.opened) == 1
    assert setup.speaker.status.message == ""


def test_a_machine_that_slept_does_not_play_its_sleep_at_once() -> None:
    setup = Setup()
    setup.speaker.start()
    setup.speaker.play(1, tone(20.0))
    setup.run(1.0)
    setup.backend.present.clear()
    setup.backend.stream.broken = True
    setup.run(1.0)
    before = setup.speaker.played.samples
    setup.clock.now += 3600.0
    setup.speaker.pump()
    assert setup.speaker.played.samples - before <= 1.02 * 24_000


def test_played_never_falls() -> None:
    setup = Setup()
    setup.speaker.start()
    setup.speaker.play(1, tone(20.0))
    last = 0
    for step in range(300):
        setup.run(0.03)
        if step in (50, 150):
            setup.backend.stream.broken = True
        played = setup.speaker.played.samples
        assert played >= last
        last = played
    assert last > 24_000 * 8


def test_nobody_ticks_and_memory_stays_bounded() -> None:
    setup = Setup()
    setup.speaker.start()
    setup.run(20.0, tick=False)
    setup.speaker.play(1, tone(1.0))
    setup.run(3.0)
    assert np.count_nonzero(setup.ticked) == np.count_nonzero(tone(1.0))


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within 5 s")


def test_a_bug_in_the_feeder_is_told_and_logged_and_the_feeder_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    speaker = LiveSpeaker("usb", FakeBackend(USB))
    speaker.start()
    pump, bugs, rounds = speaker.pump, [ZeroDivisionError("a bug")], []

    def broken_once() -> None:
        if bugs:
            raise bugs.pop()
        pump()
        rounds.append(speaker.status.message)

    monkeypatch.setattr(speaker, "pump", broken_once)
    wait_until(lambda: len(rounds) > 3)
    assert "internal error, restarted" in rounds[-1]
    assert "ZeroDivisionError: a bug" in caplog.text
    assert len(speaker.tick()) == 480
    speaker.close()


def test_a_feeder_that_fails_again_and_again_ends_with_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speaker = LiveSpeaker("usb", FakeBackend(USB))
    speaker.start()
    monkeypatch.setattr(speaker, "pump", lambda: _raise(ZeroDivisionError("a bug")))
    feeder = speaker._feeder
    assert feeder is not None
    wait_until(lambda: feeder.dead)
    with pytest.raises(AudioError, match=r"stopped after repeated internal errors.*start again"):
        speaker.tick()
    speaker.close()


def test_a_bug_in_reopening_the_device_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    setup = Setup()
    setup.speaker.start()
    setup.run(0.2)
    devices, bugs = setup.backend.devices, [ZeroDivisionError("a bug")]
    monkeypatch.setattr(setup.backend, "devices", lambda: _raise(bugs.pop()) if bugs else devices())
    setup.backend.stream.broken = True
    setup.run(0.1)
    assert "is gone: internal error while reopening it" in setup.speaker.status.message
    assert "ZeroDivisionError: a bug" in caplog.text
    setup.run(2.0)
    assert setup.speaker.status.message == "speaker 'USB Headset' is back"


def _raise(error: Exception) -> None:
    raise error


def test_closing_a_slow_device_does_not_hold_up_who_asks_for_its_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setup = Setup()
    setup.speaker.start()
    seen: list[int] = []

    def slow() -> None:
        asking = threading.Thread(target=lambda: seen.append(setup.speaker.played.samples))
        asking.start()
        asking.join(5)

    monkeypatch.setattr(setup.backend.stream, "close", slow)
    setup.speaker.close()
    assert seen == [0]


def test_close_twice_and_no_device() -> None:
    setup = Setup()
    setup.speaker.start()
    setup.speaker.close()
    setup.speaker.close()
    assert setup.backend.stream.closed
    with pytest.raises(DeviceError, match="no output device"):
        LiveSpeaker("", FakeBackend(), feeder=False).start()


@pytest.mark.parametrize("wanted", ["usb", "built-in"])
@pytest.mark.parametrize("ms", [*range(400, 700, 60), *range(700, 801, 10)])
def test_nothing_of_a_reply_is_lost_whenever_its_next_clause_comes(ms: int, wanted: str) -> None:
    """Also when the ring holds the pause after the first one, which is as silent as silence."""
    clause = np.concatenate([tone(0.5), np.zeros(6_720, np.float32)])
    setup = Setup(wanted)
    setup.speaker.start()
    setup.run(0.2)
    setup.speaker.play(1, clause)
    setup.run(ms / 1000)
    setup.speaker.play(1, clause)
    setup.run(2.0)
    assert setup.speaker.played == Position(1, 2 * len(clause))


def test_what_comes_while_it_is_held_waits_also_after_a_gap() -> None:
    setup = Setup()
    setup.speaker.start()
    setup.speaker.play(1, tone(0.5))
    setup.run(1.0)  # the reply has run dry
    setup.speaker.hold()
    setup.run(0.1)
    setup.speaker.play(1, tone(0.5))
    setup.run(1.0)
    assert setup.speaker.played == Position(1, 12_000)
    setup.speaker.resume()
    setup.run(1.0)
    assert setup.speaker.played == Position(1, 24_000)


def test_a_reply_that_ran_dry_has_starved() -> None:
    setup = Setup()
    setup.speaker.start()
    setup.speaker.play(1, tone(0.5))
    setup.run(1.0)
    setup.speaker.play(1, tone(0.5))
    setup.run(1.0)
    out = np.concatenate(setup.out)
    sounded = np.flatnonzero(np.abs(out) > 1e-3)
    gap = np.diff(sounded).max() / 48_000
    assert setup.speaker.status.starved == pytest.approx(gap / 0.02, abs=1.5)
