"""The language model's memory of a conversation that may last for hours: an attention sink.

The prompt is kept for ever, along with the newest ``window`` tokens. When the window is full, the
oldest ``evict`` tokens are forgotten at once: their keys and values are dropped, and the later
keys, which hold their position as a rotation, are rotated back by as many positions. Nothing is
recomputed, positions stay within prompt and window, and the cost is one pass over the cache per
``evict`` tokens. Kept tokens have attended to forgotten ones, so their influence remains. The sink
is StreamingLLM's idea (arXiv 2309.17453).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from torch import Tensor

from model.covo.batch.sharing import SharedDecoders
from model.covo.language.decoder import Decoder
from model.covo.language.network import CovoNetwork
from model.covo.memory.workspace import MOST_STEP_ROWS
from model.duplex.protocol.profile import DuplexProfile, ListeningSpeech, Slot


@dataclass(slots=True)
class RollingContext:
    """The prompt and the newest tokens; ``forgotten`` counts those that were dropped.

    :meth:`advance` changes it in place.
    """

    decoder: Decoder
    profile: DuplexProfile
    forgotten: int = 0

    @classmethod
    def empty(
        cls, network: CovoNetwork, profile: DuplexProfile, *, graph: bool = True
    ) -> RollingContext:
        """Return an empty context with a decoder of its own, warmed up, with all its memory
        allocated."""
        rows = _rows_per_pass(profile)
        return cls.on(Decoder(network, profile.cache_tokens, graph=graph, step_rows=rows), profile)

    @classmethod
    def on(cls, decoder: Decoder, profile: DuplexProfile) -> RollingContext:
        """Return an empty context on ``decoder``, warmed up."""
        decoder.warm_up()
        return cls(decoder, profile)

    def clear(self) -> None:
        """Forget everything."""
        self.decoder.rewind(0)
        self.forgotten = 0

    def copy(self) -> RollingContext:
        """Return an independent copy."""
        return RollingContext(self.decoder.copy(), self.profile, self.forgotten)

    def advance(self, rows: Tensor) -> Tensor:
        """Append ``rows`` (n, hidden); return the logits (vocabulary,) after the last.

        The next call overwrites the logits. Does not wait for the device.
        """
        settings = self.profile.context
        while self.decoder.length + len(rows) > self.decoder.capacity:
            self.decoder.forget(len(self.profile.prompt), settings.evict)
            self.forgotten += settings.evict
        self.decoder.append(rows)
        return self.decoder.logits


def shared_decoders(
    network: CovoNetwork, profile: DuplexProfile, streams: int, *, graph: bool = True
) -> SharedDecoders:
    """Return decoders for the contexts of ``streams`` conversations, which share their passes."""
    rows = _rows_per_pass(profile)
    return SharedDecoders(network, streams, profile.cache_tokens, graph=graph, step_rows=rows)


def _rows_per_pass(profile: DuplexProfile) -> int:
    """Return the rows that a pass usually has at most: a listening chunk's, after the first. All
    but one are user features or fillers."""
    slots = Counter(profile.layout)
    spoken = slots[Slot.SPEECH] if profile.listening_speech is ListeningSpeech.FILL else 0
    return min(slots[Slot.USER] + slots[Slot.TEXT] + spoken, MOST_STEP_ROWS)
