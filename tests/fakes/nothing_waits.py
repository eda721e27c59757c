"""A mode that refuses what would make the host wait for a GPU."""

from __future__ import annotations

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class NothingWaits(TorchDispatchMode):
    """The meta device plays the GPU's part: it has no numbers to read, and here a tensor of the
    CPU in any operation is a copy."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in tree_leaves((args, kwargs, out)):
            if isinstance(value, Tensor) and value.device.type != "meta":
                raise RuntimeError(f"{func} touches {value.device}")
        return out
