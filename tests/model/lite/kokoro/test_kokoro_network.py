"""Kokoro's network cut in two, and its sound piece by piece, on networks made up."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from model.errors import SynthesizerError
from model.lite.kokoro import network
from model.lite.kokoro.graph import NetworkGraph
from model.lite.kokoro.head_start import HeadStart
from model.lite.kokoro.network import KokoroModel
from voices.tuning import VoiceTuning

FLOAT, LENGTH = 1, 2
MEAN, VARIANCE = "/ReduceMean_output_0", "/ReduceMean_2_output_0"


def message(*fields: tuple[int, int | str | bytes]) -> bytes:
    """Write a message of Protocol Buffers; its numbers and lengths are below 2 ** 14."""
    made = b""
    for number, value in fields:
        if isinstance(value, int):
            made += bytes([number << 3]) + varint(value)
        else:
            content = value.encode() if isinstance(value, str) else value
            made += bytes([number << 3 | LENGTH]) + varint(len(content)) + content
    return made


def varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80, value >> 7])


def value(name: str) -> bytes:
    shape = message((1, message((1, 3))))
    return message((1, name), (2, message((1, message((1, FLOAT), (2, shape))))))


def node(kind: str, inputs: str, output: str) -> bytes:
    return message(*((1, name) for name in inputs.split()), (2, output), (4, kind))


def small_network() -> bytes:
    """(a + b) * weight = middle; middle + c = out. The weight is [1, 2, 4], and 300 bytes of text
    stand beside it."""
    weight = np.array([1, 2, 4], "<f4").tobytes()
    graph = message(
        (1, node("Add", "a b", "sum")),
        (1, node("Mul", "sum weight", "middle")),
        (1, node("Add", "middle c", "out")),
        (2, "small"),
        (5, message((1, 3), (2, FLOAT), (8, "weight"), (9, weight), (12, "-" * 300))),
        *((11, value(name)) for name in "abc"),
        (12, value("out")),
        (13, value("middle")),
    )
    return message((1, 8), (7, graph), (8, message((2, 17))))


def run(model: bytes, **inputs: list[float]) -> list[float]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    arrays = {name: np.array(values, np.float32) for name, values in inputs.items()}
    return [float(x) for x in session.run(None, arrays)[0]]


def test_two_parts_compute_what_the_whole_does() -> None:
    graph = NetworkGraph(memoryview(small_network()))
    first, second = graph.part(("a", "b"), ("middle",)), graph.part(("middle", "c"), ("out",))
    a, b, c = [1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [0.5, 0.5, 0.5]
    middle = run(first, a=a, b=b)
    assert middle == [2.0, 6.0, 16.0]
    assert run(second, middle=middle, c=c) == run(small_network(), a=a, b=b, c=c)
    # The second has no use for the weight.
    assert len(second) < len(first) - 300


@pytest.mark.parametrize(
    ("inputs", "outputs", "why"),
    [
        (("a",), ("middle",), "nothing makes the value 'b'"),
        (("a", "b"), ("other",), "nothing makes the value 'other'"),
        (("sum", "c"), ("out",), "it has no value 'sum'"),
    ],
)
def test_parts_that_there_cannot_be(
    inputs: tuple[str, ...], outputs: tuple[str, ...], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        NetworkGraph(memoryview(small_network())).part(inputs, outputs)


def test_no_end_of_a_file_is_mistaken_for_a_network() -> None:
    whole = small_network()
    for content in (b"", b"not a network", b"\x00" * 40, b"\xff" * 40):
        with pytest.raises(ValueError, match=r"cut off|no operations|not in ONNX's format"):
            NetworkGraph(memoryview(content))
    for end in range(3, len(whole) - 6):
        with pytest.raises(ValueError, match=r"cut off|no operations"):
            NetworkGraph(memoryview(whole[:end]))


class FirstPart:
    """``frames`` features, each with its number, after 20 of silence, of which 4 are made."""

    def __init__(self, frames: int) -> None:
        self.frames = frames

    def run(self, outputs: None, inputs: dict[str, Any], options: None) -> list[np.ndarray]:
        numbers = np.arange(-20, self.frames, dtype=np.float32)
        steps = np.arange(-20 * 60, 60 * self.frames + 1, dtype=np.float32) / 60
        return [numbers[None, None], steps[None, None], np.array([[12.0, 3.0, 1.0]])]


class SecondPart:
    """A frame's number as its sound, wrong within 8 frames of an end that is not the clause's. It
    takes ``factor`` times the length of its sound."""

    def __init__(self, frames: int, factor: float) -> None:
        self.frames = frames
        self.factor = factor
        self.now = 0.0
        self.held: list[list[np.ndarray]] = []

    def perf_counter(self) -> float:
        return self.now

    def get_inputs(self) -> list[SimpleNamespace]:
        block = "/decoder/decoder/generator/resblocks."
        names = ("features", "source", "style", f"{block}2/adain1.0{MEAN}", f"{block}3/n{VARIANCE}")
        return [SimpleNamespace(name=name) for name in names]

    def run(self, outputs: None, inputs: dict[str, Any], options: None) -> list[np.ndarray]:
        features, source, _, *held = inputs.values()
        self.held.append(held)
        numbers = features[0, 0].copy()
        np.testing.assert_array_equal(source[0, 0, ::60], [*numbers, numbers[-1] + 1])
        self.now += self.factor * len(numbers) / 80
        if numbers[0] > -20:
            numbers[:8] = -1
        if numbers[-1] < self.frames - 1:
            numbers[-8:] = -1
        return [np.repeat(numbers, 300)]


@pytest.mark.parametrize(
    ("factor", "frames", "lengths"),
    [
        (0.2, 400, [40, 117, 160, 83]),
        (0.2, 60, [60]),
        (0.2, 72, [40, 32]),
        (0.4, 160, [40, 50, 70]),
        (0.65, 120, [40, 25, 24, 31]),
        (0.9, 400, [40, 64, 61, 54, 48, 41, 33, 25, 34]),
        (0.9, 50, [50]),
    ],
)
def test_pieces_are_the_whole(
    factor: float, frames: int, lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, second = KokoroModel(lambda: Path("unused")), SecondPart(frames, factor)
    model._parts = {"features": FirstPart(frames), "pieces": second}
    monkeypatch.setattr(network, "time", second)
    statistics = np.arange(256 + 128, dtype=np.float32)
    start: HeadStart[None] = HeadStart(model.pace, clock=second.perf_counter)
    made = []
    for samples, share in model.pieces([1, 2], np.zeros((1, 256), np.float32), statistics, start):
        made.append((samples, share))
        start.add(None, len(samples) / 24_000, share)
    sound = np.concatenate([samples for samples, _ in made])
    np.testing.assert_array_equal(sound, np.repeat(np.arange(frames), 300))
    assert [len(samples) // 300 for samples, _ in made] == lengths
    assert [share for _, share in made] == pytest.approx(np.cumsum(lengths) / frames)
    assert made[-1][1] == 1.0
    for mean, variance in second.held:
        np.testing.assert_array_equal(mean, statistics[None, :256, None])
        np.testing.assert_array_equal(variance, statistics[None, 256:, None] ** 2)


def test_speed_and_pitch_are_changed_before_there_is_sound() -> None:
    class Reading:
        def run(self, _: None, inputs: dict[str, Any], options: None) -> list[Any]:
            self.speed = inputs["speed"].tolist()
            pitch = np.array([[0, 8, 100, 200]], np.float32)
            return [pitch, "energy", "text", np.array([[12.0, 3.0, 1.0]])]

    class Shaping:
        def run(self, _: None, inputs: dict[str, Any], options: None) -> list[np.ndarray]:
            self.pitch, *self.others = inputs.values()
            return FirstPart(60).run(None, {}, None)[:2]

    model = KokoroModel(lambda: Path("unused"))
    reading, shaping = Reading(), Shaping()
    model._parts = {"reading": reading, "shaping": shaping, "pieces": SecondPart(60, 0.2)}
    style, held = np.zeros((1, 256), np.float32), np.zeros(256 + 128, np.float32)
    made = list(model.pieces([1, 2], style, held, HeadStart(), VoiceTuning(0.8, 6)))
    np.testing.assert_array_equal(
        np.concatenate([sound for sound, _ in made]), np.repeat(np.arange(60), 300)
    )
    assert reading.speed == [pytest.approx(0.8)]
    assert shaping.pitch.dtype == np.float32
    assert shaping.pitch[0].tolist() == pytest.approx([0, 8, 141.4, 282.8], abs=0.1)
    assert shaping.others[:2] == ["energy", "text"]
    assert shaping.others[2] is style


def test_a_session_does_not_keep_the_bytes_that_it_was_made_of() -> None:
    content = small_network()
    held = sys.getrefcount(content)
    session = KokoroModel(lambda: Path("unused"))._session(content)
    assert sys.getrefcount(content) == held
    abc = dict.fromkeys("abc", np.ones(3, np.float32))
    assert session.run(["out"], abc)[0].tolist() == [3.0, 5.0, 9.0]


def test_a_file_without_the_parts_is_no_kokoro(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    path.write_bytes(small_network())
    with pytest.raises(SynthesizerError, match="cannot load Kokoro: nothing makes the value"):
        KokoroModel(lambda: path).load()
