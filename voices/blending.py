"""Blend voices: the weighted mean of styles of Kokoro is a style."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voices.errors import VoiceError
from voices.library import REAL_TIME_FACTORS
from voices.lite_data import KOKORO_SHAPE
from voices.pack import LiteVoice, VoicePack

STYLE_FILE = "style.bin"


@dataclass(frozen=True, slots=True)
class Share:
    """A voice in a blend. ``weight``: above 0; those of all shares need not add up to 1."""

    pack: VoicePack
    weight: float = 1.0


def parse_share(text: str) -> tuple[str, float]:
    """Return name and weight in ``NAME`` or ``NAME:WEIGHT``. Raises: VoiceError."""
    name, colon, written = text.partition(":")
    try:
        weight = float(written) if colon else 1.0
    except ValueError:
        weight = math.nan
    if not (name and 0 < weight < math.inf):
        raise VoiceError(f"{text!r} is no part of a blend: write NAME:WEIGHT, such as heart:0.7")
    return name, weight


def blend(shares: Sequence[Share], name: str, folder: Path, language: str = "") -> VoicePack:
    """Write the blended style into ``folder`` and return the voice ``name``, not measured.

    ``language``: empty for that of the heaviest share, or of the first of several. Raises:
    VoiceError, OSError.
    """
    check_blend(shares, language)
    total = sum(share.weight for share in shares)
    packs = [share.pack for share in shares]
    style = np.zeros(KOKORO_SHAPE)
    for share in shares:
        values = np.fromfile(_style_file(share.pack), "<f4").reshape(KOKORO_SHAPE)
        style += values * (share.weight / total)
    path = folder / STYLE_FILE
    style.astype("<f4").tofile(path)
    parts = (f"{share.pack.name} {share.weight / total:.0%}" for share in shares)
    genders = {pack.gender for pack in packs}
    return VoicePack(
        name=name,
        folder=folder,
        description="blend",
        language=_language(shares, language),
        licence=" AND ".join(_distinct(pack.licence for pack in packs)),
        source=f"blend of {', '.join(parts)}: {'; '.join(_distinct(p.source for p in packs))}",
        gender=genders.pop() if len(genders) == 1 else "",
        lite=LiteVoice("kokoro", path, REAL_TIME_FACTORS["kokoro"]),
    )


def check_blend(shares: Sequence[Share], language: str = "") -> None:
    """Check that :func:`blend` can make a voice of this. Raises: VoiceError."""
    names = [share.pack.name for share in shares]
    if len(names) < 2:
        raise VoiceError("a blend needs two voices or more, such as heart:0.7 george:0.3")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise VoiceError(f"{twice[0]} is in the blend twice; give it one weight")
    for share in shares:
        _style_file(share.pack)
    _language(shares, language)


def _style_file(pack: VoicePack) -> Path:
    if pack.lite is None:
        raise VoiceError(f"{pack.name} cannot be blended: it has no part for the engine lite")
    if pack.lite.data is None:
        raise VoiceError(
            f"{pack.name} cannot be blended: hibari speaks it, which has no styles; blend heart"
        )
    return pack.lite.data


def _language(shares: Sequence[Share], wanted: str) -> str:
    spoken = {_general(share.pack.language): share.pack for share in reversed(shares)}
    if len(spoken) > 1:
        one, other, *_ = spoken.values()
        raise VoiceError(
            f"{one.name} speaks {one.language} and {other.name} {other.language}: only voices of "
            "one language can be blended"
        )
    heaviest = max(shares, key=lambda share: share.weight).pack
    if wanted and _general(wanted) not in spoken:
        raise VoiceError(
            f"the blend cannot speak {wanted}: its voices speak {_general(heaviest.language)}"
        )
    return wanted or heaviest.language


def _general(language: str) -> str:
    return language.partition("-")[0]


def _distinct(texts: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(texts)
