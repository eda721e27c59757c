"""Sound devices: list them, choose one, open it.

:class:`Backend` is what microphone and speaker need of a sound system; :class:`PortAudio` is the
real one. PortAudio is loaded only when a device is used, so that file mode works without it.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, Protocol

from audio_io.errors import DeviceError
from audio_io.live.ring import Frames

Kind = Literal["input", "output"]
BLOCK_S = 0.01
LATENCY_S = 0.04
"""Latency asked of PortAudio: low enough for interruptions, high enough for a busy machine."""

_SERVER_CHANNELS = 32
"""From this number on it is a sound server's own limit (PulseAudio 32, PipeWire 64 or 128), and no
number of inputs."""

_OTHER_RATES = (48_000, 44_100, 32_000, 16_000, 8_000)
"""Rates to try where a device refuses the one that it names as its own."""
_INVALID_RATE = -9997
"""PortAudio's ``paInvalidSampleRate``."""

_ORDINAL = re.compile(r"(.+) #(\d+)")
"""A name that several devices have, and which of them is meant."""

log = logging.getLogger(__name__)

_INSTALL = {
    "linux": "sudo apt install libportaudio2 (or your system's PortAudio package)",
    "darwin": "brew install portaudio, or install the package sounddevice again",
    "win32": "install the package sounddevice again",
}
_PERMISSION = {
    "linux": "check that it is not muted (pavucontrol, alsamixer) and that it is the right device",
    "darwin": "allow your terminal under System Settings > Privacy & Security > Microphone",
    "win32": "allow desktop apps under Settings > Privacy & security > Microphone",
}


@dataclass(frozen=True, slots=True)
class Device:
    """A sound device: ``inputs`` and ``outputs`` count channels, ``rate`` is its own in Hz."""

    id: int
    name: str
    host_api: str
    inputs: int
    outputs: int
    rate: int
    default_input: bool = False
    default_output: bool = False

    def channels(self, kind: Kind) -> int:
        """Return the number of channels in that direction; 0 when it has none."""
        return self.inputs if kind == "input" else self.outputs

    def is_default(self, kind: Kind) -> bool:
        """Return whether it is the system's default in that direction."""
        return self.default_input if kind == "input" else self.default_output


class Stream(Protocol):
    """An open device with its own ``latency`` in seconds."""

    rate: int
    channels: int
    latency: float

    def start(self) -> None:
        """Start calling back. Raises: DeviceError."""

    @property
    def active(self) -> bool:
        """Whether it still calls back."""

    def close(self) -> None:
        """Stop and release the device. Safe to call twice, and from any thread."""


Callback = Callable[[Frames], None]
"""Copies captured frames, or fills frames to be played, of shape (frames, channels).

Runs on the sound system's thread, so it must not wait."""


class Backend(Protocol):
    """A sound system."""

    def devices(self) -> Sequence[Device]:
        """Return all devices. Raises: DeviceError."""

    def open(self, device: Device, kind: Kind, callback: Callback) -> Stream:
        """Open ``device`` without starting it. Raises: DeviceError."""

    def rescan(self) -> None:
        """Scan for devices again, which may close every open stream. Raises: DeviceError."""


def install_hint(platform: str = sys.platform) -> str:
    """Return how to install PortAudio."""
    return _INSTALL.get(platform, "install PortAudio with your system's package manager")


def permission_hint(platform: str = sys.platform) -> str:
    """Return what to do about a microphone that delivers only zeros."""
    return _PERMISSION.get(platform, _PERMISSION["linux"])


def usable(devices: Sequence[Device], kind: Kind) -> list[Device]:
    """Return the devices that have channels in that direction."""
    return [device for device in devices if device.channels(kind) > 0]


def find_device(devices: Sequence[Device], wanted: str, kind: Kind) -> Device:
    """Return the device that ``wanted`` names.

    ``wanted`` is an id, a unique part of "name, host API" in any case, "name, host API #2" for the
    second of several that are called so, or "" for the system's default. Raises: DeviceError that
    lists the candidates.
    """
    candidates = usable(devices, kind)
    if not candidates:
        raise DeviceError(
            f"no {kind} device found: plug one in, or use files (covo chat --input FILE)"
        )
    wanted = wanted.strip()
    if not wanted:
        matches = [device for device in candidates if device.is_default(kind)]
        problem = f"the system has no default {kind} device; choose one of"
    elif wanted.isdecimal():
        matches = [device for device in candidates if device.id == int(wanted)]
        problem = f"no {kind} device has id {wanted}; there are"
    else:
        matches = _matches(candidates, wanted.casefold())
        problem = f"no {kind} device matches '{wanted}'; there are"
        if matches:
            problem = f"more than one {kind} device matches '{wanted}'"
    if len(matches) == 1:
        return matches[0]
    listed = "; ".join(
        f"{device.id}: {device.name}, {device.host_api}" for device in matches or candidates
    )
    raise DeviceError(f"{problem}: {listed}")


def _matches(candidates: Sequence[Device], wanted: str) -> list[Device]:
    """Return the device with exactly that name, or else all that contain it."""
    full = [(device, f"{device.name}, {device.host_api}".casefold()) for device in candidates]
    for match in (
        [device for device, name in full if name == wanted],
        [device for device in candidates if device.name.casefold() == wanted],
    ):
        if len(match) == 1:
            return match
    if found := [device for device, name in full if wanted in name]:
        return found
    ordinal = _ORDINAL.fullmatch(wanted)
    if ordinal is None:
        return []
    same = [device for device, name in full if name == ordinal[1]]
    at = int(ordinal[2]) - 1
    return same[at : at + 1] if at >= 0 else []


def stable_name(device: Device, devices: Sequence[Device], kind: Kind) -> str:
    """Return a name that stays valid when devices come and go, as ids do not."""
    wanted = device.name.casefold()
    same = [other for other in usable(devices, kind) if other.name.casefold() == wanted]
    if len(same) == 1 and wanted and not wanted.isdecimal():  # which would be an id
        return device.name
    name = f"{device.name}, {device.host_api}"
    same = [other for other in same if other.host_api == device.host_api]
    return name if len(same) == 1 else f"{name} #{same.index(device) + 1}"


class PortAudio:
    """The sound system through sounddevice; make only one, because PortAudio is global.

    ``module`` replaces sounddevice in tests. Raises: DeviceError when PortAudio is missing.
    """

    def __init__(self, module: Any = None) -> None:
        self._sd = module if module is not None else _load()
        self._lock = threading.RLock()
        self._streams: list[_PortAudioStream] = []

    def devices(self) -> list[Device]:
        """See :meth:`Backend.devices`."""
        with self._lock:
            try:
                found = self._sd.query_devices()
                apis = self._sd.query_hostapis()
                default_input, default_output = self._sd.default.device
            except (self._sd.PortAudioError, UnicodeDecodeError) as error:
                raise DeviceError(f"cannot list the sound devices: {error}") from error
        return [
            Device(
                id=index,
                name=" ".join(str(entry["name"]).split()),
                host_api=str(apis[entry["hostapi"]]["name"]),
                inputs=int(entry["max_input_channels"]),
                outputs=int(entry["max_output_channels"]),
                rate=round(rate) if isfinite(rate := entry["default_samplerate"]) else 0,
                default_input=index == default_input,
                default_output=index == default_output,
            )
            for index, entry in enumerate(found)
        ]

    def open(self, device: Device, kind: Kind, callback: Callback) -> Stream:
        """Open ``device`` at its own rate with two channels, or else with all or one.

        An input is opened with all: the microphone may be on any. A device that refuses its own
        rate is opened at a usual one.
        """
        most = device.channels(kind)
        first = most if kind == "input" and most < _SERVER_CHANNELS else min(2, most)
        choices = list(dict.fromkeys([first, min(2, most), most, 1]))
        failure: Exception | None = None
        with self._lock:
            for rate in dict.fromkeys((device.rate or _OTHER_RATES[0], *_OTHER_RATES)):
                refused = False
                for channels in choices:
                    try:
                        stream = _PortAudioStream(self._sd, device, kind, channels, rate, callback)
                    except (self._sd.PortAudioError, ValueError, OSError) as error:
                        failure = failure or error
                        refused = refused or _INVALID_RATE in error.args
                    else:
                        self._streams.append(stream)
                        return stream
                if not refused:
                    break
        raise DeviceError(
            f"cannot open {kind} device '{device.name}' at {device.rate} Hz ({failure}): "
            "close programs that use it, or choose another with `covo devices use`"
        ) from failure

    def rescan(self) -> None:
        """Restart PortAudio, which lists devices only when it starts."""
        with self._lock:
            streams, self._streams = self._streams, []
            for stream in streams:
                stream.close()
            # It is not running if the last restart failed.
            with contextlib.suppress(self._sd.PortAudioError):
                self._sd._terminate()
            try:
                self._sd._initialize()
            except self._sd.PortAudioError as error:
                raise DeviceError(f"cannot restart PortAudio: {error}") from error


class _PortAudioStream:
    """A :class:`Stream` of sounddevice."""

    def __init__(
        self, sd: Any, device: Device, kind: Kind, channels: int, rate: int, callback: Callback
    ) -> None:
        self.rate = rate
        self.channels = channels
        self._sd = sd
        self._lock = threading.Lock()
        self._closed = False

        def call_back(frames: Frames, count: int, time: object, status: object) -> None:
            try:
                callback(frames)
            except Exception:
                # The stream stops, and its owner opens the device again.
                log.exception("the callback of '%s' failed", device.name)
                raise sd.CallbackAbort from None

        make = sd.InputStream if kind == "input" else sd.OutputStream
        self._stream = make(
            device=device.id,
            channels=channels,
            samplerate=rate,
            blocksize=round(rate * BLOCK_S),
            dtype="float32",
            latency=LATENCY_S,
            callback=call_back,
        )
        self.latency = float(self._stream.latency)

    def start(self) -> None:
        with self._lock:
            if self._closed:  # by a rescan
                raise DeviceError("the sound device was closed before it was started: try again")
            try:
                self._stream.start()
            except self._sd.PortAudioError as error:
                raise DeviceError(f"cannot start the sound device: {error}") from error

    @property
    def active(self) -> bool:
        # Never wait: the conversation polls this while another thread takes a second to close.
        if not self._lock.acquire(blocking=False):
            return not self._closed
        try:
            return not self._closed and bool(self._stream.active)
        except self._sd.PortAudioError:
            return False
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with contextlib.suppress(self._sd.PortAudioError):  # when the device is gone
                self._stream.close()


def _load() -> Any:
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(
            f"PortAudio, needed for sound devices, is missing ({error}): {install_hint()}"
        ) from error
    return sounddevice
