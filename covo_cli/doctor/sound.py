"""Check the sound devices. Having none is a warning: files still work."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from audio_io.channels import ChannelMix, parse_channels
from audio_io.clock import FRAME, USER_RATE
from audio_io.errors import AudioError, DeviceError
from audio_io.levels import measure
from audio_io.live.devices import Backend, Device, Kind, find_device, permission_hint
from audio_io.live.microphone import LiveMicrophone
from audio_io.signal import Audio
from covo_cli.doctor.check import Check, Status

FILES_STILL_WORK = "without it, talk through files: covo chat --input FILE"


def check_portaudio(connect: Callable[[], Backend]) -> tuple[Check, Backend | None]:
    """Check that PortAudio lists devices; also return it."""
    try:
        backend = connect()
        count = len(backend.devices())
    except AudioError as error:
        return Check("PortAudio", Status.WARNING, str(error), FILES_STILL_WORK), None
    return Check("PortAudio", Status.OK, f"{count} devices"), backend


def check_device(backend: Backend, kind: Kind, wanted: str) -> tuple[Check, Device | None]:
    """Check that the ``wanted`` device is there ("": the default); also return it.

    A missing device fails if it was asked for; no device at all is a warning.
    """
    name = "microphone" if kind == "input" else "speaker"
    try:
        device = find_device(backend.devices(), wanted, kind)
    except AudioError as error:
        if wanted:
            fix = f"plug it in, or use the default: covo config unset audio.{kind}"
            return Check(name, Status.FAILED, str(error), fix), None
        fix = "connect one, or choose one: covo devices use (files work without)"
        return Check(name, Status.WARNING, str(error), fix), None
    chosen = f"audio.{kind} = {wanted}" if wanted else "system default"
    detail = f"{device.name} ({device.host_api}, {device.rate} Hz; {chosen})"
    return Check(name, Status.OK, detail), device


def check_channels(device: Device, chosen: str) -> Iterator[Check]:
    """Check that the microphone has the ``chosen`` channels; yield nothing if it has."""
    try:
        ChannelMix(device.inputs, device.rate, parse_channels(chosen))
    except AudioError as error:
        fix = "use those that carry speech: covo config unset audio.channels"
        yield Check("microphone channels", Status.FAILED, str(error), fix)


def check_microphone(record: Callable[[], Audio]) -> Check:
    """Check that the microphone hears anything; ``record`` records a little."""
    try:
        heard = record()
    except AudioError as error:
        return Check("microphone level", Status.FAILED, str(error), permission_hint())
    if not heard.any():
        detail = "only zeros, as when the system denies access"
        return Check("microphone level", Status.FAILED, detail, permission_hint())
    return Check("microphone level", Status.OK, f"mean {measure(heard).rms:.0f} dBFS")


def record(backend: Backend, wanted: str, seconds: float, channels: str = "") -> tuple[str, Audio]:
    """Record ``seconds`` at 16 kHz from the microphone ``wanted`` ("": the default).

    ``channels``: the setting of this name.

    Returns its name and the sound. Raises: AudioError.
    """
    microphone = LiveMicrophone(wanted, backend, channels=parse_channels(channels))
    microphone.start()
    try:
        frames: list[Audio] = []
        while len(frames) * FRAME < seconds * USER_RATE:
            frame = microphone.read(5.0)
            if frame is None:
                raise DeviceError(
                    f"microphone '{microphone.status.device}' delivers no audio: "
                    "choose another with covo devices use --input NAME"
                )
            frames.append(frame)
        return microphone.status.device, np.concatenate(frames)
    finally:
        microphone.close()
