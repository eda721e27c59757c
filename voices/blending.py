"""Blend voices: the weighted mean of styles of Kokoro is a style.

Of Covo-Audio's arrays only the speaker embeddings have a mean. A prompt is one recording in codes,
and that of one voice is taken whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from voices.covo_prompt import CovoPrompt, blend_embeddings
from voices.errors import VoiceError
from voices.library import REAL_TIME_FACTORS
from voices.lite_data import KOKORO_SHAPE
from voices.pack import CovoVoice, LiteVoice, VoicePack
from voices.tuning import VoiceTuning

STYLE_FILE = "style.bin"
_MOST_WEIGHT = 1e6
"""Above all that anybody means, and far below what a sum of weights can hold."""


@dataclass(frozen=True, slots=True)
class VoiceShare:
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
    if not (name and 0 < weight <= _MOST_WEIGHT):
        raise VoiceError(f"{text!r} is no part of a blend: write NAME:WEIGHT, such as heart:0.7")
    return name, weight


@dataclass(frozen=True)
class Blend:
    """A blend of ``shares``, for the engines that all of them serve.

    ``language``: empty for that of the heaviest share, or of the first of several. ``prompt_of``:
    the voice whose prompt Covo-Audio continues; None: the heaviest share. Raises: VoiceError if
    this cannot be blended.
    """

    shares: tuple[VoiceShare, ...]
    language: str = ""
    prompt_of: VoicePack | None = None

    def __post_init__(self) -> None:
        names = [pack.name for pack in self._packs]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise VoiceError(f"{twice[0]} is in the blend twice; give it one weight")
        if len(names) < 2 and self.prompt_of is None:
            raise VoiceError("a blend needs two voices or more, such as heart:0.7 george:0.3")
        if not self._not_for_covo:
            return
        if self.prompt_of is not None:
            raise VoiceError(f"--prompt-of is for Covo-Audio: {self._not_for_covo}")
        if self._not_for_lite:
            raise VoiceError("; ".join((self._not_for_lite, *self.left_out[1:])))

    @property
    def left_out(self) -> tuple[str, ...]:
        """Why the blend serves no engine that some of its voices serve, one line for each."""
        wanted = {engine for pack in self._packs for engine in pack.engines}
        reasons = {"lite": self._not_for_lite, "covo": self._not_for_covo}
        return tuple(reason for engine, reason in reasons.items() if reason and engine in wanted)

    def write(self, name: str, folder: Path) -> VoicePack:
        """Write the blend's data into ``folder``; return it as the voice ``name``, not measured.

        Raises: VoiceError, OSError.
        """
        parts = (f"{share.pack.name} {share.weight / self._total:.0%}" for share in self.shares)
        made_of = f"blend of {', '.join(parts)}"
        if self.prompt_of is not None:
            made_of += f", prompt of {self.prompt_of.name}"
        packs = (*self._packs, self.prompt_of) if self.prompt_of else self._packs
        genders = {pack.gender for pack in self._packs}
        return VoicePack(
            name=name,
            folder=folder,
            description=made_of,
            language=self.language or self._heaviest.language,
            licence=" AND ".join(_distinct(pack.licence for pack in packs)),
            source=f"{made_of}: {'; '.join(_distinct(pack.source for pack in packs))}",
            gender=genders.pop() if len(genders) == 1 else "",
            lite=None if self._not_for_lite else self._write_style(folder / STYLE_FILE),
            covo=None if self._not_for_covo else self._write_prompt(folder),
        )

    def _write_style(self, path: Path) -> LiteVoice:
        style = np.zeros(KOKORO_SHAPE)
        for pack, weight in self._weighted:
            if pack.lite is not None and pack.lite.data is not None:
                style += np.fromfile(pack.lite.data, "<f4").reshape(KOKORO_SHAPE) * weight
        style.astype("<f4").tofile(path)
        tuned = [(pack.lite.tuning, weight) for pack, weight in self._weighted if pack.lite]

        def mean(value: Callable[[VoiceTuning], float]) -> float:
            return round(sum(value(tuning) * weight for tuning, weight in tuned), 3)

        tuning = VoiceTuning(
            mean(lambda t: t.speed), mean(lambda t: t.pitch), mean(lambda t: t.loudness)
        )
        return LiteVoice("kokoro", path, REAL_TIME_FACTORS["kokoro"], tuning=tuning)

    def _write_prompt(self, folder: Path) -> CovoVoice:
        continued = _covo(self.prompt_of or self._heaviest)
        prompts = [(_covo(pack).prompt(), weight) for pack, weight in self._weighted]
        blended: CovoPrompt = replace(continued.prompt(), embedding=blend_embeddings(prompts))
        blended.save(folder)
        return CovoVoice(continued.speaker, folder)

    @cached_property
    def _not_for_lite(self) -> str:
        """Why the engine lite cannot speak with it, or empty."""
        if len(self.shares) < 2:
            return "a style of one voice is no blend"
        for pack in self._packs:
            if pack.lite is None:
                return f"{pack.name} has no part for the engine lite"
            if pack.lite.data is None:
                return f"{pack.name} is spoken by hibari, which has no styles; blend heart instead"
        spoken = {_general(pack.language): pack for pack in reversed(self._packs)}
        if len(spoken) > 1:
            other, one, *_ = spoken.values()
            return (
                f"{one.name} speaks {one.language} and {other.name} {other.language}: only voices "
                "of one language can be blended"
            )
        if self.language and _general(self.language) not in spoken:
            return f"the blend cannot speak {self.language}: its voices speak {''.join(spoken)}"
        return ""

    @cached_property
    def _not_for_covo(self) -> str:
        """Why Covo-Audio cannot speak with it, or empty."""
        packs = (*self._packs, self.prompt_of) if self.prompt_of else self._packs
        missing = next((pack.name for pack in packs if pack.covo is None), "")
        return f"{missing} has no arrays for Covo-Audio" if missing else ""

    @property
    def _packs(self) -> tuple[VoicePack, ...]:
        return tuple(share.pack for share in self.shares)

    @property
    def _total(self) -> float:
        return sum(share.weight for share in self.shares)

    @property
    def _weighted(self) -> list[tuple[VoicePack, float]]:
        return [(share.pack, share.weight / self._total) for share in self.shares]

    @property
    def _heaviest(self) -> VoicePack:
        return max(self.shares, key=lambda share: share.weight).pack


def _covo(pack: VoicePack) -> CovoVoice:
    if pack.covo is None:
        raise VoiceError(f"{pack.name} has no arrays for Covo-Audio")
    return pack.covo


def _general(language: str) -> str:
    return language.partition("-")[0]


def _distinct(texts: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(texts)
