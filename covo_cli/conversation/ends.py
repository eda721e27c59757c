"""The two ends of a conversation: microphone and speaker, or sound files in their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from audio_io.channels import parse_channels
from audio_io.echo import EchoCanceller
from audio_io.ends import Microphone, Speaker
from audio_io.file_ends import FileMicrophone, FileSpeaker
from audio_io.live.devices import PortAudio, find_device
from audio_io.live.microphone import LiveMicrophone
from audio_io.live.speaker import LiveSpeaker
from covo_cli.conversation.consumer import Consumer
from covo_cli.settings.settings import Settings, sessions_dir


@dataclass(frozen=True, slots=True)
class FilePair:
    """Sound files in place of devices.

    ``input`` is the user speaking; ``output``, or None, gets the replies at ``rate`` Hz.
    ``paced``: in real time.
    """

    input: Path
    output: Path | None
    rate: int
    paced: bool


@dataclass(frozen=True, slots=True)
class Ends:
    """Microphone and speaker, not started yet, and how to run them.

    ``live``: a person at a sound card. ``over``: see
    :class:`~covo_cli.conversation.conversation.Conversation`. ``listeners``: ends that are
    consumers, too.
    """

    microphone: Microphone
    speaker: Speaker
    real_time: bool
    live: bool = False
    echo: EchoCanceller | None = None
    over: Callable[[bool], bool] = lambda busy: False
    listeners: Sequence[Consumer] = ()

    def start(self) -> None:
        """Open both. Raises: AudioError."""
        self.speaker.start()
        self.microphone.start()

    def close(self) -> None:
        """Close both, completing an output file. Safe to call twice. Raises: AudioFileError."""
        try:
            self.microphone.close()
        finally:
            self.speaker.close()


def file_ends(files: FilePair, settings: Settings) -> Ends:
    """Return ends that read and write ``files``. Raises: AudioError."""
    channels = parse_channels(settings.audio.channels)
    microphone = FileMicrophone(files.input, files.paced, channels=channels)
    return Ends(
        microphone,
        FileSpeaker(files.output, files.rate),
        real_time=files.paced,
        echo=EchoCanceller() if settings.audio.echo_cancellation else None,
        over=lambda busy: microphone.exhausted and not busy,
    )


def live_ends(settings: Settings) -> Ends:
    """Return ends at the sound card. Raises: DeviceError when a device is missing."""
    channels = parse_channels(settings.audio.channels)
    backend = PortAudio()
    # Report a missing device before the engine is loaded.
    find_device(backend.devices(), settings.audio.input, "input")
    find_device(backend.devices(), settings.audio.output, "output")
    return Ends(
        LiveMicrophone(settings.audio.input, backend, channels=channels),
        LiveSpeaker(settings.audio.output, backend),
        real_time=True,
        live=True,
        echo=EchoCanceller() if settings.audio.echo_cancellation else None,
    )


def advice(settings: Settings) -> str:
    """Return a hint about loudspeakers to show before a live conversation, or ""."""
    if not settings.turns.barge_in:
        return "covo does not listen while it speaks (--no-barge-in); press i to interrupt it."
    if not settings.audio.echo_cancellation:
        return "Echo cancellation is off: use headphones or --no-barge-in, or covo hears itself."
    if not sessions_dir(settings).exists():
        return "Loudspeakers work; with headphones, covo hears you better while it speaks."
    return ""
