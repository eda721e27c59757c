"""A session's files, and what it can be exported to. Imports nothing heavy: ``--help`` needs it."""

from __future__ import annotations

from enum import StrEnum

INFO = "session.json"
EVENTS = "events.jsonl"
AUDIO = "audio.flac"
PARTIAL_AUDIO = "audio.part"
TRANSCRIPT = "transcript.md"

PARTIAL_BYTES_PER_SECOND = 24_000 * 2 * 2
"""Size of :data:`PARTIAL_AUDIO`: stereo, 16 bit, 24 kHz."""


class ExportFormat(StrEnum):
    """A format of other programs; the value is the file's extension."""

    MARKDOWN = "md"
    SRT = "srt"
    VTT = "vtt"
    JSON = "json"
    WAV = "wav"
