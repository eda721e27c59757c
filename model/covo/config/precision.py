"""In which numbers the network is held and computed. No torch here.

``fp32``, ``bf16`` and ``fp16`` are what they say, for every weight. ``int8`` and ``int4`` are
weight-only quantisation by torchao of the linear layers in the language model's blocks, which are
84 % of all parameters at full size; everything is still computed in bf16.

Never quantised: encoder, adapter and embedding (a tenth of the bytes, and each is read rarely),
norms and biases, and the language model's head. The head is 1.2 GB at full size. In int8 it would
save half of that at rest, but torchao's kernel, run eagerly, writes the whole head out in bf16 in
every step, so that the peak would rise; and it is the one matrix whose error goes straight into
the choice of the token. So it stays exact.

int8 has one scale per row. int4 has one scale and one zero point per group of
:data:`INT4_GROUPS`, the largest that divides a row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from math import ceil, prod

from model.errors import NetworkConfigError

INT4_GROUPS = (128, 64, 32)
"""Weights per group, best first: larger groups are smaller and faster, and what all kernels know.
At full size every row is a multiple of 128."""

INT4_DEVICES = ("cuda", "cpu")
"""The types of device for which torchao has an int4 kernel."""

_BLOCK_LINEAR = re.compile(r"llm\.model\.layers\.\d+\.(self_attn|mlp)\.\w+_proj\.weight")
_TILE_ROWS, _TILE_COLUMNS = 8, 1024
"""CUDA's int4 kernel wants multiples of these; torchao fills up with zeros."""


class Precision(StrEnum):
    """How weights are held. The values are what a user writes."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"
    INT4 = "int4"

    @classmethod
    def named(cls, name: str) -> Precision:
        """The precision that a user calls ``name``. Raises: NetworkConfigError."""
        try:
            return cls(name)
        except ValueError:
            known = ", ".join(cls)
            raise NetworkConfigError(
                f"there is no precision {name!r}; there are: {known}"
            ) from None

    @classmethod
    def of_dtype(cls, name: str) -> Precision:
        """The precision that a config.json calls ``name``, such as ``bfloat16``.

        Raises: NetworkConfigError.
        """
        for precision, (dtype, _) in _PLAIN.items():
            if name.removeprefix("torch.") == dtype:
                return precision
        known = ", ".join(dtype for dtype, _ in _PLAIN.values())
        raise NetworkConfigError(f"there is no dtype {name!r}; there are: {known}")

    @property
    def quantised(self) -> bool:
        """Whether the linear layers of the language model's blocks are held as integers."""
        return self not in _PLAIN

    @property
    def dtype(self) -> str:
        """torch's name of what is computed in, and of all that is not quantised."""
        return _PLAIN.get(self, _PLAIN[Precision.BF16])[0]

    @property
    def item_bytes(self) -> int:
        """Bytes of one number of :attr:`dtype`."""
        return _PLAIN.get(self, _PLAIN[Precision.BF16])[1]

    def linear_bytes(self, rows: int, columns: int, device: str) -> int:
        """Bytes of a block's linear weight (rows, columns) on a device of the type ``device``
        (``cuda``, ``cpu`` ...), scales included. Raises: NetworkConfigError."""
        if self is Precision.INT8:
            return rows * (columns + 4 + 1)  # a float32 scale and an int8 zero point per row
        if self is Precision.INT4:
            group = int4_group(columns)
            if device == "cuda":
                rows, columns = _multiple(rows, _TILE_ROWS), _multiple(columns, _TILE_COLUMNS)
            return rows * columns // 2 + rows * (columns // group) * 2 * self.item_bytes
        return rows * columns * self.item_bytes


_PLAIN = {
    Precision.FP32: ("float32", 4),
    Precision.BF16: ("bfloat16", 2),
    Precision.FP16: ("float16", 2),
}

TOKEN2WAV_PRECISIONS = tuple(_PLAIN)
"""What token2wav can be held in: it is small, and bound by computing rather than by reading."""


def token2wav_precision(name: str, device: str) -> Precision:
    """The precision of token2wav that a user calls ``name`` on a device of the type ``device``.

    ``auto``: bf16, and fp32 on the CPU, which gains nothing from less. Raises: NetworkConfigError.
    """
    if name == "auto":
        return Precision.FP32 if device == "cpu" else Precision.BF16
    precision = Precision.named(name)
    if precision not in TOKEN2WAV_PRECISIONS:
        known = ", ".join(TOKEN2WAV_PRECISIONS)
        raise NetworkConfigError(f"token2wav has no precision {name!r}; there are: {known}")
    return precision


def is_quantisable(name: str) -> bool:
    """Whether the parameter called ``name`` is held as integers in int8 and int4."""
    return _BLOCK_LINEAR.fullmatch(name) is not None


def parameter_bytes(name: str, shape: Sequence[int], precision: Precision, device: str) -> int:
    """Bytes of the parameter ``name`` on a device of the type ``device``.

    Raises: NetworkConfigError when int4 has no group size for it.
    """
    if is_quantisable(name):
        return precision.linear_bytes(shape[0], shape[1], device)
    return prod(shape) * precision.item_bytes


def int4_group(columns: int) -> int:
    """Weights per int4 group in rows of ``columns``. Raises: NetworkConfigError."""
    for group in INT4_GROUPS:
        if columns % group == 0:
            return group
    raise NetworkConfigError(
        f"int4 needs layers whose width is a multiple of {INT4_GROUPS[-1]}, and one has {columns}; "
        "use another precision"
    )


def _multiple(value: int, of: int) -> int:
    return ceil(value / of) * of
