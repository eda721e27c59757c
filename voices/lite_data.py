"""Check the data file of an embedded synthesiser's voice."""

from __future__ import annotations

import hashlib
from pathlib import Path

from voices.errors import VoiceError

KOKORO_SHAPE = (510, 1, 256)
"""A Kokoro voice: one style vector (1, 256) per phoneme count, raw little-endian float32
(the ``.bin`` files of the npm package kokoro-js)."""

STATISTICS = ".statistics.npy"
"""Ending of the file beside a style that has what Kokoro holds to speak a clause in pieces."""


def check_data(data: Path, sha256: str = "") -> None:
    """Check a style of Kokoro, and its ``sha256`` if given. Raises: VoiceError."""
    try:
        content = data.read_bytes()
    except OSError as error:
        raise VoiceError(f"cannot read {data}: {error.strerror}") from error
    if sha256 and hashlib.sha256(content).hexdigest() != sha256.lower():
        raise VoiceError(f"{data} is damaged: its sha256 is not the one that it should have")
    _check_kokoro(data, content)


def _check_kokoro(path: Path, content: bytes) -> None:
    import numpy as np

    rows, _, width = KOKORO_SHAPE
    if len(content) != 4 * rows * width:
        raise VoiceError(
            f"{path} has {len(content)} bytes; a Kokoro voice is float32 {KOKORO_SHAPE}, "
            f"{4 * rows * width} bytes"
        )
    if not np.isfinite(np.frombuffer(content, dtype="<f4")).all():
        raise VoiceError(f"{path} is damaged: it holds values that are not finite")
