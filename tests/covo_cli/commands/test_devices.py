"""``covo devices`` on a sound system without sound."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from audio_io.errors import DeviceError
from audio_io.live.devices import Callback, Device, Kind
from covo_cli.commands import devices as command
from covo_cli.settings.settings import load_settings
from tests.fakes.audio import BUILT_IN, USB, FakeBackend, FakeStream


class RunningStream(FakeStream):
    """Calls back by itself, faster than real time."""

    sound: Callable[[int], np.ndarray] = staticmethod(np.zeros)

    def start(self) -> None:
        super().start()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        n = self.rate // 100
        while self.active:
            if self.kind == "input":
                self.capture(self.sound(n))
            else:
                self.play(n)
            time.sleep(0.001)


class RunningBackend(FakeBackend):
    """Whose streams run."""

    def open(self, device: Device, kind: Kind, callback: Callback) -> FakeStream:
        super().open(device, kind, callback)
        stream = RunningStream(device, kind, callback, self.latency)
        stream.sound = self.sound
        self.opened[-1] = stream
        return stream

    sound: Callable[[int], np.ndarray] = staticmethod(np.zeros)


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningBackend]:
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("COVO_AUDIO_INPUT", "COVO_AUDIO_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    fake = RunningBackend(USB, BUILT_IN)
    monkeypatch.setattr(command, "_backend", lambda: fake)
    yield fake
    for stream in fake.opened:
        assert stream.closed, "a device was left open"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command.app, list(arguments))


@pytest.mark.usefixtures("backend")
def test_the_table_shows_each_device_and_the_defaults() -> None:
    result = run()
    assert result.exit_code == 0
    usb, built_in = result.output.splitlines()[1:3]
    assert usb.split() == ["0", "USB", "Headset", "ALSA", "1", "2", "48000", "Hz"]
    assert "44100 Hz" in built_in
    assert "input (system default), output (system default)" in built_in


@pytest.mark.usefixtures("backend")
def test_use_remembers_by_name_and_the_list_shows_it() -> None:
    result = run("use", "--input", "usb", "--output", "1")
    assert result.exit_code == 0
    audio = load_settings().audio
    assert (audio.input, audio.output) == ("USB Headset", "Built-in Audio")
    records = json.loads(run("--json").output)
    assert [r["used_for_input"] for r in records] == [True, False]
    assert [r["used_for_output"] for r in records] == [False, True]
    assert records[0]["name"] == "USB Headset"
    assert records[0]["rate"] == 48_000
    assert run("use", "--input", "").exit_code == 0
    assert load_settings().audio.input == ""


def test_use_refuses_what_is_unknown_or_does_not_open(backend: RunningBackend) -> None:
    result = run("use", "--input", "usb", "--output", "banana")
    assert isinstance(result.exception, DeviceError)
    assert "banana" in str(result.exception)
    backend.refusing.add("USB Headset")
    result = run("use", "--input", "usb")
    assert isinstance(result.exception, DeviceError)
    assert load_settings().audio.input == "", "nothing was remembered"
    assert "name a device" in str(run("use").exception)


def test_a_remembered_device_that_is_away_is_said(backend: RunningBackend) -> None:
    run("use", "--input", "usb")
    backend.visible = [BUILT_IN]
    result = run()
    assert result.exit_code == 0
    assert "input device 'USB Headset' of the settings is not connected" in result.output


def test_no_devices_at_all(backend: RunningBackend) -> None:
    backend.visible = []
    assert "No sound devices" in run().output
    assert json.loads(run("--json").output) == []
    assert isinstance(run("test").exception, DeviceError)


def test_test_plays_and_measures(backend: RunningBackend) -> None:
    backend.sound = lambda n: np.full(n, 0.1)
    result = run("test", "--input", "usb")
    assert result.exit_code == 0, result.output
    assert "speaker: Built-in Audio" in result.output
    assert "microphone: USB Headset" in result.output
    assert "mean -20 dBFS: good" in result.output


@pytest.mark.usefixtures("backend")
def test_test_says_that_the_microphone_is_silent() -> None:
    result = run("test")
    assert result.exit_code == 1
    assert "delivers only zeros" in result.output
