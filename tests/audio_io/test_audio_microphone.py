from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from audio_io.errors import AudioError, DeviceError
from audio_io.live.devices import Device, permission_hint
from audio_io.live.microphone import LiveMicrophone
from audio_io.live.recovery import Recovery
from tests.fakes.audio import BUILT_IN, USB, FakeBackend, FakeClock


class Setup:
    """A microphone whose device captures whenever the microphone waits."""

    def __init__(self, wanted: str = "", *devices: Device, channels: Sequence[int] = ()) -> None:
        self.clock = FakeClock()
        self.backend = FakeBackend(*(devices or (USB, BUILT_IN)))
        self.running = True
        self.sound: Callable[[np.ndarray], np.ndarray] = lambda time: np.sin(2 * np.pi * 440 * time)
        self.captured = 0.0
        self.microphone = LiveMicrophone(
            wanted,
            self.backend,
            channels=channels,
            clock=self.clock,
            sleep=self.sleep,
            run=lambda work: work(),
        )

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        stream = self.backend.stream
        if self.running and stream.active:
            n = round(seconds * stream.rate)
            time = self.captured + np.arange(n) / stream.rate
            self.captured += n / stream.rate
            stream.capture(self.sound(time))

    def read(self, n: int) -> np.ndarray:
        frames = [self.microphone.read(1.0) for _ in range(n)]
        assert all(frame is not None and frame.shape == (320,) for frame in frames)
        return np.concatenate([frame for frame in frames if frame is not None])


@pytest.mark.parametrize("wanted", ["usb", "built-in"])
def test_frames_are_the_sound_at_16_khz(wanted: str) -> None:
    setup = Setup(wanted)
    setup.microphone.start()
    got = setup.read(50)
    assert got.dtype == np.float32
    # The low-latency resampler shifts by less than half a millisecond: find the phase first.
    time = np.arange(len(got)) / 16_000
    basis = np.stack([np.sin(2 * np.pi * 440 * time), np.cos(2 * np.pi * 440 * time)], axis=1)
    inner = slice(1000, None)
    weights, *_ = np.linalg.lstsq(basis[inner], got[inner], rcond=None)
    np.testing.assert_allclose(basis[inner] @ weights, got[inner], atol=1e-3)
    assert np.hypot(*weights) == pytest.approx(1, abs=1e-3)
    assert abs(np.arctan2(weights[1], weights[0])) / (2 * np.pi * 440) < 0.0005
    assert setup.microphone.status.device.lower().startswith(wanted)
    assert setup.microphone.status.message == ""


def on_input(number: int) -> Callable[[np.ndarray], np.ndarray]:
    """Bursts of a tone on one input of an interface with eight; a hum on the second."""

    def sound(time: np.ndarray) -> np.ndarray:
        frames = np.zeros((len(time), 8))
        frames[:, 1] = 0.3 * np.sin(2 * np.pi * 50 * time)
        frames[:, number - 1] += np.sin(2 * np.pi * 440 * time) * (time % 0.3 < 0.2)
        return frames

    return sound


INTERFACE = Device(2, "Interface", "ALSA", 8, 0, 48_000, True)


@pytest.mark.parametrize("channels", [(), (7,)])
def test_a_microphone_on_input_7_of_8_is_heard(channels: tuple[int, ...]) -> None:
    setup = Setup("", INTERFACE, channels=channels)
    setup.sound = on_input(7)
    setup.microphone.start()
    assert np.abs(setup.read(50)).max() == pytest.approx(1.0, abs=0.02)


def test_a_channel_that_is_not_there_is_an_error_at_start() -> None:
    with pytest.raises(AudioError, match="channel 9, but there are only 8"):
        Setup("", INTERFACE, channels=(1, 9)).microphone.start()


def test_a_device_that_lacks_the_channel_replaces_a_lost_one() -> None:
    setup = Setup("interface", INTERFACE, BUILT_IN, channels=(7,))
    setup.microphone.start()
    setup.backend.present.remove(INTERFACE)
    setup.backend.stream.broken = True
    setup.sound = lambda time: np.sin(2 * np.pi * 440 * time)
    setup.read(250)
    assert "using 'Built-in Audio' instead" in setup.microphone.status.message
    assert np.abs(setup.read(50)).max() == pytest.approx(1.0, abs=0.02)


def test_read_waits_no_longer_than_its_timeout() -> None:
    setup = Setup()
    setup.microphone.start()
    setup.running = False
    before = setup.clock.now
    assert setup.microphone.read(0.1) is None
    assert setup.clock.now == pytest.approx(before + 0.1)
    assert not setup.microphone.ended


def test_frames_come_at_the_pace_of_the_device() -> None:
    setup = Setup()
    setup.microphone.start()
    begin = setup.clock.now
    setup.read(1)
    first = setup.clock.now
    assert first - begin < 0.06
    setup.read(500)
    assert setup.clock.now - first == pytest.approx(10.0, abs=0.03)


def test_a_reader_that_sleeps_loses_counted_samples() -> None:
    setup = Setup("usb")
    setup.microphone.start()
    setup.backend.stream.capture(np.ones(48_000 * 6))
    assert setup.microphone.status.dropped == 16_000
    setup.read(200)


def test_no_device() -> None:
    backend = FakeBackend()
    with pytest.raises(DeviceError, match="no input device"):
        LiveMicrophone("", backend).start()


def test_only_zeros_for_three_seconds_gives_the_permission_hint() -> None:
    setup = Setup()
    setup.sound = np.zeros_like
    setup.microphone.start()
    setup.read(140)
    assert setup.microphone.status.message == ""
    setup.read(15)
    assert permission_hint() in setup.microphone.status.message
    setup.sound = lambda time: np.full_like(time, 1e-4)
    setup.read(5)
    assert setup.microphone.status.message == ""


def test_zeros_after_sound_are_a_microphone_that_gates_its_noise() -> None:
    setup = Setup("usb")
    setup.microphone.start()
    setup.read(5)
    setup.sound = np.zeros_like
    setup.read(300)
    assert setup.microphone.status.message == ""
    setup.backend.stream.broken = True  # a look for devices, say: the same one is opened again
    setup.read(50 * 20)
    assert len(setup.backend.opened) == 2
    assert setup.microphone.status.message == ""


def test_unplugged_then_back() -> None:
    setup = Setup("usb")
    setup.microphone.start()
    begin = setup.clock.now
    setup.read(50)
    setup.backend.present.remove(USB)
    setup.backend.stream.broken = True
    got = setup.read(50)
    assert "'USB Headset' is gone: waiting" in setup.microphone.status.message
    assert not got[320 * 3 :].any()
    # The conversation's time went on with the wall clock.
    assert setup.clock.now - begin == pytest.approx(2.0, abs=0.05)
    setup.backend.present.append(USB)
    got = setup.read(150)
    assert setup.microphone.status.message == "microphone 'USB Headset' is back"
    assert got[-320:].any()
    assert setup.clock.now - begin == pytest.approx(5.0, abs=0.1)
    setup.read(50 * 16)
    assert setup.microphone.status.message == ""


def test_unplugged_for_long_is_replaced_by_the_default() -> None:
    setup = Setup("usb")
    setup.microphone.start()
    setup.read(10)
    setup.backend.present.remove(USB)
    setup.backend.stream.broken = True
    setup.read(50 * 2)
    assert "waiting" in setup.microphone.status.message
    got = setup.read(50 * 4)
    assert setup.microphone.status.message == (
        "microphone 'USB Headset' is gone: using 'Built-in Audio' instead"
    )
    assert setup.microphone.status.device == "Built-in Audio"
    assert got[-320:].any()


def test_the_default_is_followed_without_waiting() -> None:
    setup = Setup("")
    setup.microphone.start()
    setup.read(10)
    setup.backend.refusing.add("Built-in Audio")
    setup.backend.stream.broken = True
    setup.read(5)
    assert "waiting" in setup.microphone.status.message
    setup.backend.refusing.clear()
    setup.read(50)
    assert setup.microphone.status.message == "microphone 'Built-in Audio' is back"


def test_a_stalled_callback_counts_as_gone_and_its_time_is_filled() -> None:
    setup = Setup("usb")
    setup.microphone.start()
    begin = setup.clock.now
    setup.read(200)
    setup.running = False
    setup.backend.refusing.add("USB Headset")
    setup.read(100)
    assert "gone" in setup.microphone.status.message
    assert setup.clock.now - begin == pytest.approx(6.0, abs=0.05)


def test_a_stream_that_was_just_opened_may_stall_for_a_second() -> None:
    setup = Setup("usb")
    setup.microphone.start()
    setup.read(10)
    setup.running = False
    assert setup.microphone.read(2.5) is None
    setup.running = True
    setup.read(100)
    assert setup.microphone.status.message == ""


def test_nothing_available_for_minutes_keeps_giving_silence() -> None:
    setup = Setup("usb")
    setup.microphone.start()
    setup.backend.present.clear()
    setup.backend.stream.broken = True
    begin = setup.clock.now
    setup.read(50 * 120)
    assert setup.clock.now - begin == pytest.approx(120, abs=0.1)
    assert setup.backend.rescans == 7  # each one interrupts the other device
    setup.backend.present.append(USB)
    setup.read(50 * 5)  # the next look is after 121 s
    assert setup.microphone.status.message == "microphone 'USB Headset' is back"


def test_looks_for_a_missing_device_become_rare() -> None:
    setup = Setup("usb")
    setup.microphone.start()
    setup.backend.present.clear()
    setup.backend.stream.broken = True
    begin, looks = setup.clock.now, list[float]()
    for _ in range(50 * 130):
        before = setup.backend.rescans
        setup.read(1)
        if setup.backend.rescans > before:
            looks.append(setup.clock.now - begin)
    np.testing.assert_allclose(looks, [1, 3, 7, 15, 31, 61, 91, 121], atol=0.2)


def test_close_while_a_device_is_being_opened_closes_that_too() -> None:
    setup = Setup("usb")
    work: list[Callable[[], None]] = []
    setup.microphone = LiveMicrophone(
        "usb", setup.backend, clock=setup.clock, sleep=setup.sleep, run=work.append
    )
    setup.microphone.start()
    setup.backend.stream.broken = True
    setup.read(5)
    setup.microphone.close()
    for task in work:
        task()
    assert len(setup.backend.opened) == 2
    assert all(stream.closed for stream in setup.backend.opened)
    setup.microphone.close()
    assert setup.microphone.ended
    assert setup.microphone.read(1.0) is None


def test_a_device_that_stays_away_for_hours_is_still_looked_for() -> None:
    backend, clock = FakeBackend(), FakeClock()
    recovery = Recovery(backend, "input", USB, clock(), False, lambda work: work())
    for _ in range(1100):
        assert recovery.poll(clock()) is None
        clock.now += 30
    assert backend.rescans == 1099
    backend.present.append(USB)
    assert recovery.poll(clock()) is None  # begins the attempt
    line = recovery.poll(clock())
    assert line is not None
    assert line.device == USB
