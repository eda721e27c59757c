"""A virtual sound card: PulseAudio with two null sinks, one to be heard, one to speak into.

No kernel module, no D-Bus, no root needed. Where it cannot be set up the test is skipped, with the
reason. PortAudio reads the environment when it starts, so what uses the card runs as a program of
its own (:meth:`VirtualCard.python`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests import ROOT

RATE = 48_000

_CONFIG = """\
load-module module-native-protocol-unix auth-anonymous=1 socket={socket}
load-module module-null-sink sink_name=vspk rate=48000
load-module module-null-sink sink_name=vmic rate=48000
load-module module-remap-source master=vmic.monitor source_name=virtmic
set-default-sink vspk
set-default-source virtmic
"""
_TOOLS = ("pulseaudio", "pactl", "paplay", "parec")
_OPTIONS = ("--daemonize=no", "--exit-idle-time=-1", "--disable-shm=yes", "--use-pid-file=no")
_START_SECONDS = 10.0


@dataclass
class Recording:
    """What the card's loudspeaker plays; ``samples`` is there when the recording is over."""

    began: float
    """time.monotonic() when the recorder was started."""
    samples: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass(frozen=True)
class VirtualCard:
    """A running card. Its loudspeaker is the default output, its microphone the default input."""

    environment: dict[str, str]

    def speak(self, wav: Path) -> subprocess.Popen[bytes]:
        """Begin to play ``wav`` into the microphone, as the person speaking."""
        return subprocess.Popen(["paplay", "--device=vmic", str(wav)], env=self.environment)

    @contextmanager
    def listening(self, folder: Path) -> Iterator[Recording]:
        """Record the loudspeaker, mono float32 at 48 kHz, while the block runs."""
        raw = folder / "heard.raw"
        command = ["parec", "-d", "vspk.monitor", "--format=float32le", "--channels=1"]
        with raw.open("wb") as out:
            process = subprocess.Popen(
                [*command, f"--rate={RATE}", "--latency-msec=20"], env=self.environment, stdout=out
            )
            recording = Recording(time.monotonic())
            try:
                wait_for(lambda: raw.stat().st_size > 0, "parec to record")
                yield recording
            finally:
                process.terminate()
                process.wait(10)
        whole = raw.stat().st_size // 4
        recording.samples = np.fromfile(raw, np.float32, whole)

    @contextmanager
    def loopback(self) -> Iterator[None]:
        """The microphone hears the loudspeaker, as on a table, while the block runs."""
        load = ["pactl", "load-module", "module-loopback", "source=vspk.monitor", "sink=vmic"]
        done = subprocess.run(
            [*load, "latency_msec=20"],
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        )
        try:
            yield
        finally:
            unload = ["pactl", "unload-module", done.stdout.strip()]
            subprocess.run(unload, env=self.environment, check=True)

    def python(self, code: str, *arguments: str, timeout: float = 60.0) -> str:
        """Run a Python program that uses the card; what it printed."""
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=self.environment,
            cwd=ROOT,
            timeout=timeout,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def wait_for(happened: object, what: str, seconds: float = _START_SECONDS) -> None:
    """Wait until ``happened()`` is true. Raises: TimeoutError."""
    assert callable(happened)
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


@contextmanager
def virtual_card(folder: Path) -> Iterator[VirtualCard]:
    """Run a :class:`VirtualCard`, which keeps its files in ``folder``, while the block runs."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no virtual sound card: {', '.join(missing)} not installed (PulseAudio)")
    folder.chmod(0o700)
    socket = folder / "native"
    if len(str(socket)) > 100:
        pytest.skip(f"no virtual sound card: the path {socket} is too long for a socket")
    config = folder / "null.pa"
    config.write_text(_CONFIG.format(socket=socket))
    (folder / ".asoundrc").write_text("pcm.!default pulse\nctl.!default pulse\n")
    environment = {
        **os.environ,
        "HOME": str(folder),
        "PULSE_RUNTIME_PATH": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PULSE_SERVER": f"unix:{socket}",
    }
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["pulseaudio", "-n", "-F", str(config), *_OPTIONS],
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        card = VirtualCard(environment)
        try:
            wait_for(lambda: _answers(process, environment), "PulseAudio")
        except (TimeoutError, RuntimeError) as error:
            pytest.skip(f"no virtual sound card: {error}: {log.read_text()[-500:]}")
        reason = _portaudio_problem(card)
        if reason:
            pytest.skip(f"no virtual sound card: {reason}")
        yield card
    finally:
        process.terminate()
        process.wait(10)


def _answers(process: subprocess.Popen[bytes], environment: dict[str, str]) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"PulseAudio ended with exit code {process.returncode}")
    info = subprocess.run(["pactl", "info"], env=environment, capture_output=True, check=False)
    return info.returncode == 0


def _portaudio_problem(card: VirtualCard) -> str:
    code = (
        "import sounddevice as sd\n"
        "print([d['name'] for d in sd.query_devices()], sd.default.device)\n"
        "sd.query_devices(kind='input'), sd.query_devices(kind='output')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=card.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else f"PortAudio sees no device: {done.stderr.strip()[-200:]}"
