"""GGUF files of Q4_1 weights, kept in Q8_0."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFReader, GGUFWriter
from gguf.quants import dequantize, quantize

from model.weights.manifest import Part, WeightFile
from model.weights.packages import WeightStore
from model.weights.requantize import as_q8_0
from tests.model.weights.wheel_tools import Index, make_wheel, sha256

SHAPES = {"blk.0.up": (3, 64), "odd": (5,), "token_embd": (7, 32), "blk.0.down": (64, 96)}
KINDS = {"odd": Kind.F32, "token_embd": Kind.Q8_0}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with weights of several kinds, whose sizes are no multiples of its alignment."""
    path, rng = tmp_path / "model.gguf", np.random.default_rng(0)
    writer = GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_token_list(["a", "b"])
    for name, shape in SHAPES.items():
        values = rng.normal(0, 0.1, shape).astype(np.float32)
        kind = KINDS.get(name, Kind.Q4_1)
        writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_only_the_form_of_q4_1_weights_changes(file: Path, tmp_path: Path) -> None:
    target, again = tmp_path / "q8.gguf", tmp_path / "again.gguf"
    before = file.read_bytes()
    as_q8_0(file, target)
    as_q8_0(file, again)
    assert file.read_bytes() == before
    assert target.read_bytes() == again.read_bytes()
    old, new = GGUFReader(file), GGUFReader(target)
    told = [{key: f.contents() for key, f in one.fields.items()} for one in (old, new)]
    assert told[0] == told[1]
    assert [t.name for t in new.tensors] == list(SHAPES)
    for was, now in zip(old.tensors, new.tensors, strict=True):
        if was.tensor_type != Kind.Q4_1:
            assert now.tensor_type == was.tensor_type
            assert np.array_equal(now.data, was.data)
            continue
        assert now.tensor_type == Kind.Q8_0
        meant = dequantize(was.data, Kind.Q4_1).reshape(-1, 32)
        kept = dequantize(now.data, Kind.Q8_0).reshape(-1, 32)
        largest = np.abs(meant).max(axis=1, keepdims=True)
        # Half a step of 127, and the rounding of the step to float16.
        assert np.all(np.abs(kept - meant) <= largest * (1 / 254 + 2**-11) + 1e-7)


def test_a_pull_keeps_the_file_in_q8_0(file: Path, index: Index, tmp_path: Path) -> None:
    as_q8_0(file, tmp_path / "q8.gguf")
    whole = (tmp_path / "q8.gguf").read_bytes()
    package = make_wheel(index.folder, "fake-alpha", {"fake_alpha/m.gguf": file.read_bytes()})
    part = Part("fake-alpha", "fake_alpha/m.gguf")
    kept = WeightFile("m.gguf", len(whole), sha256(whole), (part,), q8_0=True)
    piece = replace(index.alpha, packages=(package,), files=(kept,))
    assert piece.most_aside >= package.size + file.stat().st_size
    options = ("--no-index", "--find-links", str(index.folder))
    store = WeightStore(tmp_path / "models", (piece,), options)
    store.pull()
    assert store.path("alpha", "m.gguf").read_bytes() == whole
    assert [path.name for path in (store.folder / "alpha").iterdir()] == ["m.gguf"]
