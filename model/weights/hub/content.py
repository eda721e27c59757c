"""Check that a file of the code repository is not some server's error page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from model.errors import WeightsError
from model.weights.hub.source import CodeFile


def check_content(wanted: CodeFile, path: Path) -> None:
    """Check that ``path`` holds the array or JSON object that ``wanted`` describes.

    Raises: WeightsError, OSError.
    """
    try:
        if wanted.shape:
            array = np.load(path, allow_pickle=False)
            if (array.dtype.name, array.shape) != (wanted.dtype, wanted.shape):
                raise ValueError(
                    f"it holds {array.dtype.name} {array.shape} instead of "
                    f"{wanted.dtype} {wanted.shape}"
                )
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError("it holds values that are not numbers")
        elif wanted.name.endswith(".json") and not isinstance(
            json.loads(path.read_text(encoding="utf-8")), dict
        ):
            raise ValueError("it holds no JSON object")
    except (ValueError, EOFError) as error:
        raise WeightsError(
            f"the download of {wanted.path} is something else ({error}); check the setting "
            f"models.code_host and the network, then pull again"
        ) from error
