from __future__ import annotations

import builtins
import threading
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from audio_io.errors import DeviceError
from audio_io.live.devices import (
    Device,
    PortAudio,
    find_device,
    install_hint,
    permission_hint,
    stable_name,
)
from audio_io.live.ring import Ring

MIC = Device(0, "USB Mic", "ALSA", 1, 0, 48_000)
HEADSET = Device(1, "USB Headset", "ALSA", 1, 2, 44_100, default_input=True)
SPEAKERS = Device(2, "Speakers", "ALSA", 0, 2, 48_000, default_output=True)
SAME = Device(3, "Speakers", "JACK", 0, 2, 48_000)
ALL = [MIC, HEADSET, SPEAKERS, SAME]


@pytest.mark.parametrize(
    ("wanted", "kind", "device"),
    [
        ("", "input", HEADSET),
        ("", "output", SPEAKERS),
        ("0", "input", MIC),
        (" 2 ", "output", SPEAKERS),
        ("usb mic", "input", MIC),
        ("headset", "output", HEADSET),
        ("usb", "output", HEADSET),  # unique among the outputs
        ("speakers, jack", "output", SAME),
        ("jack", "output", SAME),
    ],
)
def test_find(wanted: str, kind: Any, device: Device) -> None:
    assert find_device(ALL, wanted, kind) == device


@pytest.mark.parametrize(
    ("wanted", "kind", "message"),
    [
        ("usb", "input", r"more than one .* 'usb': 0: USB Mic, ALSA; 1: USB Headset, ALSA$"),
        ("speakers", "output", "more than one"),
        ("banana", "input", r"no input device matches 'banana'; there are: 0: USB Mic.*1: USB"),
        ("2", "input", "no input device has id 2"),
        ("99", "output", "no output device has id 99"),
    ],
)
def test_what_is_not_one_device_lists_the_candidates(wanted: str, kind: Any, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        find_device(ALL, wanted, kind)


def test_an_exact_name_wins_over_a_part_of_another() -> None:
    long = replace(MIC, id=5, name="USB Mic Pro")
    assert find_device([MIC, long], "usb mic", "input") == MIC


def test_no_device_and_no_default() -> None:
    with pytest.raises(DeviceError, match="no input device found"):
        find_device([SPEAKERS], "", "input")
    with pytest.raises(DeviceError, match=r"no default input device; choose one of: 0: USB Mic"):
        find_device([MIC], "", "input")


def test_a_name_to_remember_means_the_same_device_again() -> None:
    assert stable_name(MIC, ALL, "input") == "USB Mic"
    assert stable_name(SAME, ALL, "output") == "Speakers, JACK"
    for device in (SPEAKERS, SAME):
        assert find_device(ALL, stable_name(device, ALL, "output"), "output") == device


TWINS = [replace(MIC, id=id_) for id_ in (5, 7, 9)]


@pytest.mark.parametrize("device", TWINS)
def test_each_of_several_equal_devices_has_a_name_to_remember(device: Device) -> None:
    devices = [HEADSET, *TWINS, SPEAKERS]
    name = stable_name(device, devices, "input")
    assert find_device(devices, name, "input") == device
    with pytest.raises(DeviceError, match="more than one"):
        find_device(devices, "USB Mic", "input")


@pytest.mark.parametrize("wanted", ["usb mic, alsa #4", "usb mic, alsa #0", "usb mic #x", "#1"])
def test_there_is_no_such_one_of_several(wanted: str) -> None:
    with pytest.raises(DeviceError, match="no input device matches"):
        find_device([*TWINS, HEADSET], wanted, "input")


def test_a_name_may_look_like_one_of_several() -> None:
    second = replace(MIC, id=5, name="Line #2")
    assert find_device([MIC, second], "line #2", "input") == second
    assert find_device([MIC, second], stable_name(second, [MIC, second], "input"), "input")


@pytest.mark.parametrize("names", [("MIC", "mic"), ("1", "0"), ("Mic", ""), ("Mic", "Mic 2")])
def test_any_name_can_be_remembered(names: tuple[str, str]) -> None:
    devices = [replace(MIC, id=id_, name=name) for id_, name in enumerate(names)]
    for device in devices:
        assert find_device(devices, stable_name(device, devices, "input"), "input") == device


def test_hints_exist_for_every_platform() -> None:
    assert "apt install libportaudio2" in install_hint("linux")
    assert "brew install portaudio" in install_hint("darwin")
    assert "sounddevice again" in install_hint("win32")
    assert "PortAudio" in install_hint("freebsd14")
    assert "Privacy" in permission_hint("darwin")
    assert "muted" in permission_hint("linux")


class FakePortAudioError(Exception):
    pass


class FakeCallbackAbort(Exception):
    pass


class FakeSoundDevice:
    """As much of the sounddevice module as is used."""

    PortAudioError = FakePortAudioError
    CallbackAbort = FakeCallbackAbort

    def __init__(self) -> None:
        self.default = SimpleNamespace(device=[0, 1])
        self.made: list[SimpleNamespace] = []
        self.refused_channels: set[int] = set()
        self.rates: set[int] | None = None
        self.restarts = 0
        self.running = True
        self.broken = False

    def query_hostapis(self) -> Any:
        return ({"name": "ALSA"},)

    def query_devices(self) -> Any:
        common = {"hostapi": 0, "default_samplerate": 48_000.0}
        return [
            {"name": "Array\nmic ", "max_input_channels": 4, "max_output_channels": 0, **common},
            {"name": "Out", "max_input_channels": 0, "max_output_channels": 8, **common},
        ]

    def _stream(self, **options: Any) -> Any:
        if options["channels"] in self.refused_channels:
            raise FakePortAudioError("Invalid number of channels", -9998)
        if self.rates is not None and options["samplerate"] not in self.rates:
            raise FakePortAudioError("Invalid sample rate", -9997)
        stream = SimpleNamespace(**options, active=False, closed=False)
        stream.latency = 0.05

        def start() -> None:
            assert not stream.closed, "PortAudio is given a stream that it has freed"
            stream.active = True

        stream.start = start

        def close() -> None:
            if stream.closed:
                raise FakePortAudioError("closed twice")
            stream.closed, stream.active = True, False

        stream.close = close
        self.made.append(stream)
        return stream

    InputStream = OutputStream = _stream

    def _terminate(self) -> None:
        assert all(stream.closed for stream in self.made), "open streams would dangle"
        if not self.running:
            raise FakePortAudioError("PortAudio not initialized")
        self.running = False

    def _initialize(self) -> None:
        if self.broken:
            raise FakePortAudioError("Internal PortAudio error")
        self.running = True
        self.restarts += 1


def test_portaudio_lists_devices() -> None:
    mic, out = PortAudio(FakeSoundDevice()).devices()
    assert mic == Device(0, "Array mic", "ALSA", 4, 0, 48_000, default_input=True)
    assert out == Device(1, "Out", "ALSA", 0, 8, 48_000, default_output=True)


def test_portaudio_opens_at_the_devices_own_rate() -> None:
    fake = FakeSoundDevice()
    backend = PortAudio(fake)
    got: list[np.ndarray] = []
    stream = backend.open(backend.devices()[0], "input", got.append)
    assert (stream.rate, stream.channels, stream.latency) == (48_000, 4, 0.05)
    assert not stream.active
    stream.start()
    assert stream.active
    block = np.ones((480, 4), np.float32)
    fake.made[0].callback(block, 480, None, None)
    assert got[0] is block
    stream.close()
    stream.close()
    assert not stream.active


def test_portaudio_takes_a_sound_servers_limit_for_no_number_of_inputs() -> None:
    backend = PortAudio(FakeSoundDevice())
    device = replace(backend.devices()[0], inputs=32)
    assert backend.open(device, "input", print).channels == 2


def test_portaudio_tries_other_channel_counts_then_says_why() -> None:
    fake = FakeSoundDevice()
    backend = PortAudio(fake)
    fake.refused_channels = {4}
    assert backend.open(backend.devices()[0], "input", print).channels == 2
    fake.refused_channels = {2}
    assert backend.open(backend.devices()[0], "input", print).channels == 4
    assert backend.open(backend.devices()[1], "output", print).channels == 8
    fake.refused_channels = {1, 2, 4}
    with pytest.raises(DeviceError, match=r"cannot open input device 'Array mic' .*Invalid number"):
        backend.open(backend.devices()[0], "input", print)


@pytest.mark.parametrize("rate", [44_100, 32_000, 16_000, 8_000])
@pytest.mark.parametrize("refused_channels", [set(), {4}])
def test_a_device_that_refuses_its_own_rate_is_opened_at_another(
    rate: int, refused_channels: set[int]
) -> None:
    fake = FakeSoundDevice()
    fake.rates, fake.refused_channels = {rate}, refused_channels
    backend = PortAudio(fake)
    stream = backend.open(backend.devices()[0], "input", print)
    assert stream.rate == rate
    assert (fake.made[0].samplerate, fake.made[0].blocksize) == (rate, rate // 100)


def test_a_device_that_names_no_rate_is_opened_at_a_usual_one() -> None:
    backend = PortAudio(FakeSoundDevice())
    assert backend.open(replace(backend.devices()[0], rate=0), "input", print).rate == 48_000


def test_a_device_without_any_usual_rate_is_told() -> None:
    fake = FakeSoundDevice()
    fake.rates = {12_345}
    backend = PortAudio(fake)
    with pytest.raises(DeviceError, match=r"at 48000 Hz .*Invalid sample rate"):
        backend.open(backend.devices()[0], "input", print)


def test_a_busy_device_is_not_tried_at_other_rates() -> None:
    fake, tried = FakeSoundDevice(), []

    def busy(**options: Any) -> Any:
        tried.append(options["samplerate"])
        raise FakePortAudioError("Device unavailable", -9985)

    fake.InputStream = busy
    backend = PortAudio(fake)
    with pytest.raises(DeviceError, match="Device unavailable"):
        backend.open(backend.devices()[0], "input", print)
    assert set(tried) == {48_000}


def test_a_bug_in_a_callback_is_logged_and_stops_the_stream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fake = FakeSoundDevice()
    backend = PortAudio(fake)

    def broken(frames: object) -> None:
        raise ZeroDivisionError("a bug")

    backend.open(backend.devices()[0], "input", broken)
    with pytest.raises(FakeCallbackAbort):
        fake.made[0].callback(np.zeros((4, 2), np.float32), 4, None, None)
    assert "ZeroDivisionError: a bug" in caplog.text


def test_asking_whether_a_stream_is_active_does_not_wait_for_its_closing() -> None:
    """A recovery thread may close the other device's stream, which can take a second."""
    fake = FakeSoundDevice()
    backend = PortAudio(fake)
    stream = backend.open(backend.devices()[1], "output", print)
    stream.start()
    closing, go_on, close = threading.Event(), threading.Event(), fake.made[0].close

    def slow() -> None:
        closing.set()
        go_on.wait(10)
        close()

    fake.made[0].close = slow
    thread = threading.Thread(target=stream.close)
    thread.start()
    assert closing.wait(10)
    assert not stream.active
    assert thread.is_alive()
    go_on.set()
    thread.join(10)


def test_rescan_closes_what_is_open_and_starts_again() -> None:
    fake = FakeSoundDevice()
    backend = PortAudio(fake)
    stream = backend.open(backend.devices()[1], "output", print)
    stream.start()
    backend.rescan()
    assert not stream.active
    assert fake.restarts == 1
    stream.close()


def test_a_stream_that_a_rescan_closed_is_not_started() -> None:
    """Microphone and speaker look for their device at the same time when a headset is unplugged."""
    fake = FakeSoundDevice()
    backend = PortAudio(fake)
    stream = backend.open(backend.devices()[1], "output", print)
    backend.rescan()
    with pytest.raises(DeviceError, match="closed before it was started"):
        stream.start()
    assert not stream.active


def test_a_sound_system_that_was_away_is_found_again() -> None:
    fake = FakeSoundDevice()
    backend = PortAudio(fake)
    fake.broken = True
    with pytest.raises(DeviceError, match="cannot restart PortAudio"):
        backend.rescan()
    fake.broken = False
    backend.rescan()
    assert (fake.running, fake.restarts) == (True, 1)


def test_missing_portaudio_is_an_error_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DeviceError, match=r"PortAudio library not found.*install"):
        PortAudio()


def test_the_ring_of_an_open_device_leaves_no_hole_in_the_heap() -> None:
    tracemalloc.start()
    try:
        ring = Ring(240_000, 2)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    ring.write(np.ones((240_000, 2), np.float32))
    assert ring.read().all()
    assert taken < 100_000


def test_ring_wraps_overruns_and_underruns() -> None:
    ring = Ring(5, 1)
    ring.write(np.array([[1], [2], [3]], np.float32))
    out = np.empty((2, 2), np.float32)
    ring.read_into(out)
    np.testing.assert_array_equal(out, [[1, 1], [2, 2]])
    ring.write(np.array([[4], [5], [6], [7], [8], [9]], np.float32))
    assert (ring.filled, ring.overrun) == (5, 2)
    np.testing.assert_array_equal(ring.read()[:, 0], [3, 4, 5, 6, 7])
    assert ring.underruns == 0
    ring.read_into(out)
    assert not out.any()
    assert (ring.underruns, ring.consumed) == (1, 7)


def test_ring_cut_keeps_a_little_and_fades_it_out() -> None:
    ring = Ring(10, 1)
    ring.write(np.zeros((8, 1), np.float32))
    ring.read()
    ring.write(np.ones((9, 1), np.float32))
    ring.cut(keep=5, fade=4)
    assert ring.produced == 13
    np.testing.assert_allclose(ring.read()[:, 0], [1, 0.75, 0.5, 0.25, 0])
    ring.write(np.ones((2, 1), np.float32))
    ring.cut(keep=5, fade=4)
    np.testing.assert_allclose(ring.read()[:, 0], [0.5, 0])
