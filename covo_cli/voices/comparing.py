"""Compare two voices by what was measured of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from covo_cli.voices.new_voices import MeasureVoice
from voices.errors import VoiceError
from voices.pack import LiteVoice, VoicePack, Voiceprint
from voices.store import VoiceStore


@dataclass(frozen=True, slots=True)
class VoiceComparison:
    """Two voices. ``likeness``: of the speaker network's embeddings; ``covo_likeness``: of those in
    the packs, which Covo-Audio reads. Each is a cosine, None where a voice has no such part."""

    voices: tuple[VoicePack, VoicePack]
    likeness: float | None
    covo_likeness: float | None

    @property
    def semitones(self) -> float | None:
        """By how much the second voice is higher."""
        ratio = self.ratio("pitch")
        return None if ratio is None else 12 * math.log2(ratio)

    def ratio(self, figure: str) -> float | None:
        """Return the second voice's ``figure`` (a field of VoiceFigures) divided by the first's."""
        one, other = (pack.figures for pack in self.voices)
        if one is None or other is None:
            return None
        return float(getattr(other, figure) / getattr(one, figure))


def compare_voices(
    store: VoiceStore, names: tuple[str, str], measurer: Callable[[], MeasureVoice]
) -> VoiceComparison:
    """Compare two voices, measuring those that have not been measured.

    Raises: VoiceError, also where they have nothing in common to compare; ModelError.
    """
    one, other = (store.get(name) for name in names)
    likeness = covo_likeness = None
    if one.lite is not None and other.lite is not None:
        one, first = _measured(store, one, one.lite, measurer)
        other, second = _measured(store, other, other.lite, measurer)
        likeness = float(first @ second)
    if one.covo is not None and other.covo is not None:
        covo_likeness = _cosine(*(part.prompt().embedding[0] for part in (one.covo, other.covo)))
    if likeness is None and covo_likeness is None:
        raise VoiceError(
            f"{one.name} is for {', '.join(one.engines)} and {other.name} for "
            f"{', '.join(other.engines)}: voices of different engines cannot be compared"
        )
    return VoiceComparison((one, other), likeness, covo_likeness)


def _measured(
    store: VoiceStore, pack: VoicePack, voice: LiteVoice, measurer: Callable[[], MeasureVoice]
) -> tuple[VoicePack, Voiceprint]:
    voiceprint = store.voiceprint(pack)
    if pack.figures is not None and voiceprint is not None:
        return pack, voiceprint
    found = measurer()(pack.name, voice, pack.language)
    lite = dataclasses.replace(voice, level=found.level)
    return dataclasses.replace(pack, figures=found.figures, lite=lite), found.embedding


def _cosine(one: Voiceprint, other: Voiceprint) -> float:
    if len(one) != len(other):
        raise VoiceError("the voices are for networks of different sizes: they cannot be compared")
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / max(lengths, 1e-12)
