"""The data of an embedded synthesiser's voice: a style of Kokoro, and what Kokoro holds for it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voices.covo_prompt import load_array
from voices.errors import VoiceError
from voices.folders import check_readable

KOKORO_SHAPE = (510, 1, 256)
"""A Kokoro voice: one style vector (1, 256) per phoneme count, raw little-endian float32
(the ``.bin`` files of the npm package kokoro-js)."""

STATISTICS = ".statistics.npy"
"""Ending of the file beside a style that has what Kokoro holds to speak a clause in pieces."""
STATISTICS_SIZE = 16896
"""Means and deviations, in the order of the inputs of Kokoro's part for pieces."""


class Statistics:
    """A voice's means and deviations in clauses of several lengths.

    ``rows``: float16 of shape (clauses, 1 + STATISTICS_SIZE), the first of a row the number of
    phonemes, ascending. Raises: ValueError.
    """

    def __init__(self, rows: NDArray[np.float16]) -> None:
        values = np.asarray(rows, np.float32)
        if values.ndim != 2 or values.shape[1] != 1 + STATISTICS_SIZE or len(values) < 2:
            raise ValueError(f"its shape is not (2 or more, {1 + STATISTICS_SIZE})")
        self._lengths, self._values = values[:, 0], values[:, 1:]
        if not np.isfinite(values).all() or (np.diff(self._lengths) <= 0).any():
            raise ValueError("its values are not finite, or not in the order of their lengths")
        longest = KOKORO_SHAPE[0]
        if self._lengths[0] < 1 or self._lengths[-1] > longest:
            raise ValueError(f"its lengths are not from 1 to {longest}")

    def nearest(self, phonemes: int) -> int:
        """Return the length nearest to ``phonemes`` for which they hold."""
        return int(np.clip(phonemes, self._lengths[0], self._lengths[-1]))

    def at(self, phonemes: int) -> NDArray[np.float32]:
        """Return those of a clause of so many ``phonemes``, between the measured ones."""
        length = self.nearest(phonemes)
        above = max(1, int(np.searchsorted(self._lengths, length)))
        below, over = self._lengths[above - 1 : above + 1]
        share = (length - below) / (over - below)
        held = (1 - share) * self._values[above - 1] + share * self._values[above]
        return np.asarray(held, np.float32)


def read_statistics(path: Path) -> Statistics:
    """Return the statistics in a file of numpy. Raises: VoiceError."""
    rows = load_array(path, np.dtype(np.float16), (None, 1 + STATISTICS_SIZE))
    try:
        return Statistics(rows)
    except ValueError as error:
        raise VoiceError(f"{path} has no statistics of a voice: {error}") from error


def check_data(data: Path, sha256: str = "") -> None:
    """Check a style of Kokoro, its ``sha256`` if given, and its statistics if it has any.

    Raises: VoiceError.
    """
    try:
        check_readable(data)
        content = data.read_bytes()
    except OSError as error:
        raise VoiceError(f"cannot read {data}: {error.strerror}") from error
    if sha256 and hashlib.sha256(content).hexdigest() != sha256.lower():
        raise VoiceError(f"{data} is damaged: its sha256 is not the one that it should have")
    _check_kokoro(data, content)
    if (statistics := data.with_suffix(STATISTICS)).exists():
        read_statistics(statistics)


def _check_kokoro(path: Path, content: bytes) -> None:
    rows, _, width = KOKORO_SHAPE
    if len(content) != 4 * rows * width:
        raise VoiceError(
            f"{path} has {len(content)} bytes; a Kokoro voice is float32 {KOKORO_SHAPE}, "
            f"{4 * rows * width} bytes"
        )
    if not np.isfinite(np.frombuffer(content, dtype="<f4")).all():
        raise VoiceError(f"{path} is damaged: it holds values that are not finite")
