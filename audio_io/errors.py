"""What can go wrong in :mod:`audio_io`. Each message says what is wrong and what to do."""

from __future__ import annotations


class AudioError(Exception):
    """Base of every error that this package raises on purpose."""


class AudioFileError(AudioError):
    """A sound file is missing, unreadable, empty or cannot be written."""


class DeviceError(AudioError):
    """A sound device is missing, unknown, or refused to open; or PortAudio is not installed."""
