"""Tell a training's inputs apart: the network that it began with, and the samples it learns from.

A stopped training goes on with the same inputs only, and a complete one is made again for others.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from model.duplex.network.network import TOKENIZER
from model.duplex.protocol.profile import FILE
from model.duplex.training.dataset import SOUNDS
from model.duplex.training.training_config import TrainingConfig

_FLAC_HEAD = 4096
"""Bytes of a FLAC file that are read: its header has a digest of all its samples."""


def training_inputs(config: TrainingConfig) -> dict[str, str]:
    """Return a digest of each folder that ``config`` reads, by its key in the TOML file.

    A folder that is missing is left out. Reads all weights. Raises: OSError.
    """
    samples = {"data.folder": config.data.folder}
    if config.data.held_out is not None:
        samples["data.held_out"] = config.data.held_out
    if config.chat is not None:
        samples["chat.folder"] = config.chat.folder
    source = config.network.folder
    network = [source / name for name in ("config.json", FILE, TOKENIZER)]
    inputs = {"network.folder": _digest([*network, *source.glob("*.safetensors")])}
    for key, folder in samples.items():
        kinds = (".json", *SOUNDS)
        inputs[key] = _digest(path for path in folder.glob("*") if path.suffix in kinds)
    return {key: digest for key, digest in inputs.items() if digest}


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the keys of the inputs that are there ``now`` and were others ``before``."""
    return [key for key, digest in now.items() if before.get(key) != digest]


def _digest(paths: Iterable[Path]) -> str:
    """Return a digest of the names and contents of the files that are there; "" if none is."""
    whole, found = hashlib.sha256(), sorted(path for path in paths if path.is_file())
    for path in found:
        whole.update(os.fsencode(path.name) + b"\0")
        with path.open("rb") as file:
            if path.suffix == ".flac":
                whole.update(hashlib.sha256(file.read(_FLAC_HEAD)).digest())
            else:
                whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest() if found else ""
