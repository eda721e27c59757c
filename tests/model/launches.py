"""What would start a kernel on a GPU: counted on any device, compiled on the meta device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from model.covo.config import device

T = TypeVar("T")

LEAST_SHARED_MEMORY = 99 * 1024
"""Bytes that a kernel may use on consumer cards of every generation since Ampere."""

_ALLOCATIONS = ("aten.empty", "aten.new_empty")
_TRITON_NAMES = {
    torch.float32: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
    torch.int64: "i64",
    torch.int32: "i32",
    torch.int8: "i8",
    torch.uint8: "u8",
    torch.bool: "i1",
}


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
    """Count launches by name; ``total()`` of the result is their number. On the meta device a
    Triton kernel counts as one and is not run; elsewhere or without Triton, torch's operations take
    its place."""
    counts: Counter[str] = Counter()

    def count(kernel, *_: object, **__: object) -> None:
        counts[f"triton.{kernel.fn.__name__}"] += 1

    with _triton_on_meta(count), _Operations(counts):
        yield counts


def launches(work: Callable[[], object]) -> int:
    """The number of launches of ``work``."""
    with counted_launches() as counts:
        work()
    return counts.total()


def as_a_graph(counts: Counter[str], work: Callable[[], T]) -> T:
    """Do ``work`` and count it as one launch."""
    before = counts.copy()
    result = work()
    counts.clear()
    counts.update(before + Counter({"graph": 1}))
    return result


@contextmanager
def compiled_kernels(cache: Path) -> Iterator[set[str]]:
    """Compile Triton kernels that are launched on the meta device for an H100, each kind once,
    with ``cache`` as its folder; give the names of those that were. Each must fit the shared memory
    of smaller cards, too."""
    import triton
    from triton.backends.compiler import BaseBackend, GPUTarget
    from triton.compiler import ASTSource

    names: set[str] = set()
    seen: set[str] = set()

    def build(kernel, *args: object, grid: object, warmup: bool, **options: object) -> None:
        given = dict(zip(kernel.arg_names, args, strict=False))
        given |= {name: options.pop(name) for name in kernel.arg_names if name in options}
        # As Triton does it for a launch: what is None or 1 is a constant.
        constants = {
            param.name: value
            for param in kernel.params
            for value in (given[param.name],)
            if param.is_constexpr or value is None or (isinstance(value, int) and value == 1)
        }
        signature = {name: _triton_type(given[name]) for name in given if name not in constants}
        if (key := repr((kernel.fn.__name__, signature, constants, options))) not in seen:
            seen.add(key)
            signature |= dict.fromkeys(constants, "constexpr")
            aligned = {
                (at,): BaseBackend.parse_attr("D")
                for at, param in enumerate(kernel.params)
                if param.name not in constants
                and not param.do_not_specialize
                and _is_aligned(given[param.name])
            }
            source = ASTSource(kernel, signature, constexprs=constants, attrs=aligned)
            compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
            assert compiled.metadata.shared <= LEAST_SHARED_MEMORY
            names.add(kernel.fn.__name__)

    with pytest.MonkeyPatch.context() as patch, _triton_on_meta(build):
        patch.setenv("TRITON_CACHE_DIR", str(cache))
        yield names


@contextmanager
def _triton_on_meta(launch: Callable[..., None]) -> Iterator[None]:
    """Let the meta device have Triton kernels, and call ``launch`` instead of launching one."""
    with pytest.MonkeyPatch.context() as patch:
        try:
            from triton.runtime.jit import JITFunction
        except ImportError:
            pass
        else:
            patch.setattr(JITFunction, "run", launch)
            patch.setattr(device, "TRITON_DEVICES", ("meta",))
            patch.setattr(device, "_triton_builds", lambda: True)
        yield


def _triton_type(value: object) -> str:
    if isinstance(value, Tensor):
        return "*" + _TRITON_NAMES[value.dtype]
    return "i32" if isinstance(value, int) else "fp32"


def _is_aligned(value: object) -> bool:
    """Whether Triton's kernel for ``value`` may rely on multiples of 16."""
    return isinstance(value, Tensor) or (isinstance(value, int) and value % 16 == 0)


def _is_view(func: torch._ops.OpOverload, given: object, out: object) -> bool:
    """Whether ``out`` is memory of what was ``given``, which ``func`` leaves as it is."""
    if func._schema.is_mutable:
        return False
    held, made = (
        {x.untyped_storage()._cdata for x in tree_leaves(of) if isinstance(x, Tensor)}
        for of in (given, out)
    )
    return made <= held
