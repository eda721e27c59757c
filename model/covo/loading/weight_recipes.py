"""How each parameter is made from a checkpoint's tensors.

Most are a tensor of the same name, or several after another where layers are merged
(:mod:`model.covo.language.merging`). BigVGAN's convolutions are stored in weight norm's old form
(magnitude ``weight_g``, direction ``weight_v``) and SnakeBeta's parameters as logarithms; both are
folded at load, in float32, instead of in every call.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.covo.language.merging import MergedLinear

Shape = tuple[int, ...]

_SNAKE_FLOOR = 1e-9
_UPSAMPLER = re.compile(r"(wavegan\.ups\.\d+)\.")
_CONSTANT = re.compile(r"\.rotary\.inv_freq$|\.(upsample|downsample\.lowpass)\.filter$")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Parameter ``target`` = the rows of all ``build(*tensors)``, for the tensors ``sources`` with
    ``shapes``."""

    target: str
    sources: tuple[str, ...]
    shapes: tuple[Shape, ...]
    build: Callable[..., tuple[Tensor, ...]]


def network_recipes(module: nn.Module) -> list[Recipe]:
    """Return the recipes of the language-model side: every parameter as stored, but for those of
    merged layers."""
    return [_stored(module, name, tuple(p.shape)) for name, p in module.named_parameters()]


def token2wav_recipes(module: nn.Module) -> list[Recipe]:
    """Return the recipes of token2wav: the vocoder folded, the rest as in
    :func:`network_recipes`."""
    return [_token2wav(module, name, tuple(p.shape)) for name, p in module.named_parameters()]


def is_constant(name: str) -> bool:
    """Return whether a checkpoint's tensor is computed here: RoPE's frequencies, filters."""
    return _CONSTANT.search(name) is not None


def fold_weight_norm(magnitude: Tensor, direction: Tensor) -> Tensor:
    """Return ``magnitude * direction / |direction|``, normed over all but the first dimension."""
    direction = direction.float()
    norm = torch.linalg.vector_norm(direction.flatten(1), dim=1).view_as(magnitude)
    folded: Tensor = direction * (magnitude.float() / norm)
    return folded


def _token2wav(module: nn.Module, name: str, shape: Shape) -> Recipe:
    if not name.startswith("wavegan."):
        return _stored(module, name, shape)
    stored = _UPSAMPLER.sub(r"\1.0.", name)
    if name.endswith(".act.alpha"):
        return Recipe(name, (stored,), (shape,), lambda alpha: (alpha.float().exp(),))
    if name.endswith(".act.beta"):
        return Recipe(name, (stored,), (shape,), _fold_beta)
    if name.endswith(".weight"):
        magnitude = (shape[0], *(1 for _ in shape[1:]))
        both = (f"{stored}_g", f"{stored}_v")
        return Recipe(name, both, (magnitude, shape), lambda g, v: (fold_weight_norm(g, v),))
    return Recipe(name, (stored,), (shape,), _same)


def _stored(module: nn.Module, name: str, shape: Shape) -> Recipe:
    owner, _, kind = name.rpartition(".")
    merged = module.get_submodule(owner)
    if not isinstance(merged, MergedLinear):
        return Recipe(name, (name,), (shape,), _same)
    beside = owner.rpartition(".")[0]
    sources = tuple(f"{beside}.{part}.{kind}" for part in merged.parts)
    shapes = tuple((rows, *shape[1:]) for rows in merged.parts.values())
    return Recipe(name, sources, shapes, _same)


def _fold_beta(beta: Tensor) -> tuple[Tensor]:
    return (1.0 / (beta.float().exp() + _SNAKE_FLOOR),)


def _same(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tensors
