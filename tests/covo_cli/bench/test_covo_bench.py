"""``covo bench network``: what its figures say of each other. How fast it was is nobody's test."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from typer.testing import CliRunner

from covo_cli.app import app
from covo_cli.bench.duplex.steps import bench_profile
from covo_cli.bench.figures import check_plot
from covo_cli.bench.network import measure_network, network_bench
from covo_cli.bench.network.goals import goals
from covo_cli.bench.network.sessions import (
    SKIPPED,
    keeping_pace,
    measure_sessions,
    session_counts,
    sessions_bytes,
    time_together,
)
from covo_cli.bench.network.stages import measure_chunks
from covo_cli.bench.network.streams import PROMPT_TOKENS
from covo_cli.bench.network.subject import SPEECH_TOKENS, TEXT_TOKENS, build_subject
from covo_cli.bench.network.tables import network_tables
from covo_cli.bench.network.timing import DeviceClock
from covo_cli.errors import CliError
from model.covo.config import sizes
from model.covo.config.precision import SPEECH_FP16, Precision
from model.covo.config.sizes import FULL, TINY
from model.covo.config.token2wav_config import SamplingConfig
from model.covo.loading.random_weights import random_network, random_token2wav, random_voice
from model.covo.memory.plan import MemorySetting, context_tokens, plan_memory
from model.covo.memory.speech_cost import chunk_costs
from model.covo.speech.chunk_schedule import ChunkSchedule
from model.covo.speech.speech_stream import SpeechStreamer
from model.errors import NetworkConfigError, NetworkMemoryError

REPLY = 1.0
VOCODER = replace(
    TINY.token2wav.vocoder, initial_channels=64, block_kernels=(3,), block_dilations=((1,),)
)
QUICK = replace(
    TINY,
    token2wav=replace(TINY.token2wav, sampling=SamplingConfig(points=3), vocoder=VOCODER),
)
"""Tiny, with a fifth of its work: what is measured is not how long it takes."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run of the command: its folder and its figures."""
    pytest.importorskip("matplotlib", reason="needs matplotlib (the plot extra)")
    folder = tmp_path_factory.mktemp("bench")
    arguments = ["bench", "network", "--size", "tiny", "--device", "cpu", "--precision", "fp32"]
    arguments += ["--minutes", "0.5", "--reply", str(REPLY), "--runs", "1", "--steps", "6"]
    arguments += ["--streams", "3", "--sessions", "3"]
    arguments += ["--json", str(folder / "figures.json"), "--plot", str(folder / "figures.png")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes, "SIZES", (QUICK,))
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return folder, result.output, json.loads((folder / "figures.json").read_text())


def test_a_run_writes_its_figures(run):
    folder, shown, figures = run
    assert (folder / "figures.png").read_bytes().startswith(b"\x89PNG")
    assert "End of speech to first sample" in shown
    assert figures["machine"]["command"]
    assert (figures["size"], figures["precision"], figures["weights"]) == ("tiny", "fp32", "random")


def test_the_reply_is_as_long_as_was_asked(run):
    _, _, figures = run
    reply, all_first = figures["reply"], figures["side_by_side"]["all_first"]
    codes = round(REPLY * 25)
    assert reply["codes"] == all_first["codes"] == codes
    groups = -(-codes // SPEECH_TOKENS)
    assert reply["tokens"] == codes + groups * TEXT_TOKENS
    # 3 latents of 10 ms belong to the voice's prompt.
    assert reply["audio_seconds"] == all_first["audio_seconds"] == REPLY - 0.03
    assert 0 < reply["first_piece_seconds"] < REPLY / 2


def test_parts_add_up_to_the_time_to_the_first_sample(run):
    _, _, figures = run
    for part in (figures["reply"], figures["side_by_side"]["all_first"]):
        parts = part["breakdown_seconds"]
        assert list(parts) == ["features", "encoder", "prefill", "tokens", "speech"]
        assert all(seconds > 0 for seconds in parts.values())
        assert sum(parts.values()) == pytest.approx(part["first_sample_seconds"])
        times = part["first_sample_seconds_of_all"]
        assert sorted(times)[1] == part["first_sample_seconds"]
    assert figures["reply"]["whole_seconds"] > figures["reply"]["first_sample_seconds"]


def test_replies_at_once_are_held_against_one_alone(run):
    _, shown, figures = run
    streams = figures["streams"]
    assert (streams["streams"], streams["steps"]) == (3, 6)
    rates = streams["tokens_per_second"] / streams["tokens_per_second_alone"]
    assert streams["speed_up"] == pytest.approx(rates, rel=0.01)
    assert streams["prefill_ms"] > 0
    assert f"{streams['prompt_tokens']}, 3 at" in shown


def test_conversations_that_share_their_steps_are_held_against_their_time(run):
    _, shown, figures = run
    sessions = figures["sessions"]
    assert sessions["places"] == 3
    # 15 codes of 40 ms come with 5 text tokens; a chunk is 160 ms.
    for name, left_ms in (("chat", 600 / 20), ("duplex", 160)):
        engine = sessions[name]
        assert engine["left_ms"] == left_ms
        assert [entry["sessions"] for entry in engine["counts"]] == [1, 2, 3]
        for entry in engine["counts"]:
            assert entry["share_of_time"] == pytest.approx(entry["p95_ms"] / left_ms, abs=1e-4)
            assert entry["p95_ms"] >= entry["median_ms"] > 0
        alone = engine["alone"]
        ratio = alone["shared_median_ms"] / alone["plain_median_ms"]
        assert alone["cost_of_sharing"] == pytest.approx(ratio - 1, abs=1e-4)
        assert f"{name}: {engine['keeping_pace']} keep pace" in shown


def test_sessions_take_their_steps_at_once():
    both = threading.Barrier(2)

    def conversation() -> Iterator[int]:
        for _ in range(SKIPPED + 3):
            both.wait(10)  # a session that waits for the other's end would break it
            yield 4

    times, rate = time_together([conversation(), conversation()], torch.device("cpu"))
    assert len(times) == 2 * 3
    assert rate > 0


def test_what_a_session_raises_ends_the_measurement():
    def failing() -> Iterator[int]:
        yield 1
        raise NetworkMemoryError("no memory for a step")

    with pytest.raises(NetworkMemoryError, match="no memory for a step"):
        time_together([failing(), iter([1, 1, 1])], torch.device("cpu"))


def test_full_duplex_is_left_out_in_integers():
    network = random_network(TINY.covo, precision=Precision.INT8)
    figures = measure_sessions(network, Precision.INT8, 2, 4)
    assert figures["duplex"] is None
    assert [entry["sessions"] for entry in figures["chat"]["counts"]] == [1, 2]


def test_sessions_keep_pace_up_to_the_first_that_do_not():
    def paced(**shares: float) -> int:
        return keeping_pace(
            [{"sessions": int(n[1:]), "share_of_time": share} for n, share in shares.items()]
        )

    assert paced(n1=0.2, n2=1.0, n4=1.1, n8=0.9) == 2
    assert paced(n1=1.01, n2=0.5) == 0
    assert [session_counts(most) for most in (1, 2, 3, 8)] == [
        [1],
        [1, 2],
        [1, 2, 3],
        [1, 2, 4, 8],
    ]


def test_memory_for_sessions_is_kept():
    cache = TINY.covo.backbone.kv_bytes
    assert sessions_bytes(TINY, Precision.FP32, 1, 100) == 0
    assert sessions_bytes(TINY, Precision.INT8, 4, 100) == cache(5 * (PROMPT_TOKENS + 100), 2)
    duplex = bench_profile(TINY.covo).cache_tokens
    assert sessions_bytes(TINY, Precision.FP32, 4, 100) == cache(5 * duplex, 4)


def test_decode_steps_are_held_against_what_they_read(run):
    _, _, figures = run
    plan = plan_memory(
        QUICK.covo, QUICK.token2wav, MemorySetting(Precision.FP32, minutes=0.5), device="cpu"
    )
    bandwidth = figures["limits"]["read_gb_per_second"] * 1e9
    contexts = [entry["context_tokens"] for entry in figures["decode"]]
    assert contexts == [512, context_tokens(0.5) - 6]
    for entry in figures["decode"]:
        cache = TINY.covo.backbone.kv_bytes(entry["context_tokens"] + 3, 4)
        assert entry["bytes_read"] == plan.blocks + plan.head + cache
        floor = 1000 * entry["bytes_read"] / bandwidth
        assert entry["floor_ms"] == pytest.approx(floor, rel=0.01, abs=1e-4)
        assert entry["p95_ms"] >= entry["median_ms"] > 0


def test_chunks_are_those_of_the_schedule(run):
    _, _, figures = run
    schedule = ChunkSchedule()
    costs = chunk_costs(QUICK.token2wav, TINY.voice_codes, 25, schedule)
    wanted = [(c.end - c.begin, TINY.voice_codes + c.ahead - c.past) for c in schedule.chunks(25)]
    assert [(c["codes"], c["seen_codes"]) for c in figures["chunks"]] == wanted
    counted = [(chunk["flow_flop"], chunk["vocoder_flop"]) for chunk in figures["chunks"]]
    assert counted == [(cost.flow, cost.vocoder) for cost in costs]
    for chunk in figures["chunks"]:
        reached = chunk["flow_flop"] / chunk["flow_ms"] * 1000
        assert chunk["flow_flop_per_second"] == pytest.approx(reached, rel=0.01)
        assert chunk["audio_ms"] == 40 * chunk["codes"]
        assert chunk["first_ms"] > 0


def test_chunks_are_timed_where_a_reply_speaks(monkeypatch):
    """The libraries' plans, and the graphs of chunks, are those of the worker's thread."""
    threads = []
    step = SpeechStreamer.step

    def spied(*given, **how):
        threads.append(threading.current_thread().name)
        return step(*given, **how)

    monkeypatch.setattr(SpeechStreamer, "step", spied)
    setting = MemorySetting(Precision.FP32, minutes=0.5)
    plan = plan_memory(QUICK.covo, QUICK.token2wav, setting, device="cpu")
    subject = build_subject(QUICK, plan, DeviceClock(torch.device("cpu")), 1.0, lambda stage: None)
    chunks = measure_chunks(subject, 7, 1, 1e9)
    assert [chunk["codes"] for chunk in chunks] == [7]
    assert threads == ["covo-token2wav"] * 4  # the first, a capture, one timed, and on to the next


def test_memory_is_held_against_the_plan(run):
    _, _, figures = run
    memory = figures["memory"]
    assert memory["weights"] == memory["plan"]["weights"]
    assert memory["peak_allocated"] is memory["peak_share_of_plan"] is None


def test_goals_are_not_measured_here(run):
    _, shown, figures = run
    assert [goal["met"] for goal in figures["goals"]] == [None]
    int8 = goals({**figures, "precision": "int8"})
    assert ["memory" in goal["goal"] for goal in int8] == [True, True]
    assert len(goals({**figures, "precision": "bf16"})) == 5
    assert "not measured" in shown


def test_goals_of_a_run_that_counts(run):
    _, _, figures = run
    on_gpu = {
        **figures,
        "size": "full",
        "precision": "bf16",
        "minutes": 10.0,
        "machine": {"device": "cuda", "device_name": "Some card"},
        "decode": [{"multiple_of_floor": 1.2}, {"multiple_of_floor": 1.3}],
        "reply": {"first_sample_seconds": 0.25, "whole_share_of_duration": 0.35},
        "memory": {"peak_share_of_plan": 0.93, "peak_allocated": 20 * 10**9},
    }
    assert [goal["met"] for goal in goals(on_gpu)] == [False, True, True, True, True]
    shorter = {**on_gpu, "minutes": 1.0}
    assert [goal["met"] for goal in goals(shorter)][-1] is None
    assert len(list(network_tables(figures))) == 6


@pytest.mark.parametrize("precision", ["bf16", "int8", "int4"])
def test_random_weights_are_as_planned_and_finite(precision):
    setting = MemorySetting(Precision(precision), SPEECH_FP16, 0.5)
    network = random_network(TINY.covo, precision=setting.precision)
    plan = plan_memory(TINY.covo, TINY.token2wav, setting, device="cpu")
    held = sum(p.nbytes for p in network.parameters())
    assert held == plan.weights - plan.token2wav
    embedded = network.embed(torch.arange(40))
    assert embedded.std() > 0
    token2wav = random_token2wav(TINY.token2wav, precision=setting.token2wav)
    assert sum(p.nbytes for p in token2wav.parameters()) == plan.token2wav
    wave = token2wav.synthesize(torch.arange(10), random_voice(TINY.token2wav.flow, 13))
    assert wave.isfinite().all()
    assert wave.std() > 0.01


def test_the_alternation_is_kept():
    setting = MemorySetting(Precision.FP32, minutes=0.5)
    plan = plan_memory(TINY.covo, TINY.token2wav, setting, device="cpu")
    subject = build_subject(TINY, plan, DeviceClock(torch.device("cpu")), 1.0, lambda stage: None)
    subject.prepare()
    prompt = subject.turn_prompt(7)
    subject.decoder.append(subject.network.embed(prompt, torch.zeros(7, 64)))
    tokens = list(subject.reply_tokens(prompt, 20))
    assert "".join("s" if speech else "t" for _, speech in tokens) == "t" * 5 + "s" * 15 + (
        "t" * 5 + "s" * 5
    )
    for token, speech in tokens:
        assert 0 <= token < (TINY.covo.codebook if speech else TINY.covo.first_audio_token)


def test_what_cannot_be_measured(tmp_path, monkeypatch):
    options = {
        "precision": "bf16",
        "token2wav": "auto",
        "minutes": 1.0,
        "reply_seconds": 2.0,
        "runs": 1,
        "steps": 4,
    }
    for device in ("toaster", "meta", "cuda:77"):
        with pytest.raises(NetworkConfigError, match=device):
            network_bench("tiny", device=device, **options)
    with pytest.raises(NetworkConfigError, match="'huge'"):
        network_bench("huge", device="cpu", **options)
    for changed in ({"steps": 800}, {"reply_seconds": 60.0}):
        with pytest.raises(NetworkConfigError, match="1488 tokens, but this needs"):
            network_bench("tiny", device="cpu", **(options | changed))
    large = network_bench("full", device="cpu", **options)
    monkeypatch.setattr("covo_cli.bench.network.free_memory", lambda device: 10**9)
    with pytest.raises(NetworkMemoryError, match="nothing fits"):
        measure_network(large, lambda stage: None)
    for path in (tmp_path / "figures.pdf", tmp_path / "nowhere/figures.png"):
        with pytest.raises(CliError, match=r"must be a \.png file"):
            check_plot(path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(CliError, match="needs matplotlib"):
        check_plot(tmp_path / "figures.png")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("precision", ["bf16", "int8", "int4"])
def test_on_a_gpu(precision):
    bench = network_bench(
        "mid",
        device="cuda",
        precision=precision,
        token2wav="auto",
        minutes=1.0,
        reply_seconds=REPLY,
        runs=2,
        steps=20,
        streams=8,
    )
    figures = measure_network(bench, lambda stage: None)
    assert figures["streams"]["streams"] == 8
    memory = figures["memory"]
    assert memory["weights"] == pytest.approx(memory["plan"]["weights"], rel=0.01)
    assert memory["weights"] < memory["peak_allocated"] <= memory["peak_reserved"]
    assert figures["reply"]["audio_seconds"] == REPLY - 0.03
    assert figures["token2wav_precision"] == "bf16 (vocoder fp32)"
    assert len(list(network_tables(figures))) == 5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_sessions_per_device_on_a_gpu(record_property):
    """At full size, eight that share their passes make more tokens than one. `--junit-xml FILE`
    keeps the figures."""
    network = random_network(FULL.covo, device=torch.device("cuda"), precision=Precision.BF16)
    figures = measure_sessions(network, Precision.BF16, 8, 100)
    record_property("figures", json.dumps(figures))
    for name in ("chat", "duplex"):
        rates = [entry["tokens_per_second"] for entry in figures[name]["counts"]]
        assert rates[-1] > 2 * rates[0]
        assert figures[name]["keeping_pace"] >= 1
