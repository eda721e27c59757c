"""Read the tensors of a PyTorch checkpoint without PyTorch.

A checkpoint is a zip archive: ``data.pkl`` describes the tensors, ``data/<key>`` holds the bytes of
each storage.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import WeightsError

Tensors = dict[str, NDArray[np.float32]]

_STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def read_checkpoint(path: Path) -> Tensors:
    """Return the floating-point tensors of a saved state dict, by name.

    No code in the file is run. Raises: WeightsError.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            root = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(root) as description:
                found = _TensorUnpickler(description, archive, root.removesuffix(".pkl")).load()
    except (OSError, zipfile.BadZipFile, StopIteration, ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{path} is not a checkpoint that can be read: {error}") from error
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path} holds more than tensors: {error}") from error
    return {name: tensor for name, tensor in found.items() if tensor.dtype == np.float32}


class _TensorUnpickler(pickle.Unpickler):
    """Unpickles tensors and dicts of them, and refuses all else."""

    def __init__(self, description: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(description)
        self._archive = archive
        self._folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> NDArray[Any]:
        _, dtype, key, _, _ = pid
        return np.frombuffer(self._archive.read(f"{self._folder}/{key}"), dtype)


def _tensor(
    storage: NDArray[Any], offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> NDArray[Any]:
    size = storage.itemsize
    steps = tuple(step * size for step in strides)
    return np.ndarray(shape, storage.dtype, storage.data, offset * size, steps)
