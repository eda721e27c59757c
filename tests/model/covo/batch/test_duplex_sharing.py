"""Full-duplex conversations whose steps share the passes of one network."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from audio_io.worker import Worker
from model.covo.batch.batch import JointStep
from model.duplex.network.context import shared_decoders
from model.duplex.network.loop import ChunkStep, DuplexLoop, LoopState
from model.duplex.network.network import DuplexNetwork
from model.duplex.protocol.grammar import AssistantState
from model.duplex.protocol.profile import ContextProfile
from tests.model.duplex.test_duplex_loop import LOUD, network, noise

CHUNKS = 16
FORGETFUL = ContextProfile(60, 20)
"""So little memory that all but a few chunks are forgotten."""


def talk(loop: DuplexLoop, seed: int) -> list[ChunkStep]:
    """A conversation of noise, which the assistant is made to begin with a reply."""
    steps: list[ChunkStep] = []
    state: LoopState = loop.start(seed)
    state = replace(state, assistant=AssistantState(True, loop.profile.lead + 1))
    for chunk in range(CHUNKS):
        step, state = loop.step(state, noise(loop.profile, 1000 * seed + chunk))
        steps.append(step)
    return steps


@pytest.mark.parametrize(("name", "sessions"), [("default", 2), ("default", 4), ("filled", 3)])
def test_each_is_as_if_it_were_alone(monkeypatch, name, sessions):
    net: DuplexNetwork = network(name, sampling=LOUD, context=FORGETFUL)
    shared = shared_decoders(net.covo, net.profile, sessions)
    shared.passes._linger_s = 60.0  # for ever: a chunk that is over is not waited for
    joint: list[int] = []
    compute = JointStep.compute

    def counted(self, work):
        joint.append(len(work))
        return compute(self, work)

    monkeypatch.setattr(JointStep, "compute", counted)
    ready = threading.Barrier(sessions)
    said: dict[int, list[ChunkStep]] = {}

    def session(number: int) -> Callable[[], None]:
        loop = DuplexLoop(net, decoders=shared.decoder)

        def run() -> None:
            ready.wait(10)
            said[number] = talk(loop, number)

        return run

    workers = [Worker(session(number), f"test-{number}") for number in range(sessions)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert [worker.failure for worker in workers] == [None] * sessions
    assert said == {number: talk(DuplexLoop(net), number) for number in range(sessions)}
    assert max(joint) > 1


def test_a_chunk_that_is_over_is_not_waited_for():
    net: DuplexNetwork = network(sampling=LOUD)
    shared = shared_decoders(net.covo, net.profile, 2)
    loops = [DuplexLoop(net, decoders=shared.decoder) for _ in range(2)]
    states = [loop.start() for loop in loops]
    waits: list[float | None] = []
    condition = shared.passes._changed
    wait = condition.wait
    condition.wait = lambda timeout=None: waits.append(timeout) or wait(timeout)
    for loop, state in zip(loops, states, strict=True):
        loop.step(state, noise(loop.profile, 1))
    assert waits == []
