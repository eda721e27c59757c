"""Generate many replies, several at a time, each as if it were alone.

A reply that is done leaves its stream to the next prompt, so the pass stays full until the prompts
run out. Tokens are chosen reply by reply, with penalties and random numbers of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor

from model.covo.batch.batch import DecoderBatch, StreamRows
from model.covo.language.network import CovoNetwork
from model.covo.language.sampling import GREEDY, PenaltySettings, SamplingSettings, TokenChooser
from model.errors import NetworkInputError


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """What to reply to, and how.

    Args:
        embedded: the whole history (n, hidden).
        counted: ids of this turn (n,), for the penalties.
        stop: ids that end the reply.
        limit: tokens that end it, too, as the end of the cache does.
        allowed: bool (vocabulary,), the ids that may be chosen; None for all.
    """

    embedded: Tensor = field(repr=False)
    counted: Tensor = field(repr=False)
    stop: Collection[int]
    limit: int = 2048
    penalties: PenaltySettings = field(default_factory=PenaltySettings)
    sampling: SamplingSettings = GREEDY
    allowed: Tensor | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class GeneratedReply:
    """The ``tokens`` of the request with this ``number``, in the order of the requests. ``ended``:
    whether the last is one of its ``stop``."""

    number: int
    tokens: tuple[int, ...]
    ended: bool


class _Running:
    """A request in its stream."""

    def __init__(self, number: int, request: ReplyRequest, network: CovoNetwork, room: int) -> None:
        self.number, self.request = number, request
        self.tokens: list[int] = []
        self._limit = min(request.limit, room)
        self._allowed = None if request.allowed is None else request.allowed.to(network.device)
        self._chooser = TokenChooser(
            request.counted.to(network.device),
            network.config.backbone.vocabulary,
            penalties=request.penalties,
            sampling=request.sampling,
        )

    def choose(self, logits: Tensor) -> Tensor:
        """Return the next token, int64 (1,), on the device."""
        return self._chooser.choose(logits, self._allowed)

    @property
    def ended(self) -> bool:
        """Whether the reply ended by a token of ``stop``."""
        return self.tokens[-1] in self.request.stop

    @property
    def done(self) -> bool:
        """Whether no more tokens come."""
        return self.ended or len(self.tokens) >= self._limit


@torch.inference_mode()
def generate_replies(
    network: CovoNetwork, batch: DecoderBatch, requests: Iterable[ReplyRequest]
) -> Iterator[GeneratedReply]:
    """Yield the replies to ``requests`` as they are done, as many at a time as ``batch`` has
    decoders. A request is taken from the iterable when a stream is free for it.

    Each is equal to :meth:`model.covo.language.decoder.Decoder.generate`. Raises:
    NetworkInputError for a request that leaves no room for a reply.
    """
    waiting = iter(enumerate(requests))
    running: dict[int, _Running] = {}
    while True:
        free = [index for index in range(len(batch.decoders)) if index not in running]
        for index, (number, request) in zip(free, islice(waiting, len(free)), strict=False):
            running[index] = _begin(network, batch, index, number, request)
        if not running:
            return
        chosen = torch.cat(
            [reply.choose(batch.decoders[index].logits) for index, reply in running.items()]
        )
        embedded = network.embed_token(chosen)
        values = chosen.tolist()
        going: list[StreamRows] = []
        for (index, reply), token, row in zip(list(running.items()), values, embedded, strict=True):
            reply.tokens.append(token)
            if reply.done:
                del running[index]
                yield GeneratedReply(reply.number, tuple(reply.tokens), reply.ended)
            else:
                going.append(StreamRows(index, row[None]))
        if going:
            batch.append(going)


def _begin(
    network: CovoNetwork, batch: DecoderBatch, index: int, number: int, request: ReplyRequest
) -> _Running:
    decoder = batch.decoders[index]
    room = decoder.capacity - len(request.embedded)
    if room < 1 or request.limit < 1:
        raise NetworkInputError(
            f"request {number} has {len(request.embedded)} tokens and leaves no room for a reply "
            f"in {decoder.capacity}; shorten it, or use a larger capacity"
        )
    decoder.rewind(0)
    decoder.append(request.embedded)
    return _Running(number, request, network, room)
