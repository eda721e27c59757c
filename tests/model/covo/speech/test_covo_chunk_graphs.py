"""Chunks as CUDA graphs: captured when a shape comes back, and the sound is the same."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from model.covo.config.token2wav_config import SamplingConfig
from model.covo.speech.chunk_graphs import ChunkGraphs
from model.covo.speech.chunk_schedule import ChunkSchedule
from model.covo.speech.speech_stream import SpeechSettings, SpeechStreamer
from tests.model.covo.golden_covo import TOLERANCE, error
from tests.model.covo.recorded_graphs import use_recorded_graphs

CPU = torch.device("cpu")
SHORT = SpeechSettings(ChunkSchedule((3, 5), look_ahead=2, window=6), SamplingConfig(points=3))

QUICK = SamplingConfig(points=2, alpha=None)


def reply(count: int, seed: int = 5) -> list[int]:
    return torch.randint(128, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def pieces_of(streamer, voice, codes, *, seed: int = 0, how=SHORT) -> list[torch.Tensor]:
    """The sound of ``codes``, which come one by one."""
    stream = streamer.start(voice, how, seed=seed)
    pieces = []
    for index, code in enumerate(codes):
        piece, stream = streamer.step(stream, [code], last=index == len(codes) - 1)
        pieces.append(piece)
    return pieces


def test_a_shape_runs_is_captured_and_is_replayed(monkeypatch):
    made, calls = use_recorded_graphs(monkeypatch), []

    def double(x):
        calls.append(x)
        return (2 * x,)

    graphs = ChunkGraphs(CPU)
    results = [graphs("double", double, torch.full((3,), float(n)))[0] for n in range(5)]
    assert [result.tolist() for result in results] == [[2.0 * n] * 3 for n in range(5)]
    assert (len(calls), [graph.replays for graph in made]) == (2, [4])
    for other in (torch.ones(4), torch.ones(3, dtype=torch.float64)):
        graphs("double", double, other)
    assert graphs("square", lambda x: (x * x,), torch.full((3,), 3.0))[0].tolist() == [9.0] * 3
    assert len(calls) == 4


def test_the_graph_that_was_not_used_for_longest_makes_room(monkeypatch):
    made = use_recorded_graphs(monkeypatch)
    graphs, inputs = ChunkGraphs(CPU, kept=2), [torch.ones(size) for size in (1, 2, 3)]
    for index in (0, 0, 1, 1, 0, 2, 2, 0):
        graphs("same", lambda x: (x + 1,), inputs[index])
    assert [graph.replays for graph in made] == [3, 1, 1]
    graphs("same", lambda x: (x + 1,), inputs[1])
    assert len(made) == 3


def test_the_shared_pool_never_loses_its_last_graph(monkeypatch):
    made = use_recorded_graphs(monkeypatch)
    graphs = ChunkGraphs(CPU, kept=1)
    for size in (1, 1, 2):
        graphs("same", lambda x: (x + 1,), torch.ones(size))
    first = weakref.ref(made.pop())
    gc.collect()
    assert first() is not None


def test_a_reply_in_graphs_is_the_same_reply(token2wav, voice, monkeypatch):
    made = use_recorded_graphs(monkeypatch)
    graphs = SpeechStreamer(token2wav, ChunkGraphs(CPU))
    for seed, count in ((0, 24), (1, 18)):
        codes = reply(count, seed)
        expected = pieces_of(SpeechStreamer(token2wav), voice, codes, seed=seed)
        pieces = pieces_of(graphs, voice, codes, seed=seed)
        assert [len(piece) for piece in pieces] == [len(piece) for piece in expected]
        # Only the last chunk is padded, which changes the order of some sums.
        assert all(map(torch.equal, pieces[:-1], expected[:-1]))
        assert error(pieces[-1], expected[-1]) < TOLERANCE / 10
    assert sum(graph.replays for graph in made) >= 8


@pytest.mark.parametrize("schedule", [ChunkSchedule((5, 8), 2, 6), ChunkSchedule((4,), 0, 6)])
def test_after_the_rehearsals_the_vocoder_meets_no_new_shape(
    token2wav, voice, monkeypatch, schedule
):
    """Each would need a plan for every convolution, in mid-talk."""
    use_recorded_graphs(monkeypatch)
    streamer, made = SpeechStreamer(token2wav, ChunkGraphs(CPU, kept=0)), {}
    how = SpeechSettings(schedule, QUICK)
    chunk = token2wav.wavegan.chunk

    def spy(latents, tails, missing, before):
        shape = (latents.shape[-1], missing is None, before)
        if shape not in made:  # the sound is not looked at
            made[shape] = chunk(latents, tails, missing, before)
        return made[shape]

    monkeypatch.setattr(token2wav.wavegan, "chunk", spy)
    for count in schedule.rehearsals():
        pieces_of(streamer, voice, reply(count), how=how)
    rehearsed = set(made)
    assert len(rehearsed) <= 2 * len(schedule.sizes) + 2
    for count in range(1, 2 * sum(schedule.sizes)):
        pieces_of(streamer, voice, reply(count), how=how)
    assert set(made) == rehearsed


def test_the_flow_of_a_last_chunk_is_not_captured(token2wav, voice, monkeypatch):
    use_recorded_graphs(monkeypatch)
    graphs = ChunkGraphs(CPU)
    for _ in range(2):
        pieces_of(SpeechStreamer(token2wav, graphs), voice, reply(4))
    assert {name for ((name, *_), *_) in graphs._graphs} == {"vocoder"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_reply_in_graphs_on_a_gpu(speech_folder, voice, precision):
    """Captured and replayed beside a thread that captures and decodes, as the language model's."""
    from model.covo.config.device import capturing
    from model.covo.config.precision import token2wav_precision
    from model.covo.loading.checkpoint import load_token2wav
    from model.covo.speech.speech_worker import SpeechWorker

    device = torch.device("cuda")
    exact, ours = (
        load_token2wav(speech_folder, device=device, precision=token2wav_precision(name, "cuda"))
        for name in ("fp32", precision)
    )
    ended = threading.Event()
    failures = []

    def decode() -> None:
        pool, stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream(priority=-1)
        held = []  # a pool is gone with its last graph
        try:
            with torch.cuda.stream(stream):
                rows = torch.randn(64, 64, device=device)
                rows @ rows
                while not ended.wait(0.005):
                    graph = torch.cuda.CUDAGraph()
                    with capturing(graph, pool, stream):
                        product = torch.tanh(rows @ rows)
                    held.append(graph)
                    for _ in range(20):
                        graph.replay()
                    product.cpu()
        except RuntimeError as error:
            failures.append(error)

    decoding = threading.Thread(target=decode, daemon=True)
    decoding.start()
    graphs = SpeechWorker(SpeechStreamer(ours), SHORT)
    eager = SpeechWorker(SpeechStreamer(ours), SHORT, graph=False)
    reference = SpeechWorker(SpeechStreamer(exact), SHORT, graph=False)
    for seed in range(3):
        codes = reply(24 + seed, seed)

        def wave_of(worker, codes=codes, seed=seed):
            said = worker.speak([(code,) for code in codes], voice, seed=seed)
            return torch.cat([torch.from_numpy(piece) for piece, _ in said])

        expected = wave_of(reference)
        assert len(expected) == exact.samples(len(codes), voice)
        off = [
            float((wave_of(worker) - expected).norm() / expected.norm())
            for worker in (graphs, eager)
        ]
        # Graphs attend and pad differently, so in bf16 they round differently, but no worse.
        assert off[0] < 1e-3 + 2 * off[1]
    ended.set()
    decoding.join(10)
    assert not failures
    assert not decoding.is_alive()
    assert sum(captured is not None for captured in graphs._streamer._run._graphs.values()) >= 4
