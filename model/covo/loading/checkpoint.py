"""Load networks from a folder in the published layout.

Modules are constructed on the meta device, without memory, and filled tensor by tensor from
memory-mapped files, directly in the final dtype, device and quantisation. At most one tensor is
held twice at a time. Missing, extra or misshapen tensors are refused with a list of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.covo.config.device import set_up_torch
from model.covo.config.network_config import CovoConfig
from model.covo.config.precision import (
    SPEECH_FP32,
    Precision,
    SpeechPrecision,
    is_quantisable,
    parameter_bytes,
)
from model.covo.config.token2wav_config import Token2WavConfig
from model.covo.language.merging import merge_projections
from model.covo.language.network import CovoNetwork
from model.covo.loading.weight_files import WeightReader, open_weights, shards
from model.covo.loading.weight_recipes import (
    Recipe,
    is_constant,
    network_recipes,
    token2wav_recipes,
)
from model.covo.products.integers import quantised
from model.covo.speech.token2wav import Token2Wav
from model.errors import WeightsError

Progress = Callable[[int, int], None]
"""Called with the bytes loaded and the total."""

_SHOWN = 5


def load_network(
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    precision: Precision | None = None,
    merge: bool = True,
    progress: Progress = lambda done, total: None,
) -> CovoNetwork:
    """Load the language-model side from ``folder``: config.json and .safetensors, with or without
    an index. ``precision``: the config's own unless given. ``merge``: merge linear layers
    (:mod:`model.covo.language.merging`), to decode faster; otherwise parameters keep their
    published names.

    Raises: NetworkConfigError, WeightsError.
    """
    config = CovoConfig.read(folder / "config.json")
    if precision is None:
        precision = Precision.of_dtype(config.backbone.dtype)
    with torch.device("meta"):
        network = CovoNetwork(config)
    if merge:
        merge_projections(network.llm.model)
    fill(
        network,
        network_recipes(network),
        shards(folder),
        torch.device(device),
        precision,
        progress,
    )
    network.build_constants()
    network.eval()
    return network


def load_token2wav(
    folder: Path,
    *,
    config: Path | None = None,
    device: torch.device | str = "cpu",
    precision: SpeechPrecision = SPEECH_FP32,
    progress: Progress = lambda done, total: None,
) -> Token2Wav:
    """Load token2wav from ``folder``: model.safetensors or model.pt, and global_mean_var.npy.
    ``config``: its config.json, in ``folder`` unless given.

    Raises: NetworkConfigError, WeightsError.
    """
    settings = Token2WavConfig.read(config or folder / "config.json")
    mean, variance = load_statistics(folder / "global_mean_var.npy", settings.flow.latent)
    with torch.device("meta"):
        token2wav = Token2Wav(settings, mean.to(device), variance.to(device))
    safetensors = folder / "model.safetensors"
    path = safetensors if safetensors.is_file() else folder / "model.pt"
    recipes = token2wav_recipes(token2wav)
    fill(token2wav, recipes, (path,), torch.device(device), precision, progress)
    token2wav.wavegan.tf32 = precision.tf32
    token2wav.eval()
    return token2wav


def load_statistics(path: Path, latent: int) -> tuple[Tensor, Tensor]:
    """Return the latents' mean and variance, each (latent,), from ``path``. Raises:
    WeightsError."""
    try:
        array: NDArray[np.generic] = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing") from None
    except (OSError, ValueError, EOFError) as error:
        raise WeightsError(f"{path} is not an array file: {error}") from error
    values = torch.from_numpy(array.astype(np.float32).reshape(-1))
    if len(values) != 2 * latent:
        raise WeightsError(f"{path} has {len(values)} numbers, not {2 * latent}")
    mean, variance = values.chunk(2)
    if not bool(values.isfinite().all()) or bool((variance < 0).any()):
        raise WeightsError(f"{path} has a variance below 0 or values that are not numbers")
    return mean, variance


def fill(
    module: nn.Module,
    recipes: Sequence[Recipe],
    paths: Sequence[Path],
    device: torch.device,
    precision: Precision | SpeechPrecision,
    progress: Progress,
) -> None:
    """Fill every parameter of ``module`` (on the meta device) from ``paths``.

    Raises: WeightsError, naming the file, when tensors are missing, extra, misshapen or not finite,
    or a file is damaged.
    """
    set_up_torch()
    where: dict[str, Path] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for path in paths:
        with open_weights(path) as reader:
            for name, shape in reader.shapes.items():
                if name in where:
                    raise WeightsError(f"{name} is both in {where[name]} and in {path}")
                where[name], shapes[name] = path, shape
    _check_names(recipes, shapes, where, paths)
    sizes = planned_bytes(module, precision)
    total, done = sum(sizes.values()), 0
    for path in paths:
        # Keep a file open only while its tensors are read, so that its pages can be freed.
        with ExitStack() as stack:
            readers: dict[Path, WeightReader] = {}
            for recipe in (r for r in recipes if where[r.sources[0]] == path):
                for source in recipe.sources:
                    if where[source] not in readers:
                        opened = stack.enter_context(open_weights(where[source]))
                        readers[where[source]] = opened
                parts = recipe.build(*(readers[where[s]].read(s) for s in recipe.sources))
                try:
                    put(module, recipe.target, parts, device, precision.of(recipe.target))
                except ValueError as error:
                    raise WeightsError(f"{path}: {recipe.sources[-1]} {error}") from error
                done += sizes[recipe.target]
                progress(done, total)


def planned_bytes(module: nn.Module, precision: Precision | SpeechPrecision) -> dict[str, int]:
    """Return the bytes that each parameter of ``module`` will take. Raises: NetworkConfigError when
    int4 has no group size for one."""
    return {
        name: parameter_bytes(name, parameter.shape, precision.of(name))
        for name, parameter in module.named_parameters()
    }


def put(
    module: nn.Module,
    target: str,
    parts: Sequence[Tensor],
    device: torch.device,
    precision: Precision,
) -> None:
    """Make the rows of all ``parts`` the parameter ``target`` of ``module``, quantised if
    ``precision`` asks for it. Raises: ValueError when they are not finite in that precision."""
    dtype: torch.dtype = getattr(torch, precision.dtype)
    held = torch.empty(module.get_parameter(target).shape, dtype=dtype, device=device)
    # Copied one by one, so that no part is held twice on the host.
    for rows, part in zip(held.split([len(part) for part in parts]), parts, strict=True):
        rows.copy_(part)
    # Checking the extremes (NaN is both) avoids a mask of the tensor's size.
    if not all(bool(extreme.isfinite()) for extreme in held.aminmax()):
        raise ValueError(f"has values that are not numbers in {precision.dtype}")
    path, _, name = target.rpartition(".")
    owner = module.get_submodule(path)
    owner.register_parameter(name, nn.Parameter(held, requires_grad=False))
    if precision.quantised and is_quantisable(target) and isinstance(owner, nn.Linear):
        module.set_submodule(path, quantised(owner, precision))


def _check_names(
    recipes: Sequence[Recipe],
    shapes: Mapping[str, tuple[int, ...]],
    where: Mapping[str, Path],
    paths: Sequence[Path],
) -> None:
    wanted = {
        source: shape
        for recipe in recipes
        for source, shape in zip(recipe.sources, recipe.shapes, strict=True)
    }
    missing = [name for name in wanted if name not in shapes]
    extra = [name for name in shapes if name not in wanted and not is_constant(name)]
    misshapen = [n for n, shape in wanted.items() if n in shapes and shapes[n] != shape]
    differing = [f"{name} {shapes[name]}, not {wanted[name]}" for name in misshapen]
    found = [
        f"{len(names)} {label} ({_some(names)})"
        for label, names in (("missing", missing), ("extra", extra), ("misshapen", differing))
        if names
    ]
    if not found:
        return
    faulty = {where[name] for name in (*extra, *misshapen)}
    named = faulty.pop() if len(faulty) == 1 else paths[0] if len(paths) == 1 else paths[0].parent
    raise WeightsError(f"{named} does not match its config.json; tensors: " + "; ".join(found))


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
