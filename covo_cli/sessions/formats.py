"""What a session can be exported to. Light, because the command line needs it for its help."""

from __future__ import annotations

from enum import StrEnum


class ExportFormat(StrEnum):
    """A format of other programs; the value is the file's extension."""

    MARKDOWN = "md"
    SRT = "srt"
    VTT = "vtt"
    JSON = "json"
    WAV = "wav"
