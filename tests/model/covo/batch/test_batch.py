"""Histories that share passes of the network, and replies generated several at a time."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from model.covo.batch.batch import DecoderBatch, StreamRows
from model.covo.batch.generation import ReplyRequest, Talk, run_talks
from model.covo.config.precision import Precision
from model.covo.config.sizes import network_size
from model.covo.language.decoder import Decoder
from model.covo.language.sampling import SamplingSettings
from model.covo.loading.random_weights import random_network
from model.errors import NetworkInputError
from tests.model.covo.golden_covo import TOLERANCE, error

CAPACITY = 120


def ids(number: int) -> torch.Tensor:
    """A prompt of its own length for each number."""
    length = 9 + 7 * number % 50
    return torch.randint(600, (length,), generator=torch.Generator().manual_seed(number))


def test_each_history_is_as_if_it_were_alone(network):
    batch = DecoderBatch(network, 4, CAPACITY, step_rows=3)
    alone = [Decoder(network, CAPACITY, step_rows=3) for _ in batch.decoders]
    for number, pair in enumerate(zip(batch.decoders, alone, strict=True)):
        for decoder in pair:
            decoder.append(network.embed(ids(number)))
    for step, streams in enumerate(([2], [0, 1, 2, 3], [3, 1], [1, 0, 2], [0, 1, 2, 3])):
        work = [StreamRows(s, network.embed(ids(step)[: 1 + (s + step) % 3])) for s in streams]
        batch.append(work)
        for stream, rows in work:
            alone[stream].append(rows)
        if step == 2:  # going back and forgetting are each decoder's own
            for decoders in (batch.decoders, alone):
                decoders[1].rewind(decoders[1].length - 2)
                decoders[0].forget(3, 5)
                decoders[0].append(network.embed(ids(5)[:2]))
    for mine, other in zip(batch.decoders, alone, strict=True):
        assert mine.length == other.length
        mine.append(network.embed(ids(9)[:1]))
        other.append(network.embed(ids(9)[:1]))
        assert error(mine.logits, other.logits) < TOLERANCE


def test_rows_that_do_not_fit_change_no_history(network):
    batch = DecoderBatch(network, 2, CAPACITY)
    for decoder, length in zip(batch.decoders, (10, CAPACITY), strict=True):
        decoder.append(network.embed(ids(1).repeat(10)[:length]))
    row = network.embed(ids(3)[:1])
    with pytest.raises(NetworkInputError, match="1 more tokens do not fit"):
        batch.append([StreamRows(0, row), StreamRows(1, row)])
    assert [decoder.length for decoder in batch.decoders] == [10, CAPACITY]
    batch.append([StreamRows(0, row)])
    assert batch.decoders[0].length == 11


def test_a_pass_takes_as_many_rows_of_a_history_as_it_is_made_for(network):
    batch = DecoderBatch(network, 2, CAPACITY, step_rows=2)
    with pytest.raises(NetworkInputError, match="2 rows of a history, not 3"):
        batch.append([StreamRows(0, network.embed(ids(1)[:3]))])
    assert batch.decoders[0].length == 0


def talk_of(*asked: tuple[torch.Tensor, ReplyRequest]) -> Talk[list[tuple[int, ...]]]:
    """A talk that appends the rows of each of ``asked``, and returns the replies."""

    def talk(decoder):
        replies = []
        for rows, request in asked:
            decoder.append(rows)
            replies.append((yield request))
        return replies

    return talk


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_replies_equal_those_of_a_single_stream(network, temperature):
    allowed = torch.arange(668) % 5 != 0

    def request(number: int) -> ReplyRequest:
        return ReplyRequest(
            ids(number)[-6:],
            stop=range(0 if number % 2 else 500, 560 if number % 2 else 540),
            limit=3 + 11 * number % 20,
            sampling=SamplingSettings(temperature, top_k=40, seed=number),
            allowed=allowed if number % 3 else None,
        )

    # Some talks ask for nothing, others twice: behind a reply without its last token.
    asked = [
        [(network.embed(ids(n + place)), request(n + place)) for place in range(n % 3)]
        for n in range(11)
    ]
    batch = DecoderBatch(network, 4, CAPACITY)
    together = dict(run_talks(network, batch, [talk_of(*one) for one in asked]))
    assert sorted(together) == list(range(11))
    ended = 0
    for number, replies in together.items():
        decoder = Decoder(network, CAPACITY)
        assert len(replies) == len(asked[number])
        for (rows, request_), reply in zip(asked[number], replies, strict=True):
            decoder.append(rows)
            alone = decoder.generate(
                request_.counted,
                stop=request_.stop,
                limit=request_.limit,
                penalties=request_.penalties,
                sampling=request_.sampling,
                allowed=request_.allowed,
            )
            assert tuple(alone) == reply
            decoder.rewind(decoder.length - 1)
            ended += reply[-1] in request_.stop
    assert 0 < ended < sum(map(len, asked))  # some by a stop token, some by their limit


def test_a_stream_is_free_for_the_next_as_soon_as_one_is_done(network):
    taken: list[int] = []

    def talks():
        for number, limit in enumerate((2, 30, 2, 2)):
            taken.append(number)
            request = ReplyRequest(ids(number), stop=(), limit=limit)
            yield talk_of((network.embed(ids(number)), request))

    over = run_talks(network, DecoderBatch(network, 2, CAPACITY), talks())
    assert next(over)[0] == 0
    assert taken == [0, 1]
    assert [number for number, _ in over] == [2, 3, 1]


def test_a_reply_ends_with_its_cache_and_needs_room(network):
    talk = talk_of((network.embed(ids(0)), ReplyRequest(ids(0), stop=())))
    [(_, [reply])] = run_talks(network, DecoderBatch(network, 2, 20), [talk])
    assert len(reply) == 20 - 9
    with pytest.raises(NetworkInputError, match="leaves no room"):
        list(run_talks(network, DecoderBatch(network, 2, 9), [talk]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_on_a_gpu(precision):
    network = random_network(
        network_size("mid").covo, device="cuda", precision=Precision(precision)
    )
    batch = DecoderBatch(network, 5, CAPACITY, step_rows=2)
    alone = [Decoder(network, CAPACITY, step_rows=2) for _ in batch.decoders]
    for number, pair in enumerate(zip(batch.decoders, alone, strict=True)):
        for decoder in pair:
            decoder.append(network.embed(ids(number)))
    # The second of each is a graph that was captured for the first.
    for streams in ([4, 1], [3, 0], [0, 1, 2, 3, 4], [4, 3, 2, 1, 0]):
        work = [StreamRows(stream, network.embed(ids(stream)[:2])) for stream in streams]
        batch.append(work)
        for stream, rows in work:
            alone[stream].append(rows)
            off = (batch.decoders[stream].logits - alone[stream].logits).norm()
            assert off / alone[stream].logits.norm() < (1e-4 if precision == "fp32" else 0.03)
