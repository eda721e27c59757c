"""The state of a vocoder stream, and one pass over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from model.covo.speech.antialias_filter import Phases

Tails = dict[tuple[nn.Module, str], Tensor]
"""What each layer keeps of its past, by the layer and the name of what is kept. The tensors are
never written to, so copying the dictionary copies the state."""


@dataclass(frozen=True, slots=True)
class VocoderStream:
    """Where a stream is: the layers' ``tails``, latents ``received``, samples that are ``exact``
    and samples ``given`` out, and whether it has ``ended``. It belongs to the vocoder that made
    it; keeping one is enough to go back to it."""

    tails: Mapping[tuple[nn.Module, str], Tensor] = field(default_factory=dict, repr=False)
    received: int = 0
    exact: int = 0
    given: int = 0
    ended: bool = False


@dataclass(slots=True)
class StreamPass:
    """One chunk on its way through the layers, which take from ``tails`` and put back. ``last``:
    nothing follows, so the layers fill up at the end and give out everything."""

    tails: Tails
    last: bool
    filters: Phases

    def keep(self, layer: nn.Module, name: str, tail: Tensor) -> None:
        """Put ``tail`` back. Copied: a view would keep the whole chunk alive."""
        self.tails[layer, name] = tail.clone()
