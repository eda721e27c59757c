"""Smart Turn v3: estimate from the sound whether the speaker has finished.

The network reads the last 8 s as Whisper's log-mel spectrogram (shorter audio after silence, at
zero mean and unit variance) and returns one probability. It knows 23 languages, English among them.
Source: https://github.com/pipecat-ai/smart-turn (BSD-2-Clause).
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from audio_io.clock import USER_RATE
from audio_io.signal import Audio
from model.errors import EndOfTurnError
from model.lite.failures import raised_as
from model.lite.mel import HOP, log_mel
from model.lite.mel import WINDOW as MEL_WINDOW

WINDOW = 8 * USER_RATE
"""Samples that the network reads."""

_INPUT = "input_features"


class SmartTurn:
    """A :class:`model.turns.endings.models.EndOfTurnModel` in an ONNX file. Thread-safe."""

    name = "Smart Turn v3.2"

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        self._path = path
        self._threads = threads
        self._lock = threading.Lock()
        self._session: Any = None

    def load(self) -> None:
        """Load the network and run it once, unless it is loaded. Raises: EndOfTurnError."""
        with self._lock:
            if self._session is not None:
                return
            self._session = self._load()
        self.probability(np.zeros(USER_RATE, np.float32))

    def close(self) -> None:
        """Free memory; the next use loads it again. Safe to call twice."""
        with self._lock:
            self._session = None

    def probability(self, audio: Audio) -> float:
        """See :class:`model.turns.endings.models.EndOfTurnModel`. Raises: EndOfTurnError."""
        self.load()
        session = self._session
        if session is None:
            raise EndOfTurnError("the end-of-turn model was closed while it was running")
        with raised_as(EndOfTurnError, "the end-of-turn model failed"):
            output = session.run(None, {_INPUT: features(audio)[None]})
        return float(np.ravel(output[0])[0])

    def _load(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        with raised_as(EndOfTurnError, f"cannot load {self._path}"):
            session = onnxruntime.InferenceSession(
                str(self._path), sess_options=options, providers=["CPUExecutionProvider"]
            )
        names = [entry.name for entry in session.get_inputs()]
        if names != [_INPUT]:
            raise EndOfTurnError(f"{self._path} is not a Smart Turn model: its inputs are {names}")
        return session


def features(audio: Audio) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return the network's input for ``audio`` (float32 mono 16 kHz), shape (80, 800)."""
    last = audio[-WINDOW:]
    heard = np.pad(last, (WINDOW - len(last), 0))
    heard = (heard - heard.mean()) / np.sqrt(heard.var() + 1e-7)
    # In the silence before a short turn, all frames are alike: one is computed, with what follows.
    silent = max(0, int(np.argmax(heard != heard[0])) - MEL_WINDOW) // HOP
    spectrum = log_mel(heard[silent * HOP :].astype(np.float32), WINDOW - silent * HOP)
    return np.pad(spectrum, ((0, 0), (silent, 0)), mode="edge")
