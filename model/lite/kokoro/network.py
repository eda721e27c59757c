"""Kokoro's network in two parts, so that a clause is heard before all of it is made.

The first part reads the clause as a whole: how long each phoneme lasts, its pitch and energy, and
of these the features of every frame. The second part makes sound of the features, which is most of
the work. It is run on one piece of them after another, each with some of its neighbours.

In 44 places the second part normalises by the mean and the deviation of the whole clause. A piece
has others, with which its level would be up to 20 dB off. So those of other clauses of the same
voice are held, which differ little if they are as long: the style depends on the length.
"""

from __future__ import annotations

import math
import mmap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio_io.clock import ASSISTANT_RATE
from audio_io.signal import Audio
from model.errors import SynthesizerError
from model.lite.failures import raised_as
from model.lite.kokoro.graph import NetworkGraph
from model.lite.kokoro.head_start import HeadStart, SynthesisPace
from voices.tuning import AS_IT_IS, VoiceTuning

_FEATURES = "/decoder/decoder/decode.3/Div_4_output_0"
"""Float32, shape (1, 512, frames)."""
_SOURCE = "/decoder/decoder/generator/Concat_3_output_0"
"""Spectrum of the voice's pitch, float32, shape (1, 22, 60 frames + 1)."""

_DURATIONS = "/encoder/Clip_output_0"
"""Lengths of the phonemes, float32, shape (1, phonemes): each of two frames."""

_PITCH = "/encoder/Squeeze_output_0"
"""Fundamental frequency in Hz, float32, shape (1, frames)."""
_READ = ("/encoder/Squeeze_1_output_0", "/encoder/MatMul_1_output_0")
"""Energy and the phonemes in time: of these, pitch and style, features and source are made."""
_UNVOICED_HZ = 10.0
"""Frames with a fundamental frequency up to this are unvoiced."""

_MEAN, _VARIANCE = "/ReduceMean_output_0", "/ReduceMean_2_output_0"
"""How the names of statistics end; each is float32 of shape (1, channels, 1)."""
_SECOND_PART = "/decoder/decoder/generator/"
"""How the names of the second part's values begin."""
_WIDE = ("noise_res.0/", "resblocks.0/", "resblocks.1/", "resblocks.2/")
"""Its blocks of 256 channels; the others have 128."""

_FRAME = 300
"""Samples at 24 kHz that a frame is."""
_FRAMES_PER_S = ASSISTANT_RATE // _FRAME
_STEPS = 60
"""Steps of the source in a frame."""
_CONTEXT = 8
"""Frames on either side of a piece: what the second part's convolutions see."""

_LEAD = 4
"""Frames of the silence before a clause that are made."""
_FIRST, _SHORTEST, _LONGEST = 40, 24, 160
"""Frames of a reply's first piece, and of the shortest and longest later one."""

_INPUTS = (
    dict.fromkeys(("features", "reading"), ("tokens", "style", "speed"))
    | {"shaping": (_PITCH, *_READ, "style")}
    | dict.fromkeys(("pieces", "whole", "measuring"), (_FEATURES, _SOURCE, "style"))
)
"""What goes into the parts of the network; into the one for pieces, also what is held. Reading and
shaping are the features' part in two, between which the pitch is changed."""


class KokoroModel:
    """The Kokoro network, loaded on first use and shared by its voices. Thread-safe."""

    def __init__(self, model: Callable[[], Path], *, threads: int = 2) -> None:
        self._model = model
        self._threads = threads
        self._lock = threading.Lock()
        self._parts: dict[str, Any] = {}
        self._run_options: Any = None
        self.pace = SynthesisPace(
            _seconds(2 * _CONTEXT), _seconds(_FIRST), _seconds(_SHORTEST), _seconds(_LONGEST)
        )
        """Of clauses in pieces."""
        self.whole_pace = SynthesisPace(0.0, math.inf, math.inf, math.inf)
        """Of clauses in one piece."""

    def load(self, *parts: str) -> None:
        """Load what pieces need, or the ``parts``, once. Raises: SynthesizerError, WeightsError."""
        with self._lock:
            missing = [part for part in parts or ("features", "pieces") if part not in self._parts]
            if missing:
                path = self._model()
                with raised_as(SynthesizerError, "cannot load Kokoro"):
                    graph = _graph(path)
                    for part in missing:
                        self._parts[part] = self._session(_cut(graph, part))

    def close(self) -> None:
        """Free memory; the next use loads it again."""
        with self._lock:
            self._parts.clear()

    def measure(
        self, numbers: list[int], style: NDArray[np.float32], tuning: VoiceTuning = AS_IT_IS
    ) -> NDArray[np.float32]:
        """Return the means and deviations of a clause: a row of a voice's statistics.

        Raises: SynthesizerError.
        """
        features, source, _ = self._features(numbers, style, tuning)
        inputs = {_FEATURES: features, _SOURCE: source, "style": style}
        found = [values.reshape(-1) for values in self._call("measuring", inputs)]
        half = len(found) // 2  # the means, then the variances
        return np.concatenate([[len(numbers)], *found[:half], *map(np.sqrt, found[half:])])

    def whole(
        self, numbers: list[int], style: NDArray[np.float32], tuning: VoiceTuning = AS_IT_IS
    ) -> Audio:
        """Return the sound of the phonemes ``numbers`` in ``style``, shape (1, 256), in one piece.

        Raises: SynthesizerError.
        """
        began = time.perf_counter()
        features, source, _ = self._features(numbers, style, tuning)
        inputs = {_FEATURES: features, _SOURCE: source, "style": style}
        sound = np.asarray(self._call("whole", inputs)[0], np.float32)
        self.whole_pace.made(_seconds(features.shape[2]), time.perf_counter() - began)
        return sound

    def pieces(
        self,
        numbers: list[int],
        style: NDArray[np.float32],
        held: NDArray[np.float32],
        start: HeadStart[Any],
        tuning: VoiceTuning = AS_IT_IS,
    ) -> Iterator[tuple[Audio, float]]:
        """Yield the sound of the phonemes ``numbers`` in ``style``, shape (1, 256), piece by piece.

        With each comes the share of the whole that ends with it. ``held``: means and deviations.
        ``start``: tells how long each piece should be. Raises: SynthesizerError.
        """
        began = time.perf_counter()
        features, source, start_frame = self._features(numbers, style, tuning)
        frames = int(features.shape[2])
        self.pace.read(_seconds(frames - start_frame), time.perf_counter() - began)
        self.load("pieces")
        statistics = _held_inputs(self._parts["pieces"], held)
        end = start_frame
        while end < frames:
            begin = end
            end += max(1, int(start.length(_seconds(frames - begin)) * _FRAMES_PER_S + 1e-6))
            left, right = max(0, begin - _CONTEXT), min(frames, end + _CONTEXT)
            inputs = {
                _FEATURES: features[:, :, left:right],
                _SOURCE: source[:, :, left * _STEPS : right * _STEPS + 1],
                "style": style,
            }
            since = time.perf_counter()
            (made,) = self._call("pieces", inputs | statistics)
            self.pace.made(_seconds(right - left), time.perf_counter() - since)
            made = made[(begin - left) * _FRAME : (end - left) * _FRAME]
            yield np.asarray(made, np.float32), (end - start_frame) / (frames - start_frame)

    def _features(
        self, numbers: list[int], style: NDArray[np.float32], tuning: VoiceTuning
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
        """Return the features and the source of a clause, and the frame with which it begins."""
        inputs: dict[str, NDArray[Any]] = {
            "tokens": np.array([[0, *numbers, 0]], np.int64),
            "style": style,
            "speed": np.array([tuning.speed], np.float32),
        }
        if not tuning.pitch:
            features, source, durations = self._call("features", inputs)
        else:
            pitch, *read, durations = self._call("reading", inputs)
            pitch = np.where(pitch > _UNVOICED_HZ, pitch * tuning.pitch_factor, pitch)
            inputs = {_PITCH: pitch, **dict(zip(_READ, read, strict=True)), "style": style}
            features, source = self._call("shaping", inputs)
        return features, source, max(0, 2 * int(durations[0, 0]) - _LEAD)

    def _call(self, part: str, inputs: dict[str, NDArray[Any]]) -> Any:
        self.load(part)
        session = self._parts.get(part)
        if session is None:
            raise SynthesizerError("Kokoro was closed while speaking")
        with raised_as(SynthesizerError, "Kokoro failed"):
            return session.run(None, inputs, self._run_options)

    def _session(self, network: bytes) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        # Spinning threads would take the chat model's core.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Give back what the longest piece needed. Without the arena, the heap's holes take 1 GB.
        self._run_options = onnxruntime.RunOptions()
        self._run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        session = onnxruntime.InferenceSession(network, options, ["CPUExecutionProvider"])
        # It would keep the file's bytes, 88 MB for both parts, to begin again on another device.
        session.disable_fallback()
        session._model_bytes = None
        return session


def _graph(path: Path) -> NetworkGraph:
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return NetworkGraph(memoryview(content))


def _cut(graph: NetworkGraph, part: str) -> bytes:
    """Return a part of the network. Raises: ValueError if the network is another one."""
    names = (*graph.made(_MEAN), *graph.made(_VARIANCE))
    held = tuple(name for name in names if name.startswith(_SECOND_PART))
    outputs = {
        "features": (_FEATURES, _SOURCE, _DURATIONS),
        "reading": (_PITCH, *_READ, _DURATIONS),
        "shaping": (_FEATURES, _SOURCE),
        "measuring": held,
    }
    inputs = _INPUTS[part] + (held if part == "pieces" else ())
    return graph.part(inputs, outputs.get(part, ("audio",)))


def _held_inputs(part: Any, held: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Return ``held`` as inputs of the ``part`` for pieces, each of shape (1, channels, 1)."""
    inputs, at = {}, 0
    for value in part.get_inputs()[len(_INPUTS["pieces"]) :]:
        channels = 256 if value.name.removeprefix(_SECOND_PART).startswith(_WIDE) else 128
        values = held[at : at + channels].reshape(1, channels, 1)
        inputs[value.name] = values**2 if value.name.endswith(_VARIANCE) else values
        at += channels
    return inputs


def _seconds(frames: int) -> float:
    return frames / _FRAMES_PER_S
