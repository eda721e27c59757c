"""Precisions in which the network is held and computed. No torch here.

``fp32``, ``bf16`` and ``fp16`` apply to every weight. ``int8`` and ``int4`` quantise the linear
layers in the language model's blocks (:mod:`model.covo.products.integers`): 84 % of all parameters
at full size. Everything is still computed in bf16.

Encoder, adapter and embedding (a tenth of the bytes, rarely read), norms, biases and the language
model's head (1.2 GB at full size) are not quantised: the head's error would directly affect the
choice of tokens.

int8 has one scale per row; int4 has one scale and one offset per group, the largest of
:data:`INT4_GROUPS` that divides a row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import prod

from model.errors import NetworkConfigError

INT4_GROUPS = (128, 64, 32)
"""Weights per group, best first: larger groups take less memory and are faster. At full size every
row is a multiple of 128."""

_BLOCK_LINEAR = re.compile(r"llm\.model\.layers\.\d+\.(self_attn|mlp)\.\w+_proj\.weight")


class Precision(StrEnum):
    """How weights are held; the values are the users' names."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"
    INT4 = "int4"

    @classmethod
    def named(cls, name: str) -> Precision:
        """Return the precision called ``name``. Raises: NetworkConfigError."""
        try:
            return cls(name)
        except ValueError:
            known = ", ".join(cls)
            raise NetworkConfigError(f"no precision {name!r}; there are: {known}") from None

    @classmethod
    def of_dtype(cls, name: str) -> Precision:
        """Return config.json's precision ``name`` (``bfloat16`` ...). Raises:
        NetworkConfigError."""
        for precision, (dtype, _) in _PLAIN.items():
            if name.removeprefix("torch.") == dtype:
                return precision
        known = ", ".join(dtype for dtype, _ in _PLAIN.values())
        raise NetworkConfigError(f"no dtype {name!r}; there are: {known}")

    @property
    def quantised(self) -> bool:
        """Return whether the blocks' linear layers are held as integers."""
        return self not in _PLAIN

    @property
    def dtype(self) -> str:
        """Return torch's name of the dtype for computing and for all unquantised weights."""
        return _PLAIN.get(self, _PLAIN[Precision.BF16])[0]

    @property
    def item_bytes(self) -> int:
        """Return the bytes of one number of :attr:`dtype`."""
        return _PLAIN.get(self, _PLAIN[Precision.BF16])[1]

    def of(self, parameter: str) -> Precision:
        """Return the precision of ``parameter``: this one."""
        return self

    def linear_bytes(self, rows: int, columns: int) -> int:
        """Return the bytes, scales included, of a block's linear weight (rows, columns). Raises:
        NetworkConfigError."""
        if self is Precision.INT8:
            return rows * (columns + self.item_bytes)
        if self is Precision.INT4:
            groups = columns // int4_group(columns)
            return rows * (columns // 2 + groups * 2 * self.item_bytes)
        return rows * columns * self.item_bytes


_PLAIN = {
    Precision.FP32: ("float32", 4),
    Precision.BF16: ("bfloat16", 2),
    Precision.FP16: ("float16", 2),
}


@dataclass(frozen=True, slots=True)
class SpeechPrecision:
    """Precisions of token2wav's ``flow`` matching and ``vocoder``. ``tf32``: on CUDA, the vocoder's
    convolutions in fp32 may round their inputs to TF32 (10 bits)."""

    flow: Precision
    vocoder: Precision
    tf32: bool = False

    def __str__(self) -> str:
        if self.flow is self.vocoder:
            return str(self.flow)
        return f"{self.flow} (vocoder {self.vocoder})"

    def of(self, parameter: str) -> Precision:
        """Return the precision of ``parameter`` of token2wav."""
        return self.vocoder if parameter.startswith("wavegan.") else self.flow


SPEECH_FP32, SPEECH_BF16, SPEECH_FP16 = (SpeechPrecision(one, one) for one in _PLAIN)
SPEECH_AUTO = SpeechPrecision(Precision.BF16, Precision.FP32, tf32=True)
"""On a GPU. Against fp32 the vocoder's wave has 36 dB in bf16 and 54 in fp16 (H100, the tests'
weights), and TF32 keeps as many bits as fp16; it is a small part of the operations."""


def token2wav_precision(name: str, device: str) -> SpeechPrecision:
    """Return the precision of token2wav called ``name`` on a device of the type ``device``.

    ``auto``: :data:`SPEECH_AUTO`, or fp32 on the CPU, which gains nothing from less. Raises:
    NetworkConfigError.
    """
    if name == "auto":
        return SPEECH_FP32 if device == "cpu" else SPEECH_AUTO
    precision = Precision.named(name)
    if precision.quantised:
        known = ", ".join(_PLAIN)
        raise NetworkConfigError(f"token2wav has no precision {name!r}; there are: {known}")
    return SpeechPrecision(precision, precision)


def is_quantisable(name: str) -> bool:
    """Return whether int8 and int4 hold the parameter ``name`` as integers."""
    return _BLOCK_LINEAR.fullmatch(name) is not None


def parameter_bytes(name: str, shape: Sequence[int], precision: Precision) -> int:
    """Return the bytes of the parameter ``name``.

    Raises: NetworkConfigError when int4 has no group size for it.
    """
    if is_quantisable(name):
        return precision.linear_bytes(shape[0], shape[1])
    return prod(shape) * precision.item_bytes


def int4_group(columns: int) -> int:
    """Return the weights per int4 group in rows of ``columns``. Raises: NetworkConfigError."""
    for group in INT4_GROUPS:
        if columns % group == 0:
            return group
    raise NetworkConfigError(
        f"int4 needs layer widths that are multiples of {INT4_GROUPS[-1]}, not {columns}; use "
        "another precision"
    )
