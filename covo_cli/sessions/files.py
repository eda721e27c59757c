"""The names of a session's files, and the size of its sound while it is being recorded."""

from __future__ import annotations

from audio_io.clock import ASSISTANT_RATE

INFO = "session.json"
EVENTS = "events.jsonl"
AUDIO = "audio.flac"
PARTIAL_AUDIO = "audio.part"
TRANSCRIPT = "transcript.md"

PARTIAL_BYTES_PER_SECOND = ASSISTANT_RATE * 2 * 2
"""Stereo, 16 bit, 24 kHz."""
