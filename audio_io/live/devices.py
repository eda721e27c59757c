"""Sound devices: which there are, choosing one, and opening it.

:class:`Backend` is all that the live endpoints know of a sound system; :class:`PortAudio` is the
real one. Nothing here loads PortAudio before it is needed, because its absence is an error only
for those who want to use a device.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from audio_io.errors import DeviceError
from audio_io.live.ring import Frames

Kind = Literal["input", "output"]
BLOCK_SECONDS = 0.01
LATENCY_SECONDS = 0.04
"""What is asked of PortAudio: small enough to talk over, large enough to survive a busy machine."""

_INSTALL = {
    "linux": "sudo apt install libportaudio2 (or your system's PortAudio package)",
    "darwin": "brew install portaudio, or pip install --force-reinstall sounddevice",
    "win32": "pip install --force-reinstall sounddevice",
}
_PERMISSION = {
    "linux": "check that it is not muted (pavucontrol, alsamixer) and that it is the right device",
    "darwin": "allow your terminal under System Settings > Privacy & Security > Microphone",
    "win32": "allow desktop apps under Settings > Privacy & security > Microphone",
}


@dataclass(frozen=True, slots=True)
class Device:
    """A sound device. ``inputs`` and ``outputs`` are its channels, ``rate`` its own rate in Hz."""

    id: int
    name: str
    host_api: str
    inputs: int
    outputs: int
    rate: int
    default_input: bool = False
    default_output: bool = False

    def channels(self, kind: Kind) -> int:
        """How many channels it has in that direction; 0 when it cannot be used for it."""
        return self.inputs if kind == "input" else self.outputs

    def is_default(self, kind: Kind) -> bool:
        """Whether the system uses it when nothing else is chosen."""
        return self.default_input if kind == "input" else self.default_output


class Stream(Protocol):
    """An open device. ``latency`` is the device's own, in seconds."""

    rate: int
    channels: int
    latency: float

    def start(self) -> None:
        """Begin to call back. Raises: DeviceError."""

    @property
    def active(self) -> bool:
        """Whether it still calls back."""

    def close(self) -> None:
        """Stop and release the device. Safe to call twice, and from any thread."""


Callback = Callable[[Frames], None]
"""Given (frames, channels): what was captured, to be copied; or what is to be played, to be filled.
Runs on the sound system's thread: may only copy."""


class Backend(Protocol):
    """A sound system."""

    def devices(self) -> Sequence[Device]:
        """All devices. Raises: DeviceError."""

    def open(self, device: Device, kind: Kind, callback: Callback) -> Stream:
        """Open ``device``, not started yet. Raises: DeviceError."""

    def rescan(self) -> None:
        """Look for devices anew. This may close every open stream. Raises: DeviceError."""


def install_hint(platform: str = sys.platform) -> str:
    """How to get PortAudio."""
    return _INSTALL.get(platform, "install PortAudio with your system's package manager")


def permission_hint(platform: str = sys.platform) -> str:
    """What to do about a microphone that delivers only zeros."""
    return _PERMISSION.get(platform, _PERMISSION["linux"])


def usable(devices: Sequence[Device], kind: Kind) -> list[Device]:
    """The devices that have channels in that direction."""
    return [device for device in devices if device.channels(kind) > 0]


def find_device(devices: Sequence[Device], wanted: str, kind: Kind) -> Device:
    """The device meant by ``wanted``: an id, a unique part of "name, host API" in any case, or ""
    for the system's default.

    Raises: DeviceError that lists the candidates.
    """
    candidates = usable(devices, kind)
    if not candidates:
        raise DeviceError(
            f"no {kind} device was found: plug one in, or use files (covo chat --input FILE)"
        )
    wanted = wanted.strip()
    if not wanted:
        matches = [device for device in candidates if device.is_default(kind)]
        problem = f"the system has no default {kind} device; choose one of"
    elif wanted.isdecimal():
        matches = [device for device in candidates if device.id == int(wanted)]
        problem = f"no {kind} device has the id {wanted}; there are"
    else:
        matches = _matches(candidates, wanted.casefold())
        problem = f"no {kind} device is called '{wanted}'; there are"
        if matches:
            problem = f"more than one {kind} device is called '{wanted}'"
    if len(matches) == 1:
        return matches[0]
    listed = "; ".join(
        f"{device.id}: {device.name}, {device.host_api}" for device in matches or candidates
    )
    raise DeviceError(f"{problem}: {listed}")


def _matches(candidates: Sequence[Device], wanted: str) -> list[Device]:
    """An exact name wins over a part of one."""
    full = [(device, f"{device.name}, {device.host_api}".casefold()) for device in candidates]
    for match in (
        [device for device, name in full if name == wanted],
        [device for device in candidates if device.name.casefold() == wanted],
    ):
        if len(match) == 1:
            return match
    return [device for device, name in full if wanted in name]


def stable_name(device: Device, devices: Sequence[Device], kind: Kind) -> str:
    """A name to remember the device by: ids change when devices come and go."""
    same = [other for other in usable(devices, kind) if other.name == device.name]
    return device.name if len(same) == 1 else f"{device.name}, {device.host_api}"


class PortAudio:
    """The sound system through sounddevice. One for the whole program, as PortAudio is one.

    ``module`` stands in for sounddevice in tests. Raises: DeviceError when PortAudio is missing.
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
            except self._sd.PortAudioError as error:
                raise DeviceError(f"the sound devices cannot be listed: {error}") from error
        return [
            Device(
                id=index,
                name=" ".join(str(entry["name"]).split()),
                host_api=str(apis[entry["hostapi"]]["name"]),
                inputs=int(entry["max_input_channels"]),
                outputs=int(entry["max_output_channels"]),
                rate=round(entry["default_samplerate"]),
                default_input=index == default_input,
                default_output=index == default_output,
            )
            for index, entry in enumerate(found)
        ]

    def open(self, device: Device, kind: Kind, callback: Callback) -> Stream:
        """Open at the device's own rate, with two channels if that works, else with all or one."""
        most = device.channels(kind)
        choices = list(dict.fromkeys([min(2, most), most, 1]))
        failure: Exception | None = None
        with self._lock:
            for channels in choices:
                try:
                    stream = _PortAudioStream(self._sd, device, kind, channels, callback)
                except (self._sd.PortAudioError, ValueError, OSError) as error:
                    failure = failure or error
                else:
                    self._streams.append(stream)
                    return stream
        raise DeviceError(
            f"{kind} device '{device.name}' cannot be opened at {device.rate} Hz ({failure}): "
            "is another program using it? Choose another with: covo devices use"
        ) from failure

    def rescan(self) -> None:
        """PortAudio lists devices only when it starts, so it is started anew."""
        with self._lock:
            streams, self._streams = self._streams, []
            for stream in streams:
                stream.close()
            # It is not running when it could not be started again the last time.
            with contextlib.suppress(self._sd.PortAudioError):
                self._sd._terminate()
            try:
                self._sd._initialize()
            except self._sd.PortAudioError as error:
                raise DeviceError(f"PortAudio cannot be started again: {error}") from error


class _PortAudioStream:
    """A :class:`Stream` of sounddevice."""

    def __init__(
        self, sd: Any, device: Device, kind: Kind, channels: int, callback: Callback
    ) -> None:
        self.rate = device.rate
        self.channels = channels
        self._sd = sd
        self._lock = threading.Lock()
        self._closed = False

        def call_back(frames: Frames, count: int, time: object, status: object) -> None:
            callback(frames)

        make = sd.InputStream if kind == "input" else sd.OutputStream
        self._stream = make(
            device=device.id,
            channels=channels,
            samplerate=device.rate,
            blocksize=round(device.rate * BLOCK_SECONDS),
            dtype="float32",
            latency=LATENCY_SECONDS,
            callback=call_back,
        )
        self.latency = float(self._stream.latency)

    def start(self) -> None:
        with self._lock:
            if self._closed:  # by a rescan since it was opened
                raise DeviceError("the sound device was closed before it was started: try again")
            try:
                self._stream.start()
            except self._sd.PortAudioError as error:
                raise DeviceError(f"the sound device does not start: {error}") from error

    @property
    def active(self) -> bool:
        with self._lock:
            if self._closed:
                return False
            try:
                return bool(self._stream.active)
            except self._sd.PortAudioError:
                return False

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
            f"PortAudio, which reaches the sound devices, is missing ({error}): {install_hint()}"
        ) from error
    return sounddevice
