"""Reading tensors by name from safetensors and PyTorch checkpoint files, memory-mapped."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model.errors import WeightsError

_AGAIN = "it is cut off or damaged; download it again"


class WeightReader(Protocol):
    """An open file of named tensors."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The tensors' names and shapes; nothing has been read yet."""
        ...

    def read(self, name: str) -> Tensor:
        """The tensor called ``name``, on the CPU; it may lie in the mapped file."""
        ...


@contextmanager
def open_weights(path: Path) -> Iterator[WeightReader]:
    """Open a ``.safetensors`` file or a PyTorch checkpoint. Raises: WeightsError."""
    if not path.is_file():
        raise WeightsError(f"{path} is missing")
    if path.suffix != ".safetensors":
        yield _Checkpoint(path)
        return
    with ExitStack() as stack:
        with _not_whole(path):
            file = stack.enter_context(safe_open(path, framework="pt"))
            reader = _Safetensors(path, file)
        yield reader  # what the caller raises says nothing about the file


def shards(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a model: those that an index names, or else all in ``folder``.

    Raises: WeightsError when there are none, or the index cannot be read.
    """
    indices = sorted(folder.glob("*.safetensors.index.json"))
    if len(indices) > 1:
        raise WeightsError(f"{folder} has {len(indices)} safetensors indices; keep one")
    if indices:
        try:
            names = set(json.loads(indices[0].read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsError(f"{indices[0]} is no safetensors index: {error!r}") from error
        found = tuple(folder / name for name in sorted(names))
    else:
        found = tuple(sorted(folder.glob("*.safetensors")))
    if not found:
        raise WeightsError(f"{folder} has no .safetensors files")
    return found


@contextmanager
def _not_whole(path: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a whole safetensors file ({error}): {_AGAIN}") from error


class _Safetensors:
    def __init__(self, path: Path, file: safe_open) -> None:
        self._path, self._file = path, file
        self.shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118

    def read(self, name: str) -> Tensor:
        with _not_whole(self._path):
            tensor: Tensor = self._file.get_tensor(name)
        return tensor


class _Checkpoint:
    """A dict of tensors, by itself or under ``model``; ``module.`` before a name is dropped."""

    def __init__(self, path: Path) -> None:
        try:
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise WeightsError(
                f"{path} is not a checkpoint of tensors ({reason}): {_AGAIN}"
            ) from error
        if isinstance(held, dict) and isinstance(held.get("model"), dict):
            held = held["model"]
        if not isinstance(held, dict) or not all(isinstance(v, Tensor) for v in held.values()):
            raise WeightsError(f"{path} holds something else than named tensors")
        self._tensors: dict[str, Tensor] = {
            str(name).removeprefix("module."): tensor for name, tensor in held.items()
        }
        self.shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}

    def read(self, name: str) -> Tensor:
        return self._tensors[name]
