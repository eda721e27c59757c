"""The user's voice, learnt at the beginning of a conversation and kept in memory only.

The likeness of two voices is the cosine of their embeddings. It grows with the length of speech, so
what is asked of it does too: :data:`THRESHOLDS` are measured by ``covo bench speakers``.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from audio_io.clock import samples
from audio_io.signal import Audio
from model.hearing.identity.campplus import CamPlusPlus
from model.hearing.identity.checkpoint import read_checkpoint
from model.hearing.identity.fbank import features

Embedding = NDArray[np.float32]

ENOUGH_S = 3.0
"""Speech that a profile needs."""
MOST_S = 4.0
"""Speech that a profile is made of at most."""
SHORTEST_S = 0.8
"""Speech that can be compared with a profile."""

THRESHOLDS = ((0.8, 0.25), (1.5, 0.33), (2.0, 0.36))
"""Seconds of speech, and the likeness below which it is somebody else's."""


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


class CamPlusPlusEmbedder:
    """CAM++ with the weights at ``path``, which are read at the first use."""

    name = "CAM++"

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

    def _loaded(self) -> CamPlusPlus:
        with self._lock:
            if self._network is None:
                self._network = CamPlusPlus(read_checkpoint(self._path))
            return self._network


class SpeakerProfile:
    """The voice of the user, who is whoever speaks first."""

    def __init__(self) -> None:
        self._speech = np.zeros(0, np.float32)
        self.voice: Embedding | None = None
        """The user's voice, once it is known."""

    def learn(self, speech: Audio) -> Audio | None:
        """Add ``speech`` of the user (float32 mono 16 kHz) until the profile has its fill.

        Returns the speech whose embedding is to become :attr:`voice`, if that changed.
        """
        room = samples(MOST_S) - len(self._speech)
        if room <= 0:
            return None
        self._speech = np.concatenate([self._speech, speech[:room]])
        return self._speech if len(self._speech) >= samples(ENOUGH_S) else None

    def likeness(self, voice: Embedding) -> float:
        """Return the likeness of ``voice`` to the user's, in [-1, 1]; 1 while that is unknown."""
        return 1.0 if self.voice is None else float(voice @ self.voice)

    def is_other(self, voice: Embedding, length: float) -> bool:
        """Return whether ``voice``, heard for ``length`` seconds, is clearly not the user's."""
        return self.likeness(voice) < threshold(length)


def threshold(length: float) -> float:
    """Return the likeness below which ``length`` seconds of speech are somebody else's."""
    at, least = zip(*THRESHOLDS, strict=True)
    return float(np.interp(length, at, least))
