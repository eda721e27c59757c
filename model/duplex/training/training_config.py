"""What ``covo train duplex --config`` reads: a TOML file, checked to the last key.

::

    [network]
    folder = "checkpoint"        # a Covo-Audio checkpoint with a duplex.json
    output = "trained"           # what comes of it, and what to resume from
    dtype = "float16"            # of the weights that are written

    [data]
    folder = "dialogues"
    codec = "none"

    [training]
    steps = 1000
    batch = 8
    ...

    [loss]
    think = 0.3
    ...

Paths are relative to the file.
"""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from model.covo.config.precision import Precision
from model.duplex.training.batch import LossWeights
from model.duplex.training.dataset import Codec
from model.errors import NetworkConfigError, TrainingError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NetworkSection:
    """Where the network comes from and goes to. ``dtype``: of the weights that are written."""

    folder: str
    output: str
    dtype: str = "bfloat16"


@dataclass(frozen=True, slots=True)
class DataSection:
    """The dialogues (:mod:`model.duplex.training.dataset`). ``keep``: hold all in memory, read
    once.
    """

    folder: str
    codec: str = "none"
    keep: bool = False


@dataclass(frozen=True, slots=True)
class TrainingSection:
    """How it is trained.

    A step is ``accumulate`` batches of ``batch`` dialogues. The learning rate rises over
    ``warm_up`` steps and falls along a cosine. ``precision``: of the computation, float32 or
    bfloat16 (weights that are trained stay float32). ``lora_rank`` 0 trains everything; otherwise
    adapters of that rank in the language model and the encoder are trained, and the audio adapter.
    """

    steps: int
    batch: int = 8
    accumulate: int = 1
    learning_rate: float = 1e-4
    warm_up: int = 100
    weight_decay: float = 0.01
    clip: float = 1.0
    precision: str = "float32"
    lora_rank: int = 0
    lora_alpha: int = 16
    save_every: int = 500
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """The whole file; ``root`` is the folder it lies in."""

    network: NetworkSection
    data: DataSection
    training: TrainingSection
    loss: LossWeights = field(default_factory=LossWeights)
    root: Path = Path()

    def path(self, name: str) -> Path:
        """A path of the file."""
        return self.root / Path(name).expanduser()

    @classmethod
    def read(cls, path: Path) -> TrainingConfig:
        """Raises: TrainingError, naming the file and the key."""
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise TrainingError(f"{path} cannot be read as TOML: {error}") from error
        known = ("network", "data", "training", "loss")
        if unknown := [name for name in values if name not in known]:
            raise TrainingError(f"{path}: there is no section [{unknown[0]}]; there are: {known}")

        def section(name: str, kind: type[T]) -> T:
            return _section(kind, values.get(name, {}), f"{path}: [{name}]")

        config = cls(
            network=section("network", NetworkSection),
            data=section("data", DataSection),
            training=section("training", TrainingSection),
            loss=section("loss", LossWeights),
            root=path.parent,
        )
        training = config.training
        if min(training.steps, training.batch, training.accumulate, training.save_every) < 1:
            raise TrainingError(f"{path}: steps, batch, accumulate and save_every begin at 1")
        if training.precision not in ("float32", "bfloat16"):
            raise TrainingError(
                f"{path}: precision is {training.precision!r}, not float32 or bfloat16"
            )
        if training.lora_rank < 0:
            raise TrainingError(f"{path}: lora_rank is {training.lora_rank}, below 0")
        if config.data.codec not in list(Codec):
            raise TrainingError(
                f"{path}: there is no codec {config.data.codec!r}; there are: {', '.join(Codec)}"
            )
        try:  # now, and not when hours of training are to be written
            Precision.of_dtype(config.network.dtype)
        except NetworkConfigError as error:
            raise TrainingError(f"{path}: {error}") from None
        return config


def _section(kind: type[T], values: object, where: str) -> T:
    if not isinstance(values, dict):
        raise TrainingError(f"{where} is not a section")
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := [name for name in values if name not in fields]:
        raise TrainingError(f"{where} has no {unknown[0]!r}; there are: {', '.join(fields)}")
    missing = [n for n, f in fields.items() if f.default is dataclasses.MISSING and n not in values]
    if missing:
        raise TrainingError(f"{where} lacks {missing[0]!r}")
    return kind(**{n: _value(v, fields[n].type, f"{where} {n}") for n, v in values.items()})


def _value(value: object, kind: Any, where: str) -> Any:
    wanted: Any = {"str": str, "int": int, "float": int | float, "bool": bool}[kind]
    if not isinstance(value, wanted) or isinstance(value, bool) != (kind == "bool"):
        raise TrainingError(f"{where} is {value!r}, not of type {kind}")
    return value
