"""Quantise one linear layer at a time, with torchao.

A layer is quantised as soon as its weight is loaded (:mod:`model.covo.loading.checkpoint`), so that
never more than one is held in bf16. Importing torchao takes seconds, so the first layer does it.

torchao has int4 kernels for CUDA (tinygemm, compute capability 8.0 and newer) and for CPUs. int8
runs everywhere; eagerly, it writes each weight out in bf16 before multiplying, so it saves memory
rather than time until a step is compiled.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from model.covo.config.precision import INT4_DEVICES, Precision, int4_group
from model.errors import NetworkConfigError

_OLDEST_FOR_INT4 = (8, 0)


def quantise(linear: nn.Linear, precision: Precision) -> None:
    """Replace ``linear``'s bf16 weight by its quantised form, on the same device.

    Raises: NetworkConfigError when no group size fits, or torchao has no kernel for the device.
    """
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

    # Left to itself, torchao would change the compiler's settings for the whole process.
    if precision is Precision.INT8:
        quantize_(linear, Int8WeightOnlyConfig(version=2, set_inductor_config=False))
        return
    group = int4_group(linear.in_features)
    if linear.weight.device.type == "cpu":
        packed = _int4_for_cpu().from_hp(linear.weight.detach(), [1, group])
        linear.weight = nn.Parameter(packed, requires_grad=False)
    else:
        config = Int4WeightOnlyConfig(
            group_size=group, int4_packing_format="tile_packed_to_4d", set_inductor_config=False
        )
        quantize_(linear, config)


def check_quantisable(precision: Precision, device: torch.device) -> None:
    """Check that ``device`` supports quantised layers. Raises: NetworkConfigError."""
    if not precision.quantised:
        return
    try:
        import torchao  # noqa: F401
    except ImportError as error:
        raise NetworkConfigError(
            f"{precision} needs torchao ({error}); install it with `pip install 'covo[covo]'`"
        ) from error
    if precision is not Precision.INT4:
        return
    if device.type not in INT4_DEVICES:
        known = " and ".join(INT4_DEVICES)
        raise NetworkConfigError(f"int4 runs on {known}, not on {device.type}; use int8")
    if device.type == "cpu":
        _int4_for_cpu()
        return
    capability = torch.cuda.get_device_capability(device)
    if capability < _OLDEST_FOR_INT4:
        raise NetworkConfigError(
            f"int4 needs a card of compute capability {_version(_OLDEST_FOR_INT4)} or newer, and "
            f"{torch.cuda.get_device_name(device)} has {_version(capability)}; use int8"
        )


def stored_bytes(tensor: Tensor) -> int:
    """Return the bytes of ``tensor``; for a quantised one, of integers, scales and zeros."""
    if not hasattr(tensor, "__tensor_flatten__"):
        return tensor.nbytes
    names, _ = tensor.__tensor_flatten__()
    return sum(stored_bytes(getattr(tensor, name)) for name in names)


def _int4_for_cpu() -> Any:
    """Return torchao's tensor class for int4 on CPUs, still a prototype."""
    try:
        from torchao.prototype.quantization.int4 import Int4OpaqueTensor
    except ImportError as error:
        raise NetworkConfigError(
            f"this torchao has no int4 for the CPU ({error}); use int8 or bf16"
        ) from error
    return Int4OpaqueTensor


def _version(numbers: tuple[int, int]) -> str:
    return ".".join(str(number) for number in numbers)
