"""The names of a session's files, and the size of its sound while it is being recorded."""

from __future__ import annotations

INFO = "session.json"
EVENTS = "events.jsonl"
AUDIO = "audio.flac"
PARTIAL_AUDIO = "audio.part"
TRANSCRIPT = "transcript.md"

PARTIAL_BYTES_PER_SECOND = 24_000 * 2 * 2
"""Stereo, 16 bit, 24 kHz."""
