"""Decoders of several conversations, which share the passes of one network."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from model.covo.batch.batch import JointStep, NewRows
from model.covo.batch.passes import LINGER_S, Passes
from model.covo.language.cache import KVCache
from model.covo.language.decoder import Decoder
from model.covo.language.network import CovoNetwork
from model.covo.language.sampling import TokenChooser
from model.errors import NetworkInputError

SLICE_ROWS = 256
"""Rows of a prefill in one pass: on a large GPU their products take as long as reading the weights,
so others wait for a slice about as long as for a step."""


class SharedDecoders:
    """Up to ``streams`` decoders of ``capacity`` tokens each. Each may have a thread of its own;
    steps that are due together are one pass. On CUDA all threads must use one stream.

    ``graph``, ``step_rows``: as of a :class:`~model.covo.language.decoder.Decoder`. ``linger_s``:
    see :mod:`model.covo.batch.passes`.
    """

    def __init__(
        self,
        network: CovoNetwork,
        streams: int,
        capacity: int,
        *,
        graph: bool = True,
        step_rows: int = 1,
        linger_s: float = LINGER_S,
    ) -> None:
        self.network = network
        self.step_rows = step_rows
        joint = JointStep(network, streams, capacity, graph=graph, step_rows=step_rows)
        self.joint = joint
        """What computes the passes, also those of one decoder's step on CUDA graphs: graphs of each
        decoder's own would take as much memory again."""
        self._captured = False
        self._free = list(reversed(range(streams)))

        def together(work: Sequence[_Rows]) -> None:
            found = joint.compute([one.new for one in work])
            # Nothing is counted before all is there, so that a failed pass can be repeated.
            for one, logits in zip(work, found, strict=True):
                one.decoder.keep(logits)
            for one in work:
                one.decoder.count(len(one.new.rows))

        mark = _DeviceMark(network.device) if network.device.type == "cuda" else None
        self.passes: Passes[_Rows] = Passes(together, mark, linger_s=linger_s)
        """The turns of all decoders."""

    def decoder(self) -> Decoder:
        """Return a decoder with an empty history, whose place is free again once nobody has it.

        Raises: NetworkInputError when all are taken.
        """
        if not self._free:
            raise NetworkInputError(
                f"all {len(self.joint.caches)} histories are taken; plan for more sessions"
            )
        stream = self._free.pop()
        decoder = _SharedDecoder(self, stream, self.joint.caches[stream])
        weakref.finalize(decoder, self._free.append, stream)
        return decoder

    def capture(self) -> None:
        """Capture the joint passes, before anything is appended to any decoder."""
        if not self._captured:
            for capture in self.joint.captures():
                capture()
            self._captured = True


class _SharedDecoder(Decoder):
    """A decoder of ``shared``, whose history is number ``stream``."""

    def __init__(self, shared: SharedDecoders, stream: int, cache: KVCache) -> None:
        super().__init__(
            shared.network,
            cache.capacity,
            graph=False,
            step_rows=shared.step_rows,
            cache=cache,
        )
        self._shared, self._stream = shared, stream

    def warm_up(self, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        self._shared.capture()
        super().warm_up(progress)

    def rest(self) -> None:
        self._shared.passes.rest(self._stream)

    def compute(self, rows: Tensor) -> None:
        """Append ``rows`` in a pass of this decoder's own."""
        joint = self._shared.joint
        if not joint.graphed or len(rows) > len(self._rows):
            super()._advance(rows)
            return
        (logits,) = joint.compute([NewRows(self._stream, self._computed, rows)])
        self.keep(logits)
        self.count(len(rows))

    @torch.inference_mode()
    def keep(self, logits: Tensor) -> None:
        """Keep the ``logits`` behind rows that a joint pass has computed."""
        self._logits.copy_(logits)

    def count(self, rows: int) -> None:
        """Take in that ``rows`` were computed, and their logits kept."""
        self._note(rows)

    def _advance(self, rows: Tensor) -> None:
        joins = len(rows) <= len(self._rows)
        for part in [rows] if joins else rows.split(SLICE_ROWS):
            new = NewRows(self._stream, self._computed, part)
            self._shared.passes.run(_Rows(self, new, joins))

    def _generate(
        self, chooser: TokenChooser, stop: Collection[int], limit: int, allowed: Tensor | None
    ) -> Iterator[int]:
        try:
            yield from super()._generate(chooser, stop, limit, allowed)
        finally:
            self.rest()


class _Rows(NamedTuple):
    """What ``decoder`` has to compute; a :class:`~model.covo.batch.passes.Work`."""

    decoder: _SharedDecoder
    new: NewRows
    joins: bool

    @property
    def stream(self) -> int:
        return self.new.stream

    def alone(self) -> None:
        self.decoder.compute(self.new.rows)


class _DeviceMark:
    """A :class:`~model.covo.batch.passes.PassMark` on the current stream of ``device``."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._event = torch.cuda.Event()

    def set(self) -> None:
        self._event.record(torch.cuda.current_stream(self._device))

    def wait(self) -> None:
        self._event.synchronize()
