"""What is synthesised when, and what it costs."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.covo.config.token2wav_config import (
    BigVganConfig,
    FlowConfig,
    SamplingConfig,
    Token2WavConfig,
)
from model.covo.memory.speech_cost import chunk_costs, flow_flops, vocoder_flops
from model.covo.speech.bigvgan import BigVgan
from model.covo.speech.chunk_schedule import Chunk, ChunkSchedule
from model.covo.speech.speech_stream import SpeechSettings, SpeechStreamer
from model.errors import NetworkConfigError

FULL = Token2WavConfig(
    FlowConfig(16384, 512, 4, 64, 1024, 1024, 12, 16, 4096),
    BigVganConfig(64, 1536, (5, 3, 2, 2, 2, 2), (3, 7, 11), ((1, 3, 5),) * 3),
    SamplingConfig(),
    24_000,
)


def counted(work) -> int:
    # The counter knows attention as its matrix products, but not the fused kernel of the CPU.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def test_chunks_of_a_reply():
    chunks = list(ChunkSchedule((5, 10), look_ahead=2, window=12).chunks(34))
    assert chunks == [
        Chunk(0, 0, 5, 7),
        Chunk(0, 5, 15, 17),
        Chunk(3, 15, 25, 27),
        Chunk(13, 25, 34, 34),
    ]
    assert not list(ChunkSchedule().chunks(0))


def test_a_chunk_waits_for_its_look_ahead():
    schedule = ChunkSchedule((5,), look_ahead=2)
    assert schedule.next_chunk(0, 0, 6, last=False) is None
    assert schedule.next_chunk(0, 0, 7, last=False) == Chunk(0, 0, 5, 7)
    assert schedule.next_chunk(1, 5, 7, last=True) == Chunk(0, 5, 7, 7)
    assert schedule.next_chunk(1, 5, 5, last=True) is None


@pytest.mark.parametrize(
    ("schedule", "codes"),
    [
        (ChunkSchedule(), 158),
        (ChunkSchedule((4,), look_ahead=0), 80),
        (ChunkSchedule((5, 10), look_ahead=2, window=12), 27),
        (ChunkSchedule((40,), window=10), 83),
    ],
)
def test_a_settled_reply_has_a_chunk_of_every_kind(schedule, codes):
    def kinds(count):
        for index, chunk in enumerate(schedule.chunks(count)):
            if schedule.is_regular(index, chunk):
                yield chunk.begin - chunk.past, chunk.end - chunk.begin, chunk.ahead - chunk.end

    assert schedule.settled == codes
    settled = list(kinds(codes))
    assert len(set(settled)) == len(settled)
    assert set(settled) == set(kinds(codes + 500))
    assert set(kinds(codes - 1)) < set(settled)


@pytest.mark.parametrize(
    "wrong", [{"sizes": ()}, {"sizes": (5, 0)}, {"look_ahead": -1}, {"window": 0}]
)
def test_wrong_schedules(wrong):
    with pytest.raises(NetworkConfigError, match="a chunk schedule needs"):
        ChunkSchedule(**wrong)


@pytest.mark.parametrize(("alpha", "points"), [(1.0, 3), (None, 4)])
def test_the_flow_s_operations(token2wav, voice, alpha, points):
    sampling = SamplingConfig(points, alpha)
    codes = torch.arange(9)
    work = counted(lambda: token2wav.latents(codes, voice, sampling=sampling))
    assert flow_flops(token2wav.config.flow, 13 + 9, sampling) == work


def test_the_vocoder_s_operations(token2wav):
    work = counted(lambda: token2wav.wavegan(torch.zeros(1, 8, 400)))
    assert vocoder_flops(token2wav.config.vocoder, 400) == pytest.approx(work, rel=0.01)


def test_the_vocoder_s_operations_in_a_stream():
    with torch.device("meta"):
        vocoder, latents = BigVgan(FULL.vocoder).eval(), torch.zeros(1, FULL.flow.latent, 40)
    _, state = vocoder.step(vocoder.start(), latents)
    first, later = (cost.vocoder for cost in chunk_costs(FULL, 13, 20, ChunkSchedule((10,))))
    assert first == pytest.approx(counted(lambda: vocoder.step(vocoder.start(), latents)), rel=0.01)
    assert later == pytest.approx(counted(lambda: vocoder.step(state, latents)), rel=0.01)


def test_the_operations_of_a_streamed_reply(token2wav, voice):
    schedule, sampling = ChunkSchedule((5, 10)), SamplingConfig(points=3)
    streamer = SpeechStreamer(token2wav)

    def speak():
        stream = streamer.start(voice, SpeechSettings(schedule, sampling))
        streamer.step(stream, [1] * 30, last=True)

    costs = list(chunk_costs(token2wav.config, 13, 30, schedule, sampling))
    assert [cost.chunk.end - cost.chunk.begin for cost in costs] == [5, 10, 10, 5]
    assert sum(cost.seconds for cost in costs) == pytest.approx(1.2)
    assert sum(cost.total for cost in costs) == pytest.approx(counted(speak), rel=0.03)


def test_the_published_network_s_operations():
    # Found with the public code: 18.4 TFLOP for 50 codes behind a prompt of 291, 32.3 for 250,
    # 191 GFLOP per second of audio.
    for codes, tera in ((50, 18.4), (250, 32.3)):
        assert flow_flops(FULL.flow, 291 + codes, SamplingConfig()) == pytest.approx(
            tera * 1e12, rel=0.01
        )
    assert vocoder_flops(FULL.vocoder, 100) == pytest.approx(191e9, rel=0.01)
