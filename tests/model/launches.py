"""Counts what would start a kernel on a GPU while a network runs on the meta device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from model.covo.config import device

_ALLOCATIONS = ("aten.empty", "aten.new_empty")


class _Operations(TorchDispatchMode):
    """Counts torch's operations into ``counts``, but for views and allocations."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = str(func)
        if not name.startswith(_ALLOCATIONS) and not _is_view(func, (args, kwargs), out):
            self._counts[name] += 1
        return out


@contextmanager
def counted_launches() -> Iterator[Counter[str]]:
    """Count launches by name; ``total()`` of the result is their number. A Triton kernel counts as
    one and is not run; without Triton, torch's operations take its place."""
    counts: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        _count_triton(patch, counts)
        with _Operations(counts):
            yield counts


def launches(work: Callable[[], object]) -> int:
    """The number of launches of ``work``, on a network on the meta device."""
    with counted_launches() as counts:
        work()
    return counts.total()


def _count_triton(patch: pytest.MonkeyPatch, counts: Counter[str]) -> None:
    try:
        from triton.runtime.jit import JITFunction
    except ImportError:
        return

    def count(kernel, *_: object, **__: object) -> None:
        counts[f"triton.{kernel.fn.__name__}"] += 1

    patch.setattr(JITFunction, "run", count)
    patch.setattr(device, "TRITON_DEVICES", ("meta",))
    patch.setattr(device, "_triton_builds", lambda: True)


def _is_view(func: torch._ops.OpOverload, given: object, out: object) -> bool:
    """Whether ``out`` is memory of what was ``given``, which ``func`` leaves as it is."""
    if func._schema.is_mutable:
        return False
    held, made = (
        {x.untyped_storage()._cdata for x in tree_leaves(of) if isinstance(x, Tensor)}
        for of in (given, out)
    )
    return made <= held
