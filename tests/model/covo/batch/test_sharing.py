"""Conversations that share their passes say what each says alone."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from audio_io.worker import Worker
from model.covo.batch import batch, sharing
from model.covo.batch.batch import JointStep, NewRows
from model.covo.batch.sharing import SharedDecoders
from model.covo.config.precision import Precision
from model.covo.config.sizes import network_size
from model.covo.language.decoder import Decoder
from model.covo.language.sampling import SamplingSettings
from model.covo.language.stepping import decode_stream
from model.covo.loading.random_weights import random_network
from model.errors import NetworkInputError

CAPACITY = 200
FOR_EVER = 60.0
"""A time to wait for others, in s, that no test reaches."""


@dataclass(frozen=True)
class Turn:
    """Go back to a share of the history, append ``prompt`` tokens, and generate up to ``limit``."""

    back: float
    prompt: int
    limit: int
    sampling: SamplingSettings


def conversation(seed: int) -> list[Turn]:
    chance = random.Random(seed)
    return [
        Turn(
            chance.choice((0.0, 0.5, 1.0)),
            chance.choice((1, 3, 20, 45)),
            chance.randint(1, 12),
            SamplingSettings(chance.choice((0.0, 0.9)), top_k=40, seed=chance.randint(0, 99)),
        )
        for _ in range(3)
    ]


def hold(network, decoder: Decoder, turns: list[Turn]) -> list[int]:
    """Everything that is said."""
    said: list[int] = []
    for number, turn in enumerate(turns):
        decoder.rewind(int(turn.back * decoder.length))
        generator = torch.Generator().manual_seed(100 * number + turn.prompt)
        ids = torch.randint(500, (turn.prompt,), generator=generator)
        decoder.append(network.embed(ids))
        said += decoder.generate(
            ids, stop=range(500, 520), limit=turn.limit, sampling=turn.sampling
        )
        said.append(-1)
    return said


def held_until(shared: SharedDecoders, waiting: int) -> Callable[[], None]:
    """Let a pass be under way until so many wait; return what waits for them."""
    turns = shared.passes
    turns._leading = True

    def over() -> None:
        with turns._changed:
            assert turns._changed.wait_for(lambda: len(turns._waiting) == waiting, 10)
            turns._leading = False
            turns._changed.notify_all()

    return over


def at_once(*work: Callable[[], object]) -> list[Worker]:
    """Do all of it at once; return the threads once they have ended."""
    ready = threading.Barrier(len(work))

    def started(one: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            ready.wait(10)
            one()

        return run

    workers = [Worker(started(one), f"test-{n}") for n, one in enumerate(work)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
        assert not worker.is_alive()
    return workers


@pytest.fixture
def joined(monkeypatch):
    """How many histories each joint pass had."""
    sizes: list[int] = []
    compute = JointStep.compute

    def counted(self, work):
        sizes.append(len(work))
        return compute(self, work)

    monkeypatch.setattr(JointStep, "compute", counted)
    return sizes


@pytest.mark.parametrize("seed", range(6))
def test_each_says_what_it_says_alone_in_any_order_of_arrival(network, monkeypatch, seed):
    monkeypatch.setattr(sharing, "SLICE_ROWS", 16)  # so that prefills are cut
    chance = random.Random(seed)
    sessions = 2 + seed % 4
    talks = [conversation(1000 * seed + number) for number in range(sessions)]
    shared = SharedDecoders(network, sessions, CAPACITY, step_rows=3, linger_s=FOR_EVER)
    decoders = [shared.decoder() for _ in talks]
    order = chance.sample(range(sessions), sessions)
    said: dict[int, list[int]] = {}

    def talk(number: int) -> Callable[[], None]:
        def run() -> None:
            said[number] = hold(network, decoders[number], talks[number])

        return run

    workers = at_once(held_until(shared, sessions), *(talk(number) for number in order))
    assert [worker.failure for worker in workers] == [None] * (sessions + 1)
    alone = {n: hold(network, Decoder(network, CAPACITY), turns) for n, turns in enumerate(talks)}
    assert said == alone


def test_replies_at_once_cost_one_pass_a_token(network, joined):
    shared = SharedDecoders(network, 3, CAPACITY, linger_s=FOR_EVER)
    decoders = [shared.decoder() for _ in range(3)]
    for number, decoder in enumerate(decoders):
        decoder.append(network.embed(torch.arange(20 + number)))

    def reply(decoder: Decoder) -> Callable[[], object]:
        return lambda: list(decoder.generate(torch.arange(4), stop=(), limit=15))

    at_once(held_until(shared, 3), *map(reply, decoders))
    assert joined == [3] * 14  # a reply's last token is not computed on this device


def test_an_error_is_its_sessions_own(network, monkeypatch):
    shared = SharedDecoders(network, 3, CAPACITY, linger_s=FOR_EVER)
    decoders = [shared.decoder() for _ in range(3)]
    for decoder in decoders:
        decoder.append(network.embed(torch.arange(20)))
    guilty = decoders[1]
    compute, joint = type(guilty).compute, JointStep.compute

    def alone(self, rows):
        if self is guilty and self.length >= 24:
            raise MemoryError("no memory for its cache")
        compute(self, rows)

    def together(self, work):
        if any(stream == guilty._stream and start >= 23 for stream, start, _ in work):
            raise MemoryError("no memory for one of them")
        return joint(self, work)

    monkeypatch.setattr(type(guilty), "compute", alone)
    monkeypatch.setattr(JointStep, "compute", together)
    said: dict[int, list[int]] = {}

    def reply(number: int) -> Callable[[], None]:
        def run() -> None:
            said[number] = []
            for token in decoders[number].generate(torch.arange(4), stop=(), limit=12):
                said[number].append(token)

        return run

    workers = at_once(*map(reply, range(3)))
    assert [type(worker.failure) for worker in workers] == [type(None), MemoryError, type(None)]
    monkeypatch.undo()
    own = Decoder(network, CAPACITY)
    own.append(network.embed(torch.arange(20)))
    alone_said = list(own.generate(torch.arange(4), stop=(), limit=12))
    assert said[0] == said[2] == alone_said
    assert said[1] == alone_said[: len(said[1])]
    guilty.rewind(20)  # and it goes on
    guilty.append(network.embed(torch.arange(20, 22)))
    own.rewind(20)
    own.append(network.embed(torch.arange(20, 22)))
    torch.testing.assert_close(guilty.logits, own.logits, atol=1e-4, rtol=0)


def test_a_reply_that_is_given_up_is_not_waited_for(network):
    shared = SharedDecoders(network, 2, CAPACITY, linger_s=FOR_EVER)
    decoders = [shared.decoder() for _ in range(2)]
    for decoder in decoders:
        decoder.append(network.embed(torch.arange(20)))
    said: list[int] = []

    def given_up() -> None:
        list(islice(decoders[0].generate(torch.arange(4), stop=(), limit=50), 3))

    def whole() -> None:
        said.extend(decoders[1].generate(torch.arange(4), stop=(), limit=50))

    at_once(given_up, whole)
    own = Decoder(network, CAPACITY)
    own.append(network.embed(torch.arange(20)))
    assert said == list(own.generate(torch.arange(4), stop=(), limit=50))


@pytest.mark.parametrize("graph", [False, True])
def test_the_head_is_multiplied_for_the_last_row_of_each_history(network, monkeypatch, graph):
    """A graph does not know whose its rows are: it takes as many as there may be histories."""
    joint = JointStep(network, 3, CAPACITY, step_rows=4)
    if graph:
        compute = joint._step
        joint._step = lambda rows, attended, histories=None: compute(rows, attended)
    heads: list[int] = []
    multiply = batch.multiply

    def counted(layer, hidden):
        heads.append(len(hidden))
        return multiply(layer, hidden)

    monkeypatch.setattr(batch, "multiply", counted)
    rows = network.embed(torch.arange(7))
    joint.compute([NewRows(number, 0, rows[:4]) for number in range(3)])
    found = joint.compute([NewRows(2, 4, rows[4:7]), NewRows(0, 4, rows[4:5])])
    for logits, length in zip(found, (7, 5), strict=True):
        own = Decoder(network, CAPACITY)
        own.append(rows[:length])
        torch.testing.assert_close(logits, own.logits, atol=1e-4, rtol=0)
    (last,) = joint.compute([NewRows(1, 4, rows[4:5])])
    torch.testing.assert_close(last, found[1], atol=1e-4, rtol=0)
    assert heads == ([3, 3, 1] if graph else [3, 2, 1])


@pytest.mark.parametrize(
    ("streams", "rows", "captured"),
    [(5, 3, 3), (20, 16, 16), (20, 17, 20), (40, 17, 32), (40, 33, 40), (80, 65, None)],
)
def test_graphs_are_of_few_numbers_of_rows(network, streams, rows, captured):
    """A pass between two of them computes its first row more than once."""
    joint = JointStep(network, streams, 12)
    sizes: list[int] = []

    def replay(step, count, attended):
        sizes.append(count)
        step(count, attended)

    joint._graphs = replay
    embedded = network.embed(torch.arange(2 * rows))
    work = [NewRows(n, 0, embedded[2 * n : 2 * n + 1]) for n in range(rows)]
    joint.compute(work)
    found = joint.compute([NewRows(n, 1, embedded[2 * n + 1 :][:1]) for n in range(rows)])
    assert sizes == ([] if captured is None else [captured] * 2)
    for n in (0, rows - 1):
        own = Decoder(network, 12)
        own.append(embedded[2 * n : 2 * n + 2])
        torch.testing.assert_close(found[n], own.logits, atol=1e-4, rtol=0)


def test_where_passes_are_graphs_a_lone_step_is_one_of_them(network, monkeypatch, joined):
    monkeypatch.setattr(JointStep, "graphed", True)
    shared = SharedDecoders(network, 2, CAPACITY, step_rows=2)
    decoder = shared.decoder()
    own = Decoder(network, CAPACITY)
    for count in (20, 1, 2):
        decoder.append(network.embed(torch.arange(count)))
        own.append(network.embed(torch.arange(count)))
        torch.testing.assert_close(decoder.logits, own.logits, atol=1e-4, rtol=0)
    assert joined == [1, 1]  # not for the prefill
    assert decoder._graphs is None


def test_a_place_is_free_again_when_nobody_has_it(network):
    shared = SharedDecoders(network, 2, CAPACITY)
    first, second = shared.decoder(), shared.decoder()
    with pytest.raises(NetworkInputError, match="all 2 histories are taken"):
        shared.decoder()
    first.append(network.embed(torch.arange(5)))
    del first
    third = shared.decoder()
    assert (second.length, third.length) == (0, 0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("sessions", [2, 5])
def test_on_a_gpu_each_says_what_it_says_alone(sessions, joined):
    network = random_network(network_size("mid").covo, device="cuda", precision=Precision.FP32)
    shared = SharedDecoders(network, sessions, 600)
    decoders = [shared.decoder() for _ in range(sessions)]
    said: dict[int, list[int]] = {}
    with decode_stream(network.device):
        for decoder in decoders:
            decoder.warm_up()

    def talk(number: int) -> Callable[[], None]:
        def run() -> None:
            with decode_stream(network.device):
                said[number] = hold(network, decoders[number], conversation(number))

        return run

    workers = at_once(*map(talk, range(sessions)))
    assert [worker.failure for worker in workers] == [None] * sessions
    with decode_stream(network.device):
        alone = {
            number: hold(network, Decoder(network, 600), conversation(number))
            for number in range(sessions)
        }
    assert said == alone
    assert max(joined) > 1
