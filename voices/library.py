"""The library of built-in voices: one table of measured figures, and a style of Kokoro for each.

``covo voices measure`` writes the folder: ``library.toml`` (the table), the styles as the package
has them, beside each what Kokoro holds of it (``.statistics.npy``), and what the speaker network
makes of them: ``embeddings.npy``, float16 of shape (voices, 192) in the order of the table, and
``middle.npy``, float32 of shape (192,), the mean over the English and Chinese voices in which
nothing is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from voices.covo_prompt import load_array
from voices.errors import VoiceError
from voices.pack import LiteVoice, VoiceFigures, VoicePack, Voiceprint
from voices.strict_reader import read

TABLE = "library.toml"
EMBEDDINGS = "embeddings.npy"
MIDDLE = "middle.npy"
_DIMENSIONS = 192
FORMAT = 1

REAL_TIME_FACTORS = {"hibari": 0.012, "kokoro": 0.56}
"""Synthesis time / speech time of the synthesisers: six English sentences, two shared cores."""

_Positive = Annotated[float, Meta(gt=0)]


@dataclass(frozen=True, slots=True)
class LibraryVoice:
    """A row of the table. ``style``: its file. ``level``: of the network's sound, in dBFS."""

    name: str
    style: str
    sha256: str
    synthesizer: Literal["hibari", "kokoro"]
    language: str
    gender: str
    pitch: _Positive
    brightness: _Positive
    pace: _Positive
    level: float


@dataclass(frozen=True, slots=True)
class LibraryTable:
    """``library.toml`` as written."""

    source: str
    licence: str
    voices: tuple[LibraryVoice, ...]


def read_library(folder: Path) -> tuple[VoicePack, ...]:
    """Return the voices of the library in ``folder``, their styles unread. Raises: VoiceError."""
    table = read(folder / TABLE, LibraryTable, VoiceError, format=FORMAT)
    return tuple(_pack(folder, table, voice) for voice in table.voices)


def library_voiceprints(folder: Path) -> dict[str, Voiceprint]:
    """Return the voiceprint of each voice of the library in ``folder``. Raises: VoiceError."""
    names = [pack.name for pack in read_library(folder)]
    rows = _load(folder / EMBEDDINGS, np.float16, (len(names), _DIMENSIONS)).astype(np.float32)
    return dict(zip(names, rows / np.linalg.norm(rows, axis=1, keepdims=True), strict=True))


def library_middle(folder: Path) -> Voiceprint:
    """Return the mean voiceprint of the library in ``folder``. Raises: VoiceError."""
    return _load(folder / MIDDLE, np.float32, (_DIMENSIONS,))


def _load(path: Path, kind: type[np.floating[Any]], shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        return load_array(path, np.dtype(kind), shape)
    except VoiceError as error:
        raise VoiceError(f"{path} is damaged: install covo again") from error


def _pack(folder: Path, table: LibraryTable, voice: LibraryVoice) -> VoicePack:
    figures = VoiceFigures(voice.pitch, voice.brightness, voice.pace)
    return VoicePack(
        name=voice.name,
        folder=folder,
        description=figures.describe(voice.gender),
        language=voice.language,
        licence=table.licence,
        source=f"{table.source} ({voice.style})",
        gender=voice.gender,
        lite=LiteVoice(
            voice.synthesizer,
            folder / voice.style,
            REAL_TIME_FACTORS[voice.synthesizer],
            sha256=voice.sha256,
            level=voice.level,
        ),
        figures=figures,
        builtin=True,
    )
