"""The state of a vocoder stream, and one pass of a chunk through the layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

Tails = dict[tuple[nn.Module, str], Tensor]
"""The past that each layer keeps, by layer and name. The tensors are never written to, so a copy of
the dictionary is a copy of the state."""


@dataclass(frozen=True, slots=True)
class Phases:
    """The anti-aliasing filters. ``up`` (2, 1, 6): from six samples x[n-2] .. x[n+3] to the two at
    twice the rate between x[n] and x[n+1]; ``down`` (1, 2, 6): from six such pairs, n-3 to n+2,
    back to x[n]."""

    up: Tensor
    down: Tensor


@dataclass(frozen=True, slots=True)
class VocoderStream:
    """State of a stream; keep one to go back to it. Only for the vocoder that made it.

    ``tails``: the layers' state; ``received``: latents so far; ``exact``: samples that are final;
    ``given``: samples returned; ``ended``: whether the last chunk was given.
    """

    tails: Mapping[tuple[nn.Module, str], Tensor] = field(default_factory=dict, repr=False)
    received: int = 0
    exact: int = 0
    given: int = 0
    ended: bool = False


@dataclass(slots=True)
class StreamPass:
    """One chunk on its way through the layers, which read and update ``tails``. ``last``: nothing
    follows, so the layers pad the end and return everything."""

    tails: Tails
    last: bool
    filters: Phases

    def keep(self, layer: nn.Module, name: str, tail: Tensor) -> None:
        """Store a copy of ``tail``; a view would keep the whole chunk alive."""
        self.tails[layer, name] = tail.clone()
