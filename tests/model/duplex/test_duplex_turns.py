"""The four behaviours, counted: of the trained network, of chance, and of who cannot hear."""

from __future__ import annotations

import gc
import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests import ROOT

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

import soundfile
from typer.testing import CliRunner

from covo_cli.app import app
from covo_cli.bench.duplex import behaviours as bench
from covo_cli.bench.duplex.behaviours import measure_behaviours
from covo_cli.bench.duplex.steps import measure_steps
from covo_cli.engines.engines import build_engine, choose_engine, for_sessions
from covo_cli.errors import CliError
from covo_cli.settings.settings import load_settings
from model.covo.config.precision import Precision
from model.duplex.network.network import load_duplex
from model.duplex.protocol.grammar import AssistantState
from model.duplex.tones.behaviours import BEHAVIOURS, ChanceListener, measure
from model.duplex.tones.tones import ToneSpeaker, phrase, silence
from model.errors import NetworkConfigError
from tests.model.covo.golden_covo import network_folder, token2wav_folder

FOLDER = ROOT / "tests/duplex_tones"


class Scripted:
    """Speaks in given chunks."""

    def __init__(self, speaks) -> None:
        self._speaks, self._chunk = speaks, 0

    def begin(self, seed: int) -> None:
        self._chunk = 0

    def hear(self, chunk) -> AssistantState:
        self._chunk += 1
        return AssistantState(True, 1) if self._speaks(self._chunk - 1) else AssistantState()


@pytest.fixture(scope="module")
def network():
    return load_duplex(FOLDER, precision=Precision.FP32)


@pytest.fixture(scope="module")
def profile(network):
    return network.profile


def rates(listener, profile, trials: int = 20) -> dict[str, float]:
    done = {name: measure(listener, profile, name, trials) for name in BEHAVIOURS}
    return {name: float(np.mean([trial.success for trial in done[name]])) for name in done}


def test_the_counting_knows_right_from_wrong(profile):
    silent = {"turn": 0.0, "pause": 1.0, "backchannel": 0.0, "interruption": 0.0}
    assert rates(Scripted(lambda chunk: False), profile) == silent
    assert rates(Scripted(lambda chunk: True), profile) == dict.fromkeys(BEHAVIOURS, 0.0)


def test_chance_is_poor_at_it(profile):
    found = rates(ChanceListener(0.03, 0.1), profile, 40)
    assert all(found[name] < 0.4 for name in ("turn", "backchannel", "interruption"))
    assert 0.1 < found["pause"] < 0.9


def test_the_trained_network_takes_turns(network, monkeypatch):
    monkeypatch.setattr(bench, "_A_THIRD", 4)
    monkeypatch.setattr(bench, "_CONVERSATIONS", 1)
    figures = measure_behaviours(network, 6)
    # It also behaves when it has forgotten how the conversation began.
    assert figures["long conversations"]["rate_by_thirds"] == [1.0, 1.0, 1.0]
    forgotten = figures["long conversations"]["tokens_forgotten_each"]
    assert forgotten > 3 * network.profile.context.window
    for name in BEHAVIOURS:
        assert figures["network"][name]["rate"] == 1.0
    assert figures["network"]["turn"]["latency_chunks"]["median"] == 1.0
    assert figures["network"]["interruption"]["latency_chunks"]["median"] == 2.0
    # It hears: with silence in its ears it never begins.
    assert figures["network, deaf"]["turn"]["rate"] == 0.0
    assert figures["chance_rates"]["shift"] < 0.1


def test_a_step_is_measured():
    figures = measure_steps("tiny", torch.device("cpu"), Precision.FP32, 0.2)
    assert figures["all"]["steps"] == 75
    assert figures["speaking"]["steps"] + figures["listening"]["steps"] == 75
    assert figures["speaking"]["steps"] >= 30
    assert figures["all"]["median_ms"] <= figures["all"]["p95_ms"] <= figures["all"]["p99_ms"]
    assert figures["first_minute_memory_mb"] > 50


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_step_is_measured_on_a_gpu():
    """In bf16: CUDA graphs, FlashAttention over the cache, fused attention in the encoder."""
    gc.collect()  # what other tests left on the GPU would be freed between the two minutes
    figures = measure_steps("tiny", torch.device("cuda"), Precision.BF16, 3.0)
    assert figures["all"]["steps"] == 15 * 75
    assert figures["tokens_forgotten"] > 0
    assert figures["first_minute_memory_mb"] == figures["last_minute_memory_mb"]


def test_a_device_that_torch_does_not_know_is_named(isolated):
    result = run("bench", "duplex", "--device", "abacus", "--minutes", "0.1")
    assert isinstance(result.exception, NetworkConfigError)
    assert "no device 'abacus'" in str(result.exception)


# The engine on the command line

LOW = ToneSpeaker(120.0, 1.0, 0.1)


def run(*arguments: str):
    return CliRunner().invoke(app, [*arguments])


@pytest.fixture
def isolated(tmp_path, monkeypatch):
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COVO_AUDIO_VAD", "webrtc")


def chat(tmp_path: Path, engine: str, model: Path, seconds: float = 0.0):
    random = np.random.default_rng(0)
    said = np.concatenate((silence(0.5), phrase(LOW, random, 5, final=True), silence(seconds)))
    soundfile.write(tmp_path / "said.wav", said, 16_000)
    return run(
        *("chat", "--engine", engine, "--model", str(model), "--device", "cpu"),
        *("--input", str(tmp_path / "said.wav"), "--output", str(tmp_path / "answer.wav")),
        *("--pace", "fast", "--json", "--no-record"),
    )


def test_a_file_talks_with_it(tmp_path, isolated):
    result = chat(tmp_path, "covo-fd", FOLDER, seconds=0.3)
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    names = [event.get("event") for event in events]
    assert "ReplyFinished" in names
    # No weights in this place: the user's words are not written down, and that is said once.
    assert "UserTranscript" not in names
    (notice,) = (event["text"] for event in events if event.get("event") == "Notice")
    assert notice.startswith("no transcript of what you say")
    assert "covo models pull lite" in notice
    text = "".join(e["delta"] for e in events if e.get("event") == "AssistantText")
    assert text.split()[:3] == ["low", "one", "two"]
    answer, rate = soundfile.read(tmp_path / "answer.wav")
    assert rate == 24_000
    # On the input's clock: nothing before the turn's end, the reply's 15 words of 0.16 s after it.
    sounding = np.flatnonzero(np.abs(answer) > 0.01) / rate
    said, _ = soundfile.read(tmp_path / "said.wav")
    assert sounding[0] > len(said) / 16_000 - 0.3
    assert sounding[-1] - sounding[0] == pytest.approx(15 * 0.16, abs=0.05)


def test_each_engine_refuses_the_other_s_checkpoints(tmp_path, isolated):
    half = network_folder(tmp_path / "half")
    result = chat(tmp_path, "covo-fd", half)
    assert isinstance(result.exception, NetworkConfigError)
    assert "half-duplex checkpoint" in str(result.exception)
    assert "--engine covo" in str(result.exception)
    token2wav_folder(half / "token2wav")
    result = chat(tmp_path, "covo", FOLDER)
    assert isinstance(result.exception, NetworkConfigError)
    assert "--engine covo-fd" in str(result.exception)


def test_tones_can_be_made_and_trained_on(tmp_path, isolated):
    world = tmp_path / "world"
    assert run("train", "tones", str(world), "--dialogues", "2").exit_code == 0
    settings = (world / "train.toml").read_text()
    settings = settings.replace("steps = 500", "steps = 12").replace("batch = 8", "batch = 1")
    (world / "train.toml").write_text(settings)
    result = run("train", "duplex", "--config", str(world / "train.toml"))
    assert result.exit_code == 0, result.output
    told = re.findall(r"step (\d+): think", result.stdout)
    assert (len(told), told[-1]) == (10, "12")
    load_duplex(world / "trained")
    assert isinstance(run("train", "tones", str(world)).exception, CliError)
    # Who runs it again does not lose what was trained, even from another folder.
    before = (world / "trained/model.safetensors").stat()
    world = world.rename(tmp_path / "moved")
    again = run("train", "duplex", "--config", str(world / "train.toml"))
    assert again.exit_code == 0, again.output
    assert f"delete {world / 'trained/done.json'}" in again.stdout
    assert (world / "trained/model.safetensors").stat() == before
    (world / "train.toml").write_text(settings.replace("steps = 12", "steps = 1"))
    assert "step 1: think" in run("train", "duplex", "--config", str(world / "train.toml")).stdout


def test_the_doctor_looks_at_the_checkpoint(isolated, monkeypatch):
    def report(model: Path) -> dict[str, dict[str, str]]:
        for key, value in (("engine.name", "covo-fd"), ("covo.model", model)):
            monkeypatch.setenv(f"COVO_{key}".replace(".", "_").upper(), str(value))
        result = run("doctor", "--json")
        return {check["name"]: check for check in json.loads(result.stdout)["checks"]}

    checks = report(FOLDER)
    assert (checks["full duplex"]["status"], "voice" in checks) == ("ok", False)
    assert "160 ms at a time" in checks["full duplex"]["detail"]
    weights = {name: c["status"] for name, c in checks.items() if name.startswith("weights")}
    assert "failed" not in weights.values(), weights
    assert report(FOLDER.parent)["full duplex"]["status"] == "failed"


def test_the_engines_of_a_server_share_the_network(isolated):
    settings = load_settings({"engine.name": "covo-fd", "covo.model": str(FOLDER)})
    choice = for_sessions(settings, choose_engine(settings), 2)
    assert choice.duplex.plan.setting.sessions == 2
    engines = [build_engine(settings, real_time=False, choice=choice) for _ in range(2)]
    first, second = (engine._load(lambda stage: None).loop for engine in engines)
    assert first is not second
    assert first.network is second.network
    for engine in engines:
        engine.close()
