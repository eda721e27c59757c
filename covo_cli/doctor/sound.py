"""Checks of the sound devices. Without any there are still files, so that is a warning only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from covo_cli.doctor.check import Check, Status

if TYPE_CHECKING:
    from audio_io.devices import Backend, Device, Kind

FILES_STILL_WORK = "conversations with files work all the same: covo chat --input FILE"


def check_portaudio(connect: Callable[[], Backend]) -> tuple[Check, Backend | None]:
    """Whether sound devices can be reached at all."""
    from audio_io.devices import install_hint
    from audio_io.errors import AudioError

    try:
        backend = connect()
        count = len(backend.devices())
    except AudioError as error:
        detail = f"{error}; {FILES_STILL_WORK}"
        return Check("PortAudio", Status.WARNING, detail, install_hint()), None
    return Check("PortAudio", Status.OK, f"{count} devices"), backend


def check_device(backend: Backend, kind: Kind, wanted: str) -> tuple[Check, Device | None]:
    """Whether the device that ``audio.input`` or ``audio.output`` names, or the default, is there.

    A device that was asked for and is missing is a failure; no device at all is a warning.
    """
    from audio_io.devices import find_device
    from audio_io.errors import AudioError

    name = "microphone" if kind == "input" else "speaker"
    try:
        device = find_device(backend.devices(), wanted, kind)
    except AudioError as error:
        if wanted:
            fix = f"plug it in, or use the system's: covo config unset audio.{kind}"
            return Check(name, Status.FAILED, str(error), fix), None
        fix = "connect one, or choose one: covo devices use (only live conversations need it)"
        return Check(name, Status.WARNING, str(error), fix), None
    chosen = f"audio.{kind} = {wanted}" if wanted else "the system's default"
    detail = f"{device.name} ({device.host_api}, {device.rate} Hz; {chosen})"
    return Check(name, Status.OK, detail), device


def check_microphone(record: Callable[[], Any]) -> Check:
    """Whether the microphone hears anything: ``record`` returns samples, float, any shape."""
    import numpy as np

    from audio_io.devices import permission_hint
    from audio_io.errors import AudioError

    try:
        samples = np.asarray(record())
    except AudioError as error:
        return Check("microphone level", Status.FAILED, str(error), permission_hint())
    if not samples.size or not np.any(samples):
        detail = "it delivers only zeros, as it does when the system denies access"
        return Check("microphone level", Status.FAILED, detail, permission_hint())
    level = 20 * np.log10(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    return Check("microphone level", Status.OK, f"{level:.0f} dBFS in {samples.size} samples")


def record(backend: Backend, device: Device, seconds: float = 1.0) -> Any:
    """``seconds`` of the microphone, float32 (frames, channels). Raises: AudioError."""
    import numpy as np

    blocks: list[Any] = []
    limit = round(device.rate * seconds)
    full = threading.Event()

    def take(frames: Any) -> None:
        if sum(len(block) for block in blocks) < limit:
            blocks.append(frames.copy())
        else:
            full.set()

    stream = backend.open(device, "input", take)
    try:
        stream.start()
        full.wait(seconds + 3.0)
    finally:
        stream.close()
    return np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)
