"""What can go wrong in :mod:`voices`. Each message says what is wrong and what to do."""

from __future__ import annotations


class VoiceError(Exception):
    """A voice is unknown, or its pack is broken; the message lists the known voices."""
