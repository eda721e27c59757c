"""``covo bench duplex --voice``: what its figures say of each other, and how it is paced."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from typer.testing import CliRunner

from covo_cli.app import app
from covo_cli.bench.duplex import voice as duplex_voice
from covo_cli.bench.duplex.steps import bench_profile
from covo_cli.bench.duplex.voice import duplex_bench, measure_voice
from model.covo.config import sizes
from model.covo.config.precision import Precision
from model.covo.config.sizes import TINY
from model.covo.config.token2wav_config import SamplingConfig
from model.covo.loading.random_weights import random_network
from model.duplex.network.loop import DuplexLoop
from model.duplex.network.network import DuplexNetwork
from model.duplex.network.speech import Token2WavSpeech
from model.errors import NetworkConfigError, NetworkMemoryError

VOCODER = replace(
    TINY.token2wav.vocoder, initial_channels=64, block_kernels=(3,), block_dilations=((1,),)
)
QUICK = replace(
    TINY,
    token2wav=replace(TINY.token2wav, sampling=SamplingConfig(points=2), vocoder=VOCODER),
)
PARTS = ("step", "step_speaking", "speech", "code_to_sound")


@pytest.fixture
def quick(monkeypatch):
    """A tiny network with less speech to make, which says 4 chunks of every 6."""
    monkeypatch.setattr(sizes, "SIZES", (QUICK,))
    monkeypatch.setattr(duplex_voice, "PERIOD", 6)
    monkeypatch.setattr(duplex_voice, "TALK", 4)


def test_a_run_writes_its_figures(quick, tmp_path):
    arguments = ["bench", "duplex", "--voice", "--device", "cpu", "--precision", "fp32"]
    arguments += ["--minutes", "0.024", "--json", str(tmp_path / "figures.json")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "codes to sound, p95 ms" in result.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["prompt_seconds"] == 3.0
    assert [figures[part]["steps"] for part in PARTS] == [9, 7, 7, 7]
    for part in PARTS:
        shares = [figures[part][f"{name}_ms"] for name in ("median", "p95", "p99", "max")]
        assert shares == sorted(shares)
    assert figures["code_to_sound"]["max_ms"] >= figures["speech"]["max_ms"] > 0
    assert [goal["met"] for goal in figures["goals"]] == [None] * 8
    assert figures["memory"]["planned"] > 0
    assert figures["memory"]["peak_allocated"] is None


def test_chunks_come_at_their_pace_and_are_all_spoken(quick, monkeypatch):
    """On a clock that only sleeping and steps move: each takes 10 ms, the sixth 200 ms."""
    now, said, slept = [0.0], [], []
    step, kinds = DuplexLoop.step, iter([0.01] * 5 + [0.2] + [0.01] * 2)

    def sleep(seconds):
        slept.append(round(seconds, 6))
        now[0] += seconds

    def slow(self, state, audio):
        now[0] += next(kinds)
        return step(self, state, audio)

    class Speech:
        def start(self):
            return None

        def step(self, state, codes, *, last):
            said.append((len(codes), last))
            return np.zeros(10, np.float32), None

    network = random_network(QUICK.covo, precision=Precision.FP32)
    loop = DuplexLoop(DuplexNetwork(network, bench_profile(QUICK.covo)))
    monkeypatch.setattr(
        duplex_voice, "time", SimpleNamespace(perf_counter=lambda: now[0], sleep=sleep)
    )
    monkeypatch.setattr(DuplexLoop, "step", slow)
    times = duplex_voice._converse(loop, loop.start(), Speech(), 8, lambda done, total: None)
    assert slept == [0, *[0.15] * 5, 0, 0.11]  # the seventh step began 40 ms late
    assert times.step.tolist() == pytest.approx([0.01] * 5 + [0.2] + [0.01] * 2)
    assert (times.late > 0).tolist() == [False] * 5 + [True] + [False] * 2
    assert said == [(4, False)] * 4 + [(0, True)] + [(4, False)] * 2
    assert np.isnan(times.code_to_sound).tolist() == [False] * 4 + [True] * 2 + [False] * 2


@pytest.mark.parametrize("more", [(), ("--voice",)])
def test_a_missing_device_is_named(more):
    arguments = ["bench", "duplex", "--device", "cuda:99", *more]
    with pytest.raises(NetworkConfigError, match=r"device '?cuda:99"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_too_little_memory_is_told_before_loading(quick, monkeypatch):
    monkeypatch.setattr(duplex_voice, "free_memory", lambda device: 1000)
    monkeypatch.setattr(duplex_voice, "random_network", None)
    with pytest.raises(NetworkMemoryError, match=r"cpu has 0\.0 GB free"):
        measure_voice(duplex_bench("tiny", torch.device("cpu"), "fp32", 0.02, 0.2))


def test_a_speech_that_fails_ends_the_run(quick, monkeypatch):
    def broken(self, state, codes, *, last):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Token2WavSpeech, "warm_up", lambda self: None)
    monkeypatch.setattr(Token2WavSpeech, "step", broken)
    bench = duplex_bench("tiny", torch.device("cpu"), "fp32", 0.02, 0.2)
    with pytest.raises(RuntimeError, match="out of memory"):
        measure_voice(bench)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu():
    figures = measure_voice(duplex_bench("tiny", torch.device("cuda"), "bf16", 0.06, 3.0))
    assert figures["speech"]["steps"] == 22
    assert figures["memory"]["peak_allocated"] > 0
    assert figures["memory"]["peak_share_of_plan"] > 0
    assert all(math.isfinite(figures[part]["max_ms"]) for part in PARTS)
