"""Linear layers that hold their weights as integers.

int8 has a scale per row: ``weight = scale * integer``. int4 has a scale and an offset per group of
:func:`model.covo.config.precision.int4_group` weights of a row, ``weight = scale * (integer - 8) +
offset``; a byte holds a weight of the group's first half (its low bits) and, at the same place, one
of its second. Scales and offsets are bfloat16, and the integers are rounded with these in mind.

The layers' own product writes out a part of the weights at a time in the rows' dtype, which suits
many rows and runs on every device. :mod:`model.covo.products.linear` does without on a GPU.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from model.covo.config.precision import Precision, int4_group
from model.covo.memory.workspace import ROUNDED, WRITTEN_OUT

_LARGEST = 127
_MIDDLE, _LEVELS = 8, 16
_RANGES = (1.0, 0.9, 0.8)
"""Shares of an int4 group's range to try: clamping a few weights can be better for the others."""


class IntegerLinear(nn.Module, ABC):
    """A linear layer of rows (n, in_features); it cannot be trained."""

    weight: Tensor
    scales: Tensor
    bias: Tensor | None
    group = 0
    """Weights per scale, 0 for a row."""

    def __init__(self, weight: Tensor, scales: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features = len(weight)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.scales = nn.Parameter(scales, requires_grad=False)
        self.register_parameter("bias", None if bias is None else nn.Parameter(bias, False))

    @property
    @abstractmethod
    def in_features(self) -> int:
        """Return the width of a row."""

    @abstractmethod
    def _multiply(self, rows: Tensor, outputs: slice) -> Tensor:
        """Return some ``outputs`` for ``rows`` (n, in_features)."""

    def forward(self, rows: Tensor) -> Tensor:
        """Return (n, out_features) for ``rows`` (n, in_features)."""
        product = rows.new_empty(len(rows), self.out_features)
        for outputs in _parts(self.out_features, WRITTEN_OUT // self.in_features):
            product[:, outputs] = self._multiply(rows, outputs)
        return product


class Int8Linear(IntegerLinear):
    """``weight``: int8 (out, in); ``scales``: (out,)."""

    @property
    def in_features(self) -> int:
        return self.weight.shape[1]

    def _multiply(self, rows: Tensor, outputs: slice) -> Tensor:
        # The integers are exact in every dtype; scaled weights would be rounded again.
        sums = linear(rows, self.weight[outputs].to(rows.dtype))
        scales = self.scales[outputs].to(rows.dtype)
        if self.bias is None:
            return sums.mul_(scales)
        return torch.addcmul(self.bias[outputs], sums, scales)


class Int4Linear(IntegerLinear):
    """``weight``: uint8 (out, in / 2); ``scales``: scale and offset of each group (out, groups,
    2)."""

    def __init__(self, weight: Tensor, scales: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, scales, bias)
        self.group = self.in_features // scales.shape[1]

    @property
    def in_features(self) -> int:
        return 2 * self.weight.shape[1]

    def _multiply(self, rows: Tensor, outputs: slice) -> Tensor:
        packed = self.weight[outputs].unflatten(1, (-1, self.group // 2))
        scale, offset = self.scales[outputs].to(rows.dtype).unsqueeze(2).unbind(-1)
        shape = (*packed.shape[:2], 2, packed.shape[2])
        weight = torch.empty(shape, dtype=rows.dtype, device=rows.device)
        for half, integers in enumerate((packed & (_LEVELS - 1), packed >> 4)):
            centred = integers.to(rows.dtype).sub_(_MIDDLE)
            torch.addcmul(offset, centred, scale, out=weight[:, :, half])
        bias = None if self.bias is None else self.bias[outputs]
        return linear(rows, weight.flatten(1), bias)


def quantised(layer: nn.Linear, precision: Precision) -> IntegerLinear:
    """Return ``layer`` in int8 or int4, on the same device; its bias is shared.

    Raises: NetworkConfigError when int4 has no group size for it.
    """
    weight, bias = layer.weight.detach(), layer.bias
    rows, columns = weight.shape
    if precision is Precision.INT8:
        integers = torch.empty(rows, columns, dtype=torch.int8, device=weight.device)
        scales = torch.empty(rows, dtype=torch.bfloat16, device=weight.device)
        for part in _parts(rows, ROUNDED // columns):
            integers[part], scales[part] = _to_int8(_float_copy(weight[part]))
        return Int8Linear(integers, scales, bias)
    group = int4_group(columns)
    integers = torch.empty(rows, columns // 2, dtype=torch.uint8, device=weight.device)
    shape = (rows, columns // group, 2)
    scales = torch.empty(shape, dtype=torch.bfloat16, device=weight.device)
    for part in _parts(rows, ROUNDED // columns):
        groups = _float_copy(weight[part]).unflatten(1, (-1, group))
        integers[part], scales[part] = _to_int4(groups)
    return Int4Linear(integers, scales, bias)


def _parts(rows: int, most: int) -> Iterator[slice]:
    """Yield ``rows`` in parts of ``most``, or of one where that is 0."""
    most = max(1, most)
    return (slice(start, start + most) for start in range(0, rows, most))


def _float_copy(weight: Tensor) -> Tensor:
    return weight.to(torch.float32, copy=True)


def _to_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return integers and scales of ``weight`` (rows, columns), float32."""
    scales = (weight.abs().amax(dim=1) / _LARGEST).bfloat16()
    integers = weight.div_(_divisor(scales)[:, None]).round_()
    return integers.clamp_(-_LARGEST, _LARGEST).to(torch.int8), scales


def _to_int4(groups: Tensor) -> tuple[Tensor, Tensor]:
    """Return bytes (rows, columns / 2) and scales (rows, groups, 2) of ``groups`` (rows, groups,
    weights), float32."""
    low, high = groups.aminmax(dim=-1)
    centre, width = (low + high) / 2, (high - low) / (_LEVELS - 1)
    least = torch.full_like(centre, torch.inf)
    scales = torch.empty(*centre.shape, 2, dtype=torch.bfloat16, device=groups.device)
    integers = torch.empty_like(groups, dtype=torch.uint8)
    for share in _RANGES:
        scale = (share * width).bfloat16()
        offset = (centre + scale.float() / 2).bfloat16()
        step, middle = scale.float()[..., None], offset.float()[..., None]
        levels = ((groups - middle) / _divisor(step)).round_()
        levels.clamp_(-_MIDDLE, _LEVELS - 1 - _MIDDLE)
        error = torch.addcmul(middle, levels, step).sub_(groups).square_().sum(dim=-1)
        better = error < least
        least = torch.where(better, error, least)
        scales = torch.where(better[..., None], torch.stack((scale, offset), dim=-1), scales)
        chosen = levels.add_(_MIDDLE).to(torch.uint8)
        integers = torch.where(better[..., None], chosen, integers)
    first, second = integers.chunk(2, dim=-1)
    return (first | second << 4).flatten(1), scales


def _divisor(scales: Tensor) -> Tensor:
    """Return ``scales`` in float32 to divide by, with 1 where all weights are the same."""
    return scales.float().masked_fill(scales == 0, 1.0)
