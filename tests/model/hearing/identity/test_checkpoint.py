"""A checkpoint of PyTorch is read without it, and runs nothing."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from model.errors import WeightsError
from model.hearing.identity.checkpoint import read_checkpoint

torch = pytest.importorskip("torch")


def test_tensors_are_those_that_torch_saved(tmp_path: Path) -> None:
    whole = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    held = {"whole": whole, "part": whole[1, :, ::2].t(), "steps": torch.tensor(7)}
    torch.save(held, tmp_path / "it.pt")
    read = read_checkpoint(tmp_path / "it.pt")
    assert set(read) == {"whole", "part"}  # whole numbers are no weights
    for name, tensor in read.items():
        np.testing.assert_array_equal(tensor, held[name].numpy())


def test_a_checkpoint_that_holds_code_is_refused(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(2), "path": Path("/")}, tmp_path / "it.pt")
    with pytest.raises(WeightsError, match=r"holds more than tensors: pathlib"):
        read_checkpoint(tmp_path / "it.pt")


def test_a_tensor_that_leaves_its_storage_is_refused(tmp_path: Path) -> None:
    torch.save({"it": torch.arange(100, dtype=torch.float32)}, tmp_path / "whole.pt")
    with (
        zipfile.ZipFile(tmp_path / "whole.pt") as whole,
        zipfile.ZipFile(tmp_path / "short.pt", "w") as short,
    ):
        for name in whole.namelist():
            cut = 80 if "/data/" in name else None
            short.writestr(name, whole.read(name)[:cut])
    with pytest.raises(WeightsError, match="is not a checkpoint that can be read"):
        read_checkpoint(tmp_path / "short.pt")


@pytest.mark.parametrize("data", [b"", b"no archive"])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "it.pt").write_bytes(data)
    with pytest.raises(WeightsError, match=r"it\.pt is not a checkpoint"):
        read_checkpoint(tmp_path / "it.pt")
    with pytest.raises(WeightsError, match=r"missing\.pt is not a checkpoint"):
        read_checkpoint(tmp_path / "missing.pt")
