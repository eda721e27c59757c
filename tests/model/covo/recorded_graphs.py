"""CUDA graphs without CUDA: what runs during a capture is recorded, and done again on the same
tensors at each replay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from model.covo.speech import chunk_graphs


class RecordedGraph(TorchDispatchMode):
    """Stands for torch.cuda.CUDAGraph. A number that the host reads during the capture stays what
    it was, as in a real one."""

    made: list[RecordedGraph]

    def __init__(self) -> None:
        super().__init__()
        self.made.append(self)
        self.replays = 0
        self._steps: list[tuple[Any, Any, Any, list[Tensor]]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        results = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        self._steps.append((func, args, kwargs or {}, results))
        return out

    def replay(self) -> None:
        self.replays += 1
        for func, args, kwargs, results in self._steps:
            again = [leaf for leaf in tree_leaves(func(*args, **kwargs)) if leaf is not None]
            for result, new in zip(results, again, strict=True):
                if result.data_ptr() != new.data_ptr():
                    result.copy_(new)


@contextmanager
def _recording(graph: RecordedGraph, pool: object, stream: object) -> Iterator[None]:
    with graph:
        yield


def use_recorded_graphs(monkeypatch) -> list[RecordedGraph]:
    """Let ChunkGraphs run on the CPU; return the list that its graphs will be in."""
    made: list[RecordedGraph] = []
    monkeypatch.setattr(RecordedGraph, "made", made, raising=False)
    monkeypatch.setattr(chunk_graphs, "capturing", _recording)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", RecordedGraph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 0))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    return made
