"""Read tensors by name from memory-mapped safetensors and PyTorch checkpoint files."""

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

_AGAIN = "it is truncated or damaged; download it again"


class WeightReader(Protocol):
    """An open file of named tensors."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the tensors' names and shapes without reading them."""
        ...

    def read(self, name: str) -> Tensor:
        """Return the tensor called ``name`` on the CPU, possibly a view of the mapped file."""
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
        yield reader  # outside: the caller's errors are not the file's


def shards(folder: Path) -> tuple[Path, ...]:
    """Return a model's safetensors files: those that an index names, else all in ``folder``.

    Raises: WeightsError when there are none or the index is unreadable.
    """
    indices = sorted(folder.glob("*.safetensors.index.json"))
    if len(indices) > 1:
        raise WeightsError(f"{folder} has {len(indices)} safetensors indices; keep one")
    if indices:
        try:
            names = set(json.loads(indices[0].read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise WeightsError(f"{indices[0]} is not a safetensors index: {error!r}") from error
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
    """A dict of tensors, bare or under ``model``; a name's prefix ``module.`` is dropped."""

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
            raise WeightsError(f"{path} holds something else than a dict of tensors")
        self._tensors: dict[str, Tensor] = {
            str(name).removeprefix("module."): tensor for name, tensor in held.items()
        }
        self.shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}

    def read(self, name: str) -> Tensor:
        return self._tensors[name]
