"""Errors of :mod:`audio_io`. Each message names the cause and the remedy."""

from __future__ import annotations


class AudioError(Exception):
    """Base of all errors that this package raises on purpose."""


class AudioFileError(AudioError):
    """A sound file is missing, unreadable, empty or not writable."""


class DeviceError(AudioError):
    """A sound device is missing, unknown or does not open, or PortAudio is not installed."""
