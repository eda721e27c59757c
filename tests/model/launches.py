"""Counts what would start a kernel on a GPU while a network runs on the meta device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from model.covo.config import device

_ALLOCATIONS = ("aten.empty", "aten.new_empty", "aten.lift_fresh", "aten.detach")


class _Operations(TorchDispatchMode):
    """Counts torch's operations into ``counts``, but for views and allocations."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func)
        if not name.startswith(_ALLOCATIONS) and not _is_view(func):
            self._counts[name] += 1
        return func(*args, **(kwargs or {}))


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


def _is_view(func: torch._ops.OpOverload) -> bool:
    """Whether what ``func`` returns is memory of its arguments, which it leaves as it is."""
    aliases = [returned.alias_info for returned in func._schema.returns]
    return bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases)
