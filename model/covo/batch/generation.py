"""Generate many replies, several at a time, each as if it were alone.

A *talk* is a generator that wants replies: it is given a decoder of its own, yields a request, is
sent the reply's tokens, and may ask again. A talk that is over leaves its stream to the next, so
the pass stays full until no talks are left. Tokens are chosen reply by reply, with penalties and
random numbers of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch
from torch import Tensor

from model.covo.batch.batch import DecoderBatch, StreamRows
from model.covo.language.decoder import Decoder
from model.covo.language.network import CovoNetwork
from model.covo.language.sampling import GREEDY, PenaltySettings, SamplingSettings, TokenChooser
from model.errors import NetworkInputError


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """What to generate behind a history, and how.

    Args:
        counted: ids of this turn (n,), for the penalties.
        stop: ids that end the reply.
        limit: tokens that end it, too, as the end of the cache does.
        allowed: bool (vocabulary,), the ids that may be chosen; None for all.
    """

    counted: Tensor = field(repr=False)
    stop: Collection[int]
    limit: int = 2048
    penalties: PenaltySettings = field(default_factory=PenaltySettings)
    sampling: SamplingSettings = GREEDY
    allowed: Tensor | None = field(default=None, repr=False)


R = TypeVar("R")

Talk = Callable[[Decoder], Generator[ReplyRequest, tuple[int, ...], R]]
"""Gets a decoder with an empty history, and fills it before each request. It is sent the tokens of
the reply, of which the last is not in the history."""


@torch.inference_mode()
def run_talks(
    network: CovoNetwork, batch: DecoderBatch, talks: Iterable[Talk[R]]
) -> Iterator[tuple[int, R]]:
    """Run ``talks``, as many at a time as ``batch`` has decoders; yield the number of each that is
    over, and what it returned. A talk is taken from the iterable when a stream is free for it.

    Each reply is equal to :meth:`model.covo.language.decoder.Decoder.generate`. Raises:
    NetworkInputError for a request that leaves no room for a reply.
    """
    waiting = enumerate(talks)
    running: dict[int, _Running[R]] = {}
    while True:
        for index, decoder in enumerate(batch.decoders):
            while index not in running and (begun := next(waiting, None)) is not None:
                decoder.rewind(0)
                talk = _Running(network, decoder, *begun)
                if talk.go_on():
                    running[index] = talk
                else:
                    yield talk.number, talk.result
        if not running:
            return
        chosen = torch.cat([talk.choose() for talk in running.values()])
        embedded = network.embed_token(chosen)
        values = chosen.tolist()
        going: list[StreamRows] = []
        for (index, talk), token, row in zip(list(running.items()), values, embedded, strict=True):
            if not talk.add(token):
                going.append(StreamRows(index, row[None]))
            elif not talk.go_on():
                del running[index]
                yield talk.number, talk.result
        if going:
            batch.append(going)


class _Running(Generic[R]):
    """A talk in its stream, and the reply that it waits for."""

    def __init__(self, network: CovoNetwork, decoder: Decoder, number: int, talk: Talk[R]) -> None:
        self.number = number
        self.result: R
        """What the talk returned, once it is over."""
        self._network, self._decoder = network, decoder
        self._talk = talk(decoder)
        self._tokens: list[int] = []

    def go_on(self) -> bool:
        """Send the reply to the talk, if there is one, and begin the next; return False if the talk
        is over. Raises: NetworkInputError if there is no room for a reply."""
        try:
            request = self._talk.send(tuple(self._tokens)) if self._tokens else next(self._talk)
        except StopIteration as end:
            self.result = end.value
            return False
        length, capacity = self._decoder.length, self._decoder.capacity
        if length >= capacity or request.limit < 1:
            raise NetworkInputError(
                f"a history of {length} tokens leaves no room for a reply in {capacity}; shorten "
                "it, or use a larger capacity"
            )
        device = self._network.device
        self._tokens = []
        self._stop, self._limit = request.stop, min(request.limit, capacity - length)
        self._allowed = None if request.allowed is None else request.allowed.to(device)
        self._chooser = TokenChooser(
            request.counted.to(device),
            self._network.config.backbone.vocabulary,
            penalties=request.penalties,
            sampling=request.sampling,
        )
        return True

    def choose(self) -> Tensor:
        """Return the next token, int64 (1,), on the device."""
        return self._chooser.choose(self._decoder.logits, self._allowed)

    def add(self, token: int) -> bool:
        """Add the next token; return whether the reply ends with it."""
        self._tokens.append(token)
        return token in self._stop or len(self._tokens) >= self._limit
