"""Make voices of others, and measure them as the built-in ones were."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from covo_cli.voices.measuring import HEADROOM_DB, Measured, measure_voice
from model.hearing.identity.profile import CamPlusPlusEmbedder
from model.lite import SynthesizerMaker
from model.lite.synthesizer import LEVEL_DB
from model.weights.packages import WeightStore
from voices.lite_data import STATISTICS
from voices.pack import LiteVoice, VoicePack
from voices.store import VoiceStore
from voices.writing import write_pack

MeasureVoice = Callable[[str, LiteVoice, str], Measured]
"""Measures a voice by its name, its part for lite and its language."""


def measurer(weights: WeightStore, store: VoiceStore) -> MeasureVoice:
    """Return what measures voices with the networks in ``weights``. Raises: WeightsError."""
    embedder = CamPlusPlusEmbedder(weights.path("campplus", "campplus_cn_en_common.pt"))
    make = SynthesizerMaker(weights, store.get, threads=1)

    def measure(name: str, voice: LiteVoice, language: str) -> Measured:
        tuning = dataclasses.replace(voice.tuning, loudness=0.0)
        part = dataclasses.replace(voice, level=LEVEL_DB + HEADROOM_DB, tuning=tuning)
        return measure_voice(make.of(name, part, language), embedder)

    return measure


def save_voice(
    store: VoiceStore,
    name: str,
    build: Callable[[Path], VoicePack],
    measurer: Callable[[], MeasureVoice],
    *,
    replace: bool = False,
) -> VoicePack:
    """Save the voice that ``build`` makes in an empty folder under ``name``.

    What lite can speak with is measured, unless it has its figures. ``replace``: in place of the
    user's voice that has the name. Raises: VoiceError, ModelError; the store is then unchanged.
    """
    with store.new(name, replace=replace) as folder:
        pack, found = build(folder), None
        if pack.lite is not None and pack.figures is None:
            found = measurer()(name, pack.lite, pack.language)
            pack = dataclasses.replace(
                pack,
                description=found.figures.describe(pack.gender),
                figures=found.figures,
                lite=dataclasses.replace(pack.lite, level=found.level),
            )
        write_pack(pack, folder, found.embedding if found else None)
        if found and found.statistics is not None and pack.lite and pack.lite.data:
            np.save(folder / pack.lite.data.with_suffix(STATISTICS).name, found.statistics)
    return store.get(name)
