"""The loop, on networks that know nothing: what it may say, what it costs, what it remembers."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from torch.utils._python_dispatch import TorchDispatchMode

from model.covo.config.device import set_up_torch
from model.covo.language.network import CovoNetwork
from model.duplex.network.context import RollingContext
from model.duplex.network.loop import ChunkStep, DuplexLoop, Effort, LoopState
from model.duplex.network.network import DuplexNetwork
from model.duplex.protocol.grammar import CHOSEN, AssistantState, Place
from model.duplex.protocol.profile import ContextProfile, LoopSampling, SamplingProfile
from model.duplex.protocol.sequence import SILENCE, ChunkedDialogue
from model.duplex.training.batch import collate, hidden_states
from model.duplex.training.sample import dialogue_sample
from model.errors import NetworkInputError
from tests.model.duplex.duplex_decoding import decode
from tests.model.duplex.duplex_profiles import CODEBOOK, PROFILES, TEXT, config, profile
from tests.model.launches import as_a_graph, counted_launches

LOUD = SamplingProfile(*[LoopSampling(100.0, 0)] * 3)
GREEDY = SamplingProfile(*[LoopSampling(0.0, 0)] * 3)
TOLERANCE = 1e-4


@cache
def network(name: str = "default", **changes) -> DuplexNetwork:
    one, stages = PROFILES[name]
    torch.manual_seed(2)
    covo = CovoNetwork(config(stages)).eval()
    with torch.no_grad():
        covo.llm.lm_head.weight.mul_(30)  # so that its choices are clear
    return DuplexNetwork(covo, replace(one, **changes))


def noise(profile_, seed: int):
    return np.random.default_rng(seed).normal(0, 0.1, profile_.chunk_samples).astype(np.float32)


def talk(
    loop: DuplexLoop, chunks: int, state: LoopState | None = None, **options
) -> tuple[list[ChunkStep], LoopState]:
    steps = []
    state = state or loop.start()
    for _ in range(chunks):
        step, state = loop.step(state, noise(loop.profile, state.chunk), **options)
        steps.append(step)
    return steps, state


@cache
def loud_steps(name: str) -> list[ChunkStep]:
    """Chunks in which a network says anything, and is stopped in between."""
    loop = DuplexLoop(network(name, sampling=LOUD))
    state, steps = None, []
    for chunks, stop in ((25, False), (8, True), (25, False)):
        more, state = talk(loop, chunks, state, stop=stop)
        steps += more
    return steps


@pytest.mark.parametrize("name", PROFILES)
def test_every_slot_holds_what_it_may(name):
    profile_, steps = network(name, sampling=LOUD).profile, loud_steps(name)
    assert any(step.shifted for step in steps)
    assert any(step.broke for step in steps)
    for step in steps:
        assert all(0 <= token < TEXT for token in step.text)
        assert all(code == SILENCE or 0 <= code < CODEBOOK for code in step.codes)
        if not step.after.speaking:
            assert set(step.codes) <= {SILENCE}
            assert not step.text or step.before.speaking
        elif step.after.chunks <= profile_.lead:
            assert set(step.codes) == {SILENCE}


@pytest.mark.parametrize("name", PROFILES)
def test_listening_costs_one_pass_whatever_the_profile(name):
    profile_, steps = network(name, sampling=LOUD).profile, loud_steps(name)
    listening = [s.passes for s in steps if not s.after.speaking and not s.before.speaking]
    assert set(listening) == {1}
    speaking = [s.passes for s in steps if s.after.chunks > max(1, profile_.lead)]
    assert set(speaking) == {profile_.text_per_chunk + profile_.codes_per_chunk}


class Reads(TorchDispatchMode):
    """Counts what would make the host wait for a GPU, but for the one ``tolist`` of the codes."""

    NAMES = ("item", "local_scalar", "nonzero", "equal", "masked_select", "unique")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += any(name in str(func) for name in self.NAMES)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", PROFILES)
def test_the_host_waits_once_for_each_text_slot(name):
    loop = DuplexLoop(network(name, sampling=LOUD))
    state = loop.start()
    for assistant in (AssistantState(), AssistantState(True, loop.profile.lead + 1)):
        with Reads() as reads:
            step, state = loop.step(
                replace(state, assistant=assistant), noise(loop.profile, state.chunk)
            )
        slots = loop.profile.text_per_chunk if step.after.speaking else 1
        assert reads.count == slots


def teacher_forced(net: DuplexNetwork, steps: list[ChunkStep]):
    """Ids and places of what a loop did, and what one pass of training makes of it."""
    taken = [one for step in steps for one in step.taken]
    audio = np.stack([noise(net.profile, step.chunk) for step in steps])
    ids = np.array([token for _, token in taken], np.int64)
    places = np.array([place for place, _ in taken], np.int8)
    chunked = ChunkedDialogue(audio, ids, places)
    batch = collate([dialogue_sample(chunked, net.grammar)])
    return batch.ids.tolist(), batch.places.tolist(), hidden_states(net, batch)


@pytest.mark.parametrize("name", PROFILES)
@torch.inference_mode()
def test_the_loop_chooses_what_training_computes(name):
    """The loop's own sequence, in one pass of training: the same choice at every place."""
    net = network(name, context=ContextProfile(2000, 500), sampling=GREEDY)
    loop = DuplexLoop(net)
    steps, state = talk(loop, 4)
    for assistant in (AssistantState(True, net.profile.lead + 1), AssistantState()):
        more, state = talk(loop, 6, replace(state, assistant=assistant))
        steps += more
    ids, places, hidden = teacher_forced(net, steps)
    assert {Place.LISTEN, Place.SPEAK, Place.CODE} <= set(places)
    checked = 0
    for n, place in enumerate(places):
        if place in CHOSEN:
            index = int(net.logits(hidden[n - 1][None], Place(place))[0].argmax())
            assert list(net.grammar.vocabularies[Place(place)])[index] == ids[n]
            checked += 1
    assert checked > len(steps)


@pytest.mark.parametrize("speaking", [False, True])
def test_a_bias_moves_the_decision(speaking):
    """By exactly the bias, between the two logits it is between."""
    plain = network(context=ContextProfile(2000, 500), sampling=GREEDY)
    at = AssistantState(True, plain.profile.lead + 1) if speaking else AssistantState()
    loop = DuplexLoop(plain)
    step, _ = loop.step(replace(loop.start(), assistant=at), noise(plain.profile, 0))
    place, key = (Place.SPEAK, "stop_bias") if speaking else (Place.LISTEN, "shift_bias")
    _, places, hidden = teacher_forced(plain, [step])
    logits = plain.logits(hidden.detach()[places.index(place) - 1][None], place)[0]
    lacking = float((logits[:-1].max() - logits[-1]).detach())
    changes = []
    for bias in (lacking - 0.01, lacking + 0.01):
        biased = network(context=ContextProfile(2000, 500), sampling=GREEDY, **{key: bias})
        loop = DuplexLoop(biased)
        step, _ = loop.step(replace(loop.start(), assistant=at), noise(plain.profile, 0))
        changes.append(step.broke if speaking else step.shifted)
    assert changes == [False, True]


def test_what_a_loop_did_is_a_dialogue():
    net = network(sampling=LOUD)
    steps, _ = talk(DuplexLoop(net), 50)
    taken = [one for step in steps for one in step.taken]
    chunked = ChunkedDialogue(
        np.zeros((50, 2560), np.float32),
        np.array([token for _, token in taken], np.int64),
        np.array([place for place, _ in taken], np.int8),
    )
    found = decode(chunked, net.grammar)
    assert len(found.replies) == sum(step.shifted for step in steps)
    codes = [code for reply in found.replies for code in reply.codes if code != SILENCE]
    assert codes == [code for step in steps for code in step.codes if code != SILENCE]


def test_when_late_text_goes_first_then_speech():
    net = network(sampling=LOUD)
    loop = DuplexLoop(net)
    _, state = talk(loop, 1)
    state = replace(state, assistant=AssistantState(True, 2))
    for effort, passes in ((Effort.FULL, 5), (Effort.WITHOUT_TEXT, 4), (Effort.WITHOUT_SPEECH, 1)):
        for seed in range(5):
            before = state.copy()
            step, _ = loop.step(before, noise(loop.profile, seed), effort)
            if step.broke:
                assert effort is not Effort.WITHOUT_TEXT
                continue
            assert step.passes == passes
            assert bool(step.text) <= (effort is not Effort.WITHOUT_TEXT)
            assert (set(step.codes) == {SILENCE}) == (effort is Effort.WITHOUT_SPEECH)


def test_the_user_is_heard_however_late():
    """The features of every chunk are in the context, whatever was left out."""
    net = network()
    for effort in Effort:
        steps, state = talk(DuplexLoop(net), 6, effort=effort)
        features = [place for step in steps for place, _ in step.taken if place is Place.USER]
        assert len(features) == 6
        rows = sum(len(step.taken) for step in steps) + len(net.profile.prompt)
        assert state.context.decoder.length + len(state.pending) == rows


def test_stop_is_obeyed_while_it_speaks():
    loop = DuplexLoop(network(sampling=LOUD))
    _, state = talk(loop, 1)
    step, after = loop.step(
        replace(state, assistant=AssistantState(True, 3)), noise(loop.profile, 0), stop=True
    )
    assert step.broke
    assert after.assistant == AssistantState()
    step, _ = loop.step(
        replace(state, assistant=AssistantState()), noise(loop.profile, 0), stop=True
    )
    assert not step.broke


def test_the_same_seed_is_the_same_conversation():
    loop = DuplexLoop(network(sampling=LOUD))
    one, other, third = (talk(loop, 20, loop.start(seed))[0] for seed in (1, 1, 2))
    assert one == other
    assert one != third


def test_a_state_can_be_gone_back_to():
    loop = DuplexLoop(network(sampling=LOUD))
    _, state = talk(loop, 10)
    copy = state.copy()
    one, _ = talk(loop, 10, state)
    other, _ = talk(loop, 10, copy)
    assert one == other


def test_memory_is_bounded_and_the_prompt_stays():
    loop = DuplexLoop(network("filled", sampling=LOUD))
    window, kept = loop.profile.context.window, len(loop.profile.prompt)
    state, lengths, prompts = loop.start(), [], []
    for _ in range(100):
        _, state = talk(loop, 1, state)
        lengths.append(state.context.decoder.length)
        prompts.append(state.context.decoder._cache.layer(1)[0][:kept].clone())
    assert max(lengths) <= window + kept
    assert state.context.forgotten >= 4 * window
    assert min(lengths[50:]) > kept + window - loop.profile.context.evict - 10
    assert all(torch.equal(prompt, prompts[0]) for prompt in prompts)


@torch.inference_mode()
def test_what_is_kept_is_as_if_the_rest_had_not_been():
    """True of one layer, whose keys know nothing of their neighbours: forgetting and turning back
    must give the numbers of a shorter past."""
    small = config()
    torch.manual_seed(3)
    covo = CovoNetwork(replace(small, backbone=replace(small.backbone, layers=1))).eval()
    rows = torch.randn(90, 32)
    context = RollingContext.empty(
        covo, profile(prompt=(1, 2, 3, 4), context=ContextProfile(40, 15))
    )
    context.advance(rows[:4])
    for row in rows[4:]:
        logits = context.advance(row[None]).clone()
    assert (context.forgotten, context.decoder.length) == (60, 30)
    fresh = RollingContext.empty(covo, profile())
    expected = fresh.advance(torch.cat((rows[:4], rows[64:])))
    assert float((logits - expected).abs().max()) < TOLERANCE


@pytest.mark.parametrize("name", PROFILES)
def test_after_the_warm_up_nothing_runs_for_the_first_time(name, monkeypatch):
    steps = []
    step = DuplexLoop.step

    def watched(self, *arguments, **options):
        steps.append(step(self, *arguments, **options))
        return steps[-1]

    monkeypatch.setattr(DuplexLoop, "step", watched)
    loop = DuplexLoop(network(name))
    state = loop.warm_up()
    places = {place for done, _ in steps for place, _ in done.taken}
    assert {Place.LISTEN, Place.SPEAK, Place.CODE} <= places
    assert steps[-3][1].encoder.frames > loop.profile.encoder.look_back  # without a mask
    assert (state.chunk, state.assistant, state.context.decoder.length) == (0, AssistantState(), 0)
    assert talk(loop, 3, state)[0] == talk(loop, 3)[0]


@pytest.mark.parametrize("assistant", [AssistantState(), AssistantState(True, 5)])
def test_launches_of_a_chunk_outside_its_graphs(assistant, monkeypatch):
    """The encoder is a graph, and so is each pass of the language model."""
    loop = DuplexLoop(network(context=ContextProfile(2000, 500)))
    _, state = talk(loop, 4)  # all keys are there
    decoder = state.context.decoder
    with counted_launches() as counts:
        monkeypatch.setattr(
            loop, "_run", lambda _, work, *given: as_a_graph(counts, lambda: work(*given))
        )
        monkeypatch.setattr(
            decoder, "_graphs", lambda step, *size: as_a_graph(counts, lambda: step(*size))
        )
        step, _ = loop.step(replace(state, assistant=assistant), noise(loop.profile, 0))
    assert step.passes == (5 if step.after.speaking else 1)
    assert counts["graph"] == step.passes + 1
    assert counts.total() <= 10 + 13 * step.passes


def test_a_chunk_has_one_length():
    loop = DuplexLoop(network())
    with pytest.raises(NetworkInputError, match="2560 samples"):
        loop.step(loop.start(), np.zeros(320, np.float32))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_says_what_the_cpu_says():
    set_up_torch()  # as loading does: no convolution in TF32
    steps = []
    for device in ("cpu", "cuda"):
        net = network.__wrapped__(sampling=GREEDY)
        net.to(device)
        done, _ = talk(DuplexLoop(net), 60)
        steps.append(done)
    assert steps[0] == steps[1]
