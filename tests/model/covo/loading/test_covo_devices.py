"""The public code's numbers from a wave to a wave, on the CPU and, where there is one, on a GPU."""

from __future__ import annotations

import gc
import weakref
from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from model.covo.config import device as device_module
from model.covo.config.device import capturing, describe, triton_works
from model.covo.language.decoder import Decoder
from model.covo.language.features import turn_features
from model.covo.language.stepping import WARM_UPS, StepGraphs
from model.covo.loading.checkpoint import load_network, load_token2wav
from model.covo.speech import flow, tf32
from model.covo.speech.speech_stream import SpeechSettings, SpeechStreamer
from model.covo.speech.speech_worker import SpeechWorker
from tests.model.covo.golden_covo import (
    TOLERANCE,
    error,
    golden,
    network_folder,
    pcm,
    token2wav_folder,
    tokens,
    voice_prompt,
)

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
        ],
    ),
]


@pytest.mark.parametrize("device", DEVICES)
def test_a_turn_is_heard_and_answered(tmp_path, device):
    network = load_network(network_folder(tmp_path / "model"), device=device)
    turn = turn_features(pcm("short"), 24_000, device=network.device, reference_quirks=True)
    numbers = golden("covo/generate")
    prompt = numbers["r1_input_ids"][0].long()
    decoder = Decoder(network, 400)
    decoder.warm_up()
    decoder.append(network.embed(prompt, network.hear(turn)))
    assert error(decoder.logits.cpu(), numbers["r1_prefill_logits_last"]) < TOLERANCE
    said = decoder.generate(prompt, stop=(), limit=24, reference_quirks=True)
    assert list(said) == tokens("round1")


@pytest.mark.parametrize("device", DEVICES)
def test_codes_become_a_wave(tmp_path, device):
    folder = token2wav_folder(tmp_path / "token2wav")
    token2wav = load_token2wav(folder, device=device)
    voice = voice_prompt(folder, token2wav.config.flow)
    numbers = golden("token2wav/stages")
    wave = token2wav.synthesize(numbers["tokens"], voice, noise=numbers["noise"])
    assert error(wave.cpu(), numbers["alpha1_wav"]) < TOLERANCE


@pytest.mark.parametrize("device", DEVICES)
def test_a_reply_is_spoken_as_it_is_on_the_cpu(tmp_path, device):
    folder = token2wav_folder(tmp_path / "token2wav")
    here = load_token2wav(folder)
    voice = voice_prompt(folder, here.config.flow)
    codes, streamer = list(range(20)), SpeechStreamer(here)
    early, stream = streamer.step(streamer.start(voice, SpeechSettings(), seed=3), codes)
    late, _ = streamer.step(stream, (), last=True)

    worker = SpeechWorker(SpeechStreamer(load_token2wav(folder, device=device)))
    stream, pieces = worker.start(voice, SpeechSettings(), seed=3), []
    for index, code in enumerate(codes):
        piece, stream = worker.step(stream, [code], last=index == len(codes) - 1)
        pieces.append(torch.from_numpy(piece))
    assert error(torch.cat(pieces), torch.cat((early, late))) < TOLERANCE


def test_an_old_triton_is_not_used(monkeypatch, caplog):
    triton = pytest.importorskip("triton", reason="needs triton (the dev extra)")
    working = SimpleNamespace(active=SimpleNamespace(get_current_target=lambda: "a GPU"))
    monkeypatch.setattr("triton.runtime.driver", working)
    builds = device_module._triton_builds.__wrapped__
    assert builds()
    for version in ("3.2.0", "3.3.1+git1234", "2.10.0"):
        monkeypatch.setattr(triton, "__version__", version)
        assert not builds()
        assert f"Triton {version} is too old" in caplog.text
    monkeypatch.setattr(triton, "__version__", "3.10.0")
    assert builds()


def test_a_card_of_amd_does_without_cudnn(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 4))
    monkeypatch.setattr(torch.backends.cudnn, "is_acceptable", lambda tensor: True)
    wave, fast_attention = Mock(is_cuda=True, dtype=torch.float32), flow._has_fast_cudnn.__wrapped__
    for hip, expected in ((None, True), ("6.4", False)):
        monkeypatch.setattr(torch.version, "hip", hip)
        assert fast_attention(torch.device("cuda")) is tf32.available(wave) is expected


def test_an_older_card_is_described_with_what_it_lacks(monkeypatch):
    capabilities = {0: (9, 0), 1: (7, 5)}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Card {device.index}")
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device: capabilities[device.index]
    )
    monkeypatch.setattr(device_module, "_triton_builds", lambda: True)
    new, old = torch.device("cuda:0"), torch.device("cuda:1")
    assert describe(new) == "cuda:0 (Card 0)"
    assert describe(old).startswith("cuda:1 (Card 1; compute capability 7.5: no bf16")
    assert describe(torch.device("cpu")) == "cpu"
    assert [triton_works(each) for each in (new, old, torch.device("cpu"))] == [True, False, False]


class Cycle:
    """Freed by Python's collector alone."""

    def __init__(self, held: object) -> None:
        self.itself, self.held = self, held


def test_nothing_is_collected_during_a_capture(monkeypatch):
    monkeypatch.setattr(torch.cuda, "graph", lambda *given, **named: nullcontext())
    gone = weakref.ref(Cycle(None))
    assert gone() is not None
    with capturing(Mock(), Mock(), Mock()):
        _ = [[] for _ in range(100_000)]
        assert gone() is not None
    assert gc.isenabled()
    gc.collect()
    assert gone() is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_graphs_are_captured_beside_others_that_nobody_has():
    device = torch.device("cuda")
    numbers = torch.zeros(4, device=device)

    def step(rows: int, attended: int) -> None:
        _ = [[] for _ in range(20_000)]
        numbers.add_(rows)

    for rows in range(1, 6):
        graphs = StepGraphs(device)
        numbers.zero_()
        graphs(step, rows, 512)
        assert numbers.tolist() == [(WARM_UPS + 1) * rows] * 4
        Cycle(graphs)
