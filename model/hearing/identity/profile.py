"""The user's voice, learnt at the beginning of a conversation and kept in memory only.

The likeness of two voices is the cosine of their embeddings, each taken from the middle of many
voices: what all voices have in common tells nothing. It grows with the length of speech and falls
with noise, so what is asked of it does too: ``covo bench speakers`` measures :data:`THRESHOLDS`.
"""

from __future__ import annotations

import threading
from collections import deque
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from audio_io.clock import samples
from audio_io.signal import Audio
from model.hearing.identity.campplus import CamPlusPlus
from model.hearing.identity.checkpoint import read_checkpoint
from model.hearing.identity.fbank import features
from voices.library import library_middle
from voices.store import BUILTIN

Embedding = NDArray[np.float32]

ENOUGH_S = 3.0
"""Speech that a profile needs."""
MOST_S = 4.0
"""Speech that a profile is made of at most."""
SHORTEST_S = 0.8
"""Speech that can be compared with a profile."""

THRESHOLDS = ((0.8, 0.30), (1.2, 0.38), (1.7, 0.52), (2.4, 0.60))
"""Seconds of speech, and the likeness below which it is somebody else's in a quiet room."""

QUIET_DB = 22.0
"""Least signal-to-noise ratio of a quiet room."""

PER_DB = 0.025
"""Lower the thresholds by this share for each dB below :data:`QUIET_DB`."""

LONG_ENOUGH_S = THRESHOLDS[-1][0]
"""More speech than this tells no more."""

REMEMBERED_S = 1.2
"""Least speech by which somebody else's voice is remembered."""

OTHERS = 8
"""Pieces of other people's speech to remember."""

NEARER = 0.05
"""How much more like one of these than like the user's an unclear voice is if it is not theirs."""


class SpeakerEmbedder(Protocol):
    """Makes embeddings of voices."""

    @property
    def name(self) -> str:
        """The network's name, for the user."""

    def load(self) -> None:
        """Make it ready. Raises: WeightsError."""

    def embed(self, speech: Audio) -> Embedding:
        """Return the embedding, of length 1, of the voice in ``speech`` (float32 mono 16 kHz, at
        least ``SHORTEST_S``). Thread-safe. Raises: WeightsError."""

    @property
    def middle(self) -> Embedding:
        """The mean embedding of many voices."""


class CamPlusPlusEmbedder:
    """CAM++ with the weights at ``path``, which are read at the first use."""

    name = "CAM++"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._network: CamPlusPlus | None = None

    def load(self) -> None:
        """See :meth:`SpeakerEmbedder.load`."""
        self._loaded()

    def embed(self, speech: Audio) -> Embedding:
        """See :meth:`SpeakerEmbedder.embed`."""
        return self._loaded().embed(features(speech))

    @cached_property
    def middle(self) -> Embedding:
        """That of built-in voices. Raises: VoiceError."""
        return library_middle(BUILTIN)

    def _loaded(self) -> CamPlusPlus:
        with self._lock:
            if self._network is None:
                self._network = CamPlusPlus(read_checkpoint(self._path))
            return self._network


class Whose(StrEnum):
    """Whose voice it is."""

    USER = "user"
    OTHER = "other"
    UNCLEAR = "unclear"
    """Hard to tell until there is more speech."""


class SpeakerProfile:
    """The voice of the user, who is whoever speaks first. ``middle``: see
    :class:`SpeakerEmbedder`."""

    def __init__(self, middle: Embedding | float = 0.0) -> None:
        self._middle = middle
        self._speech = np.zeros(0, np.float32)
        self._told = 0  # how much of it was returned
        self._above_noise = np.inf
        self._others: deque[Embedding] = deque(maxlen=OTHERS)
        self.voice: Embedding | None = None
        """The user's voice, once it is known."""

    def learn(self, speech: Audio, above_noise: float) -> Audio | None:
        """Add ``speech`` of the user (float32 mono 16 kHz), so many dB ``above_noise``, until the
        profile has its fill.

        Returns the speech whose embedding is to become :attr:`voice`, if there is enough of it and
        so much more than before that it can tell more.
        """
        room = samples(MOST_S) - len(self._speech)
        if room <= 0:
            return None
        self._above_noise = min(self._above_noise, above_noise)
        self._speech = np.concatenate([self._speech, speech[:room]])
        new = len(self._speech) - self._told
        if len(self._speech) < samples(ENOUGH_S) or new < samples(SHORTEST_S):
            return None
        self._told = len(self._speech)
        return self._speech

    def remember_other(self, voice: Embedding, length: float) -> None:
        """Remember ``voice``, heard for ``length`` seconds, as somebody else's."""
        if length >= REMEMBERED_S:
            self._others.append(voice)

    def likeness(self, voice: Embedding) -> float:
        """Return the likeness of ``voice`` to the user's, in [-1, 1]; 1 while that is unknown."""
        return 1.0 if self.voice is None else self._likeness(voice, self.voice)

    def whose(self, voice: Embedding, length: float, above_noise: float) -> Whose:
        """Return whose ``voice`` is, heard for ``length`` seconds, so many dB ``above_noise``.

        It is hard to tell if it would do for so much speech and not for more. Then it is somebody
        else's if it is more like a voice that is remembered as such.
        """
        likeness, ratio = self.likeness(voice), min(self._above_noise, above_noise)
        if likeness >= threshold(LONG_ENOUGH_S, ratio):
            return Whose.USER
        other = max((self._likeness(voice, other) for other in self._others), default=-1.0)
        if likeness < threshold(length, ratio) or other > likeness + NEARER:
            return Whose.OTHER
        return Whose.UNCLEAR

    def _likeness(self, voice: Embedding, to: Embedding) -> float:
        one, other = voice - self._middle, to - self._middle
        return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def threshold(length: float, above_noise: float) -> float:
    """Return the likeness below which ``length`` seconds of speech, so many dB ``above_noise``, are
    somebody else's."""
    at, least = zip(*THRESHOLDS, strict=True)
    noisier = max(0.0, QUIET_DB - above_noise)
    return float(np.interp(length, at, least)) * max(0.0, 1 - PER_DB * noisier)
