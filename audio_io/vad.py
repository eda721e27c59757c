"""Two speech detectors behind :class:`audio_io.signal.SpeechDetector`; docs/vad.md compares them.

Both take the user's audio frame by frame: float32, shape (320,), 16 kHz, in [-1, 1].
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np

from audio_io.clock import FRAME, USER_RATE
from audio_io.errors import AudioError
from audio_io.signal import Audio

_HOP = 512
_CONTEXT = 64


class SileroVad:
    """Silero VAD 5 and 6: a small recurrent network, run by onnxruntime on one thread.

    ``model`` is ``silero_vad_16k.onnx`` as a path or bytes: the same network as in
    ``silero_vad.onnx`` without other rates and without branches, which costs less. It reads hops of
    512 samples (32 ms) after 64 samples of context; between hops the last probability stands.

    Raises: AudioError when the model does not load or is another one.
    Source: https://github.com/snakers4/silero-vad (MIT).
    """

    def __init__(self, model: Path | bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session = onnxruntime.InferenceSession(
                source, sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            name = "the VAD model" if isinstance(model, bytes) else model
            raise AudioError(f"cannot load {name} ({error}): fetch it again") from error
        names = {entry.name for entry in self._session.get_inputs()}
        if names != {"input", "h", "c"}:
            raise AudioError(f"not a Silero VAD model: its inputs are {sorted(names)}")
        self.reset()

    def reset(self) -> None:
        """Forget all past frames."""
        self._hidden = self._cell = np.zeros((1, 1, 128), np.float32)
        self._pending = np.zeros(_CONTEXT, np.float32)
        self._probability = 0.0

    def process(self, samples: Audio) -> float:
        """See :class:`audio_io.signal.SpeechDetector`."""
        self._pending = np.concatenate([self._pending, samples])
        while len(self._pending) >= _CONTEXT + _HOP:
            window = self._pending[None, : _CONTEXT + _HOP]
            probability, self._hidden, self._cell = self._session.run(
                None, {"input": window, "h": self._hidden, "c": self._cell}
            )
            self._probability = float(probability[0])
            self._pending = self._pending[_HOP:]
        return self._probability


class WebRtcVad:
    """WebRTC's Gaussian-mixture detector: microseconds per frame, but easily fooled by noise.

    ``aggressiveness`` is 0 (calls much speech) to 3 (calls little). The probability is the share of
    the last ``smoothing`` frames called speech. Raises: ValueError.
    """

    def __init__(self, aggressiveness: int = 3, smoothing: int = 5) -> None:
        if not 0 <= aggressiveness <= 3:
            raise ValueError(f"aggressiveness must be 0, 1, 2 or 3, not {aggressiveness}")
        if smoothing < 1:
            raise ValueError(f"smoothing must be at least one frame, not {smoothing}")
        self._aggressiveness = aggressiveness
        self._votes: deque[bool] = deque(maxlen=smoothing)
        self.reset()

    def reset(self) -> None:
        """Forget all past frames."""
        import webrtcvad

        self._vad = webrtcvad.Vad(self._aggressiveness)
        self._votes.clear()

    def process(self, samples: Audio) -> float:
        """Return the share of recent frames called speech. Raises: ValueError."""
        if len(samples) != FRAME:
            raise ValueError(f"a frame is {FRAME} samples, not {len(samples)}")
        pcm = (np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2")
        self._votes.append(bool(self._vad.is_speech(pcm.tobytes(), USER_RATE)))
        return sum(self._votes) / (self._votes.maxlen or 1)
