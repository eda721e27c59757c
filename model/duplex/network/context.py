"""The language model's memory of a conversation that may last for hours: an attention sink.

The prompt stays for ever, of the rest the newest ``window`` tokens. When they are reached, the
oldest ``evict`` are forgotten at once: their keys and values go, and the keys behind them, which
hold their position as a rotation, are turned back by as many positions. Nothing is computed again,
positions never grow beyond prompt and window, and the cost is one pass over the cache for every
``evict`` tokens. (What is kept has seen what is forgotten; it is not as if that had never been
said.) The idea of the sink is StreamingLLM's, arXiv 2309.17453.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from model.covo.language.decoder import Decoder
from model.covo.language.network import CovoNetwork
from model.duplex.protocol.profile import DuplexProfile


@dataclass(slots=True)
class Context:
    """A history whose first ``kept`` tokens are the prompt; ``forgotten``: tokens that are no
    longer there. :meth:`advance` changes it; copy it to be able to go back."""

    decoder: Decoder
    profile: DuplexProfile
    forgotten: int = 0

    @classmethod
    def empty(cls, network: CovoNetwork, profile: DuplexProfile, *, graph: bool = True) -> Context:
        """One without anything, with all the memory that it will ever need, and warmed up.
        ``graph``: see :class:`~model.covo.language.decoder.Decoder`."""
        decoder = Decoder(network, len(profile.prompt) + profile.context.window, graph=graph)
        decoder.warm_up()
        return cls(decoder, profile)

    @property
    def length(self) -> int:
        """Tokens in it."""
        return self.decoder.length

    def clear(self) -> None:
        """Forget everything."""
        self.decoder.rewind(0)
        self.forgotten = 0

    def copy(self) -> Context:
        """An equal one that shares nothing that changes."""
        return Context(self.decoder.copy(), self.profile, self.forgotten)

    def advance(self, rows: Tensor) -> Tensor:
        """Put ``rows`` (n, hidden) behind it; return the logits (vocabulary,) after the last, which
        the next call overwrites. Does not wait for the device."""
        settings = self.profile.context
        while self.length + len(rows) > self.decoder.capacity:
            self.decoder.forget(len(self.profile.prompt), settings.evict)
            self.forgotten += settings.evict
        self.decoder.append(rows)
        return self.decoder.logits
