"""CAM++: a speaker embedding from the sound of a voice, in numpy.

A front end of small 2-D convolutions reads the spectrogram; densely connected time-delay layers
follow, each of which masks its output by what it hears around it and in the whole sound; mean and
deviation over time become the embedding. All convolutions are matrix products with their batch
normalisation folded in. Paper: https://arxiv.org/abs/2303.00332
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from model.errors import WeightsError
from model.hearing.identity.fbank import Features

Matrix = NDArray[np.float32]
Weights = Mapping[str, Matrix]

DIMENSIONS = 192
"""Length of an embedding."""

_BLOCKS = ((12, 1), (24, 2), (16, 2))
"""Layers and dilation of each densely connected block."""
_SEGMENT = 100
"""Frames (20 ms) of the nearer context."""
_EPSILON = 1e-5
"""What batch normalisation adds to a variance."""


class CamPlusPlus:
    """The network with ``weights``, a state dict by name. Raises: WeightsError."""

    def __init__(self, weights: Weights) -> None:
        try:
            self._head = _Head(weights)
            self._first = _Convolution.folded(
                weights, "xvector.tdnn.linear", "xvector.tdnn.nonlinear.batchnorm", stride=2
            )
            self._blocks = [
                _DenseBlock(weights, number, layers, dilation)
                for number, (layers, dilation) in enumerate(_BLOCKS, 1)
            ]
            self._last = _Scale.read(weights, "xvector.out_nonlinear.batchnorm")
            self._embed = _Convolution.folded(
                weights, "xvector.dense.linear", "xvector.dense.nonlinear.batchnorm"
            )
        except (KeyError, ValueError) as error:
            raise WeightsError(f"these are not the weights of CAM++: {error}") from error

    def embed(self, features: Features) -> Matrix:
        """Return the embedding, shape (192,), of length 1. ``features``: shape (80, frames)."""
        x = _relu(self._first(self._head(features)))
        for block in self._blocks:
            x = block(x)
        x = _relu(self._last(x))
        deviation = x.std(axis=1, ddof=1)
        embedding = self._embed(np.concatenate([x.mean(axis=1), deviation])[:, None])[:, 0]
        return np.asarray(embedding / np.linalg.norm(embedding), np.float32)


@dataclass(frozen=True, slots=True)
class _Scale:
    """A batch normalisation: one factor and one offset a channel, shape (channels, 1)."""

    factor: Matrix
    offset: Matrix

    @classmethod
    def read(cls, weights: Weights, name: str) -> _Scale:
        factor = 1 / np.sqrt(weights[f"{name}.running_var"] + np.float32(_EPSILON))
        if (gain := weights.get(f"{name}.weight")) is not None:
            factor = factor * gain
        offset = -weights[f"{name}.running_mean"] * factor
        if (bias := weights.get(f"{name}.bias")) is not None:
            offset = offset + bias
        return cls(factor[:, None], offset[:, None])

    def __call__(self, x: Matrix) -> Matrix:
        scaled = x * self.factor
        scaled += self.offset
        return scaled


@dataclass(frozen=True, slots=True)
class _Convolution:
    """A convolution over time that keeps the length, but for its ``stride``.

    ``weight`` has shape (taps * out, in), ``bias`` (out, 1).
    """

    weight: Matrix
    bias: Matrix
    dilation: int = 1
    stride: int = 1

    @classmethod
    def folded(cls, weights: Weights, name: str, norm: str, stride: int = 1) -> _Convolution:
        """Return the convolution ``name``, then the batch normalisation ``norm``."""
        kernel, scale = weights[f"{name}.weight"], _Scale.read(weights, norm)
        return cls(_tap_by_tap(kernel * scale.factor[:, None]), scale.offset, stride=stride)

    @classmethod
    def read(cls, weights: Weights, name: str, dilation: int = 1) -> _Convolution:
        """Return the convolution ``name``."""
        kernel = weights[f"{name}.weight"]
        bias = weights.get(f"{name}.bias", np.zeros(len(kernel), np.float32))
        return cls(_tap_by_tap(kernel), bias[:, None], dilation)

    def __call__(self, x: Matrix) -> Matrix:
        products = (self.weight @ x).reshape(-1, len(self.bias), x.shape[1])
        return _sum_of_taps(products, self.dilation)[:, :: self.stride] + self.bias


@dataclass(frozen=True, slots=True)
class _Convolution2d:
    """A square 2-D convolution with batch normalisation; ``stride`` is over frequency.

    ``weight`` has shape (side * out, side * in), ``bias`` (out, 1).
    """

    weight: Matrix
    bias: Matrix
    side: int
    stride: int

    @classmethod
    def folded(cls, weights: Weights, name: str, norm: str, stride: int = 1) -> _Convolution2d:
        kernel, scale = weights[f"{name}.weight"], _Scale.read(weights, norm)
        flat = kernel.swapaxes(1, 2).reshape(len(kernel), -1, kernel.shape[-1])
        return cls(
            _tap_by_tap(flat * scale.factor[:, None]), scale.offset, kernel.shape[-1], stride
        )

    def __call__(self, x: Matrix) -> Matrix:
        """Map shape (bands, channels, frames) to (bands / stride, channels out, frames)."""
        pad = self.side // 2
        padded = np.pad(x, ((pad, pad), (0, 0), (0, 0)))
        # A band and its neighbours, one after another in memory, are one matrix: no copy.
        band, channel, frame = padded.strides
        count, channels, frames = x.shape
        near = as_strided(
            padded,
            (-(-count // self.stride), self.side * channels, frames),
            (self.stride * band, channel, frame),
            writeable=False,
        )
        products = (self.weight @ near).reshape(len(near), self.side, -1, frames)
        return _sum_of_taps(products.swapaxes(0, 1)) + self.bias


def _tap_by_tap(kernel: Matrix) -> Matrix:
    """Return ``kernel``, shape (out, in, taps), as the matrices of its taps below each other."""
    return np.ascontiguousarray(kernel.transpose(2, 0, 1).reshape(-1, kernel.shape[1]))


def _sum_of_taps(products: Matrix, dilation: int = 1) -> Matrix:
    """Add up what each tap gives, moved in time by its distance from the middle one.

    ``products``: shape (taps, ..., frames), which is written to.
    """
    middle = len(products) // 2
    total: Matrix = products[middle]
    for tap, product in enumerate(products):
        later = (tap - middle) * dilation
        if later > 0:
            total[..., :-later] += product[..., later:]
        elif later < 0:
            total[..., -later:] += product[..., :later]
    return total


class _Head:
    """The front end: two residual layers between two convolutions, and an eighth of the bands."""

    def __init__(self, weights: Weights) -> None:
        self._first = _Convolution2d.folded(weights, "head.conv1", "head.bn1")
        self._residual = [
            _Residual(weights, f"head.{layer}.{number}", stride=2 if number == 0 else 1)
            for layer in ("layer1", "layer2")
            for number in (0, 1)
        ]
        self._last = _Convolution2d.folded(weights, "head.conv2", "head.bn2", stride=2)

    def __call__(self, features: Features) -> Matrix:
        """Map shape (80, frames) to (320, frames)."""
        x = _relu(self._first(features[:, None]))
        for layer in self._residual:
            x = layer(x)
        x = _relu(self._last(x))
        return x.swapaxes(0, 1).reshape(-1, x.shape[-1])


class _Residual:
    """Two 2-D convolutions beside a shortcut, which has one of its own where the size changes."""

    def __init__(self, weights: Weights, name: str, stride: int) -> None:
        self._first = _Convolution2d.folded(weights, f"{name}.conv1", f"{name}.bn1", stride)
        self._second = _Convolution2d.folded(weights, f"{name}.conv2", f"{name}.bn2")
        self._shortcut: Callable[[Matrix], Matrix] = lambda x: x
        if stride > 1:
            short = f"{name}.shortcut"
            self._shortcut = _Convolution2d.folded(weights, f"{short}.0", f"{short}.1", stride)

    def __call__(self, x: Matrix) -> Matrix:
        return _relu(self._second(_relu(self._first(x))) + self._shortcut(x))


class _DenseBlock:
    """Densely connected layers: each adds channels to what it reads; then a halving of them."""

    def __init__(self, weights: Weights, number: int, layers: int, dilation: int) -> None:
        name = f"xvector.block{number}"
        self._layers = [
            _MaskedLayer(weights, f"{name}.tdnnd{layer}", dilation)
            for layer in range(1, layers + 1)
        ]
        transit = f"xvector.transit{number}"
        self._scale = _Scale.read(weights, f"{transit}.nonlinear.batchnorm")
        self._halve = _Convolution.read(weights, f"{transit}.linear")

    def __call__(self, x: Matrix) -> Matrix:
        had = len(x)
        # All layers write into one buffer, each reads what lies before its place.
        grown = np.empty((len(self._scale.factor), x.shape[1]), np.float32)
        grown[:had] = x
        for layer in self._layers:
            added = layer(grown[:had])
            grown[had : had + len(added)] = added
            had += len(added)
        return self._halve(_relu(self._scale(grown)))


class _MaskedLayer:
    """A time-delay layer whose output is masked by its context (context-aware masking)."""

    def __init__(self, weights: Weights, name: str, dilation: int) -> None:
        self._scale = _Scale.read(weights, f"{name}.nonlinear1.batchnorm")
        self._narrow = _Convolution.folded(
            weights, f"{name}.linear1", f"{name}.nonlinear2.batchnorm"
        )
        self._local = _Convolution.read(weights, f"{name}.cam_layer.linear_local", dilation)
        self._mask_in = _Convolution.read(weights, f"{name}.cam_layer.linear1")
        self._mask_out = _Convolution.read(weights, f"{name}.cam_layer.linear2")

    def __call__(self, x: Matrix) -> Matrix:
        x = _relu(self._narrow(_relu(self._scale(x))))
        starts = np.arange(0, x.shape[1], _SEGMENT)
        lengths = np.diff(np.append(starts, x.shape[1]))
        segments = np.add.reduceat(x, starts, axis=1) / lengths.astype(np.float32)
        context = x.mean(axis=1, keepdims=True) + segments
        mask = 1 / (1 + np.exp(-self._mask_out(_relu(self._mask_in(context)))))
        return np.asarray(self._local(x) * np.repeat(mask, lengths, axis=1), np.float32)


def _relu(x: Matrix) -> Matrix:
    return np.maximum(x, 0, out=x)
