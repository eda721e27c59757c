"""Write what training leaves on disk whole or not at all, and tell when it cannot be read."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from model.errors import NetworkConfigError, TrainingError, WeightsError

WEIGHTS = "model.safetensors"
"""The file of a checkpoint's weights."""
UNREADABLE = (OSError, RuntimeError, ValueError, LookupError, EOFError, pickle.UnpicklingError)
"""What torch raises when a checkpoint is damaged or of something else."""


@contextmanager
def remade(remedy: str) -> Iterator[None]:
    """Tell how to make a checkpoint again that cannot be loaded. The loader's own remedy is for
    weights that were downloaded.

    Raises: NetworkConfigError, WeightsError.
    """
    try:
        yield
    except (NetworkConfigError, WeightsError) as error:
        cause = str(error).partition(";")[0]
        raise type(error)(f"{cause}; {remedy}") from error


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield the path of a draft, which replaces ``path`` when the block ends without an error, and
    is removed after one.

    Raises: TrainingError when it cannot be written: torch and safetensors have errors of their own.
    """
    draft = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        draft.replace(path)
    except (OSError, RuntimeError, SafetensorError) as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise TrainingError(f"cannot write {path}: {error.strerror or error}") from error
        reason = str(error).partition("\n")[0]
        raise TrainingError(f"cannot write {path} ({reason}); is the disk full?") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` whole or not at all. Raises: TrainingError."""
    with written_whole(path) as draft:
        draft.write_bytes(content)


def write_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write ``tensors`` to the safetensors file ``path`` whole or not at all. Raises:
    TrainingError."""
    with written_whole(path) as draft:
        save_file(tensors, draft, metadata)
