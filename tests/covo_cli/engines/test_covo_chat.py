"""``covo chat --engine covo`` and ``covo ask``, end to end on a tiny model in its own folder."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import ExitStack
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")

from safetensors.torch import load_file, save_file

from audio_io.file_ends import FileSpeaker
from audio_io.files import read_audio
from covo_cli.__main__ import main
from covo_cli.conversation.ends import Ends, FilePair
from covo_cli.conversation.run_chat import run_chat, run_conversation
from covo_cli.doctor.wiring import check_covo, check_engine
from covo_cli.engines.covo_engine import network_settings
from covo_cli.engines.engines import EngineChoice, build_engine, choose_engine, turn_settings
from covo_cli.engines.run_ask import CUT_SHORT, run_ask
from covo_cli.errors import SettingsError
from covo_cli.settings.settings import load_settings, models_dir
from covo_cli.simulation.scripted_user import Line, ScriptedUser, Start, StartRule
from model.covo.language.sampling import SamplingSettings
from model.covo.language.tokenizer import CovoTokenizer
from model.errors import ModelError, NetworkConfigError, NetworkInputError, WeightsError
from tests.model.covo.covo_model import VOICE, covo_folder
from voices.errors import VoiceError

QUESTION = Path(str(resources.files("covo_cli"))) / "demo_audio" / "australia.flac"
MODELS = models_dir(load_settings())
STOP = QUESTION.with_name("stop.flac")
CODES = 39
"""Chosen greedily, the tiny network's random weights answer with one word and then one sound."""
OWN = {
    "engine.name": "covo",
    "covo.device": "cpu",
    "covo.transcript": False,
    "covo.temperature": 0.0,
    "covo.reply_tokens": 40,
    "covo.context_minutes": 1.0,
    "covo.flow_steps": 1,
    "audio.vad": "webrtc",
    "audio.echo_cancellation": False,
    "turns.end_of_turn": "none",
    "turns.only_user": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return covo_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def settings(folder, tmp_path, monkeypatch):
    """The settings of a home of one's own, which has the tiny model and no other weights."""
    for name in list(os.environ):
        if name.startswith("COVO_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))

    def make(**changes):
        keys = {name.replace("__", "."): value for name, value in changes.items()}
        return load_settings({**OWN, "covo.model": str(folder), **keys})

    return make


def events_of(out, kind):
    return [e for e in map(json.loads, out.splitlines()) if e["event"] == kind]


def test_a_question_in_a_file_is_answered_aloud(settings, tmp_path, capsys):
    output = tmp_path / "answer.wav"
    files = FilePair(QUESTION, output, 24_000, paced=False)
    wanted = settings(turns__patience="eager")
    assert run_chat(wanted, files, as_json=True) == 0
    captured = capsys.readouterr()
    assert "academic use only" in " ".join(captured.err.split())
    (ended,) = events_of(captured.out, "ReplyAudioEnded")
    assert ended["samples"] == (4 * CODES - 3) * 240
    assert sum(e["samples"] for e in events_of(captured.out, "AssistantAudio")) == ended["samples"]
    (finished,) = events_of(captured.out, "ReplyFinished")
    written = "".join(e["delta"] for e in events_of(captured.out, "AssistantText"))
    assert finished["text"] == written == "yesterday"

    answer = read_audio(output, 24_000)
    (started,) = events_of(captured.out, "ReplyStarted")
    loud = np.flatnonzero(answer)
    assert loud[0] / 24_000 >= started["seconds"] - 0.02
    assert 0.9 * ended["samples"] < len(loud) <= ended["samples"]
    (session,) = (tmp_path / "data" / "sessions").iterdir()
    info = json.loads((session / "session.json").read_text())
    assert info["settings"] == wanted.record()
    assert info["settings"]["turns"]["silence"] == turn_settings(wanted).silence == 0.5
    assert info["engine"]["name"] == "covo"
    assert info["engine"]["voice"] == VOICE
    assert soundfile.info(session / "audio.flac").channels == 2


def test_an_interruption_cuts_the_reply_where_it_was_heard(settings, tmp_path, capsys):
    lines = [
        Line(read_audio(QUESTION, 16_000), "What is the capital of Australia?"),
        Line(read_audio(STOP, 16_000), "Okay, stop.", Start(StartRule.DURING_REPLY, 0.4)),
    ]
    user = ScriptedUser(lines, paced=False, name="two recordings")
    ends = Ends(
        user,
        FileSpeaker(tmp_path / "answers.wav"),
        real_time=False,
        over=lambda busy: user.exhausted and not busy,
        listeners=(user,),
    )
    with ExitStack() as stack:
        assert run_conversation(settings(), ends, stack, as_json=True) == 0
    out = capsys.readouterr().out
    cut = events_of(out, "Interrupted")[0]
    whole = (4 * CODES - 3) * 240
    assert 0.4 * 24_000 <= cut["heard_samples"] < whole
    assert cut["heard"] + cut["unheard"] == "yesterday"
    assert events_of(out, "ReplyStarted")[-1]["reply"] > cut["reply"]


@pytest.mark.weights
def test_the_embedded_recogniser_writes_down_the_question(settings, monkeypatch, capsys):
    # Only the final words are looked at: ask for none while the question is being heard.
    monkeypatch.setattr(
        "covo_cli.engines.engines.turn_settings",
        lambda wanted: replace(turn_settings(wanted), partial_every=60.0),
    )
    wanted = settings(
        covo__transcript=True, covo__text_only=True, models__dir=str(MODELS), audio__vad="silero"
    )
    assert run_chat(wanted, FilePair(QUESTION, None, 24_000, paced=False), as_json=True) == 0
    out = capsys.readouterr().out
    (said,) = [e for e in events_of(out, "UserTranscript") if e["final"]]
    assert said["text"] == "What is the capital of Australia?"


def test_it_writes_only(settings, tmp_path, capsys):
    files = FilePair(QUESTION, tmp_path / "answer.wav", 24_000, paced=False)
    assert run_chat(settings(covo__text_only=True), files, as_json=True) == 0
    out = capsys.readouterr().out
    assert events_of(out, "AssistantAudio") == []
    (finished,) = events_of(out, "ReplyFinished")
    assert finished["text"]
    assert not read_audio(tmp_path / "answer.wav", 24_000).any()


def test_the_embedded_engine_cannot_only_write(settings):
    files = FilePair(QUESTION, None, 24_000, paced=False)
    with pytest.raises(SettingsError, match="--engine covo"):
        run_chat(settings(covo__text_only=True, engine__name="lite"), files, as_json=True)


@pytest.mark.parametrize(
    ("engine", "key", "value", "message"),
    [
        (
            "lite",
            "covo.precision",
            "int8",
            "--precision has no effect with the engine lite .*: use --engine covo or covo-fd",
        ),
        ("lite", "covo.voice_prompt_seconds", 3.0, "--voice-prompt-seconds has no effect"),
        (
            "covo",
            "chat.url",
            "http://localhost:1/v1",
            "--chat-url has no effect with the engine covo .*: use --engine lite",
        ),
        (
            "covo-fd",
            "chat.persona",
            "me.txt",
            "--persona has no effect .*: use --engine chat-audio or covo or lite",
        ),
        ("covo-fd", "turns.barge_in", False, "--barge-in has no effect"),
    ],
)
def test_a_flag_of_the_other_engine_is_refused(engine, key, value, message):
    with pytest.raises(SettingsError, match=message):
        build_engine(load_settings({"engine.name": engine, key: value}), real_time=False)


def test_auto_says_why(settings, monkeypatch):
    absent = choose_engine(settings(engine__name="auto", covo__model="covo-audio-chat"))
    assert absent.name == "lite"
    assert "covo models pull covo-audio-chat" in absent.reason
    assert choose_engine(settings(engine__name="auto")).name == "covo"  # covo.device is cpu
    processor = choose_engine(settings(engine__name="auto", covo__device="auto"))
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        assert processor == EngineChoice(
            "lite",
            "embedded; Covo-Audio is not available: no GPU found (--engine covo runs it "
            "on the CPU, slowly)",
        )
    monkeypatch.setattr("model.covo.loading.assemble.free_memory", lambda device: 1_000_000)
    small = choose_engine(settings(engine__name="auto"))
    assert (small.name, "GB free" in small.reason) == ("lite", True)


def test_auto_leaves_a_full_duplex_checkpoint_to_its_own_engine(folder, settings, tmp_path):
    duplex = shutil.copytree(folder, tmp_path / "duplex")
    (duplex / "duplex.json").write_text("{}")
    choice = choose_engine(settings(engine__name="auto", covo__model=str(duplex)))
    assert (choice.name, "--engine covo-fd" in choice.reason) == ("lite", True)


def test_what_auto_has_looked_at_is_not_read_again(settings, monkeypatch):
    looked = []

    def count(folder, config):
        looked.append(folder)
        return CovoTokenizer.read(folder, config)

    monkeypatch.setattr("model.covo.loading.assemble.CovoTokenizer", SimpleNamespace(read=count))
    wanted = settings(engine__name="auto")
    engine = build_engine(wanted, real_time=False, choice=choose_engine(wanted))
    engine.close()
    assert len(looked) == 1
    check, choice = check_engine(wanted)
    assert (check.status, check_covo(wanted, choice.model).status) == ("ok", "ok")
    assert len(looked) == 2


def test_settings_of_the_network(settings):
    plain = network_settings(settings())
    assert (plain.flow_steps, plain.guidance, plain.voice_prompt_seconds) == (1, None, None)
    chosen = network_settings(
        settings(
            covo__guidance="off",
            covo__flow_steps=0,
            covo__voice_prompt_seconds=3.0,
            covo__temperature=0.7,
            covo__top_k=20,
            covo__seed=4,
        )
    )
    assert (chosen.flow_steps, chosen.guidance, chosen.voice_prompt_seconds) == (None, -1.0, 3.0)
    assert chosen.sampling == SamplingSettings(temperature=0.7, top_p=0.9, top_k=20, seed=4)
    assert network_settings(settings(covo__guidance="1.5")).guidance == 1.5
    with pytest.raises(SettingsError, match="off, or from 0 to 10"):
        network_settings(settings(covo__guidance="strong"))


# covo ask


def test_ask_streams_the_answer(settings, capsys):
    # Random weights never end an answer by themselves.
    assert run_ask(settings(), QUESTION, "What is said?", as_json=False) == CUT_SHORT
    captured = capsys.readouterr()
    assert captured.out.strip()
    assert "Answer cut short after 40 tokens: limit." in captured.err
    assert run_ask(settings(), QUESTION, "What is said?", as_json=True) == CUT_SHORT
    out = capsys.readouterr().out
    text = "".join(e["delta"] for e in events_of(out, "text"))
    assert text == captured.out[:-1]
    (end,) = events_of(out, "end")
    assert (end["reason"], end["text"], end["codes"]) == ("limit", 40, 0)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(16_000), "every sample of it is 0"),
        (np.full(16_000 * 600, 0.1), "too long: 600 s"),
        (np.full(8, 0.1), "too short"),
    ],
)
def test_ask_about_nothing(settings, tmp_path, samples, message):
    path = tmp_path / "sound.wav"
    soundfile.write(path, samples, 16_000)
    with pytest.raises(NetworkInputError, match=message):
        run_ask(settings(), path, "What?", as_json=False)


# Bad models


def broken(folder, target, change):
    shutil.copytree(folder, target)
    change(target)
    return target


def cut_short(model):
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def with_nan(model):
    tensors = load_file(model / "model.safetensors")
    tensors["llm.model.norm.weight"][3] = float("nan")
    save_file(tensors, model / "model.safetensors")


def another_kind(model):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"model_type": "llama"}))


def without_voices(model):
    shutil.rmtree(model / "voices")


def another_size_of_voice(model):
    path = model / "voices" / VOICE / "speaker_embed.npy"
    np.save(path, np.zeros((1, 1024), np.float32))


def without_tokenizer(model):
    (model / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (cut_short, WeightsError, "model.safetensors.*download it again"),
        (with_nan, WeightsError, "norm.weight has values that are not numbers"),
        (another_kind, NetworkConfigError, "model_type is 'llama'"),
        (without_voices, VoiceError, "has no voice"),
        (another_size_of_voice, VoiceError, f"the voice {VOICE}"),
        (without_tokenizer, NetworkConfigError, "no tokenizer"),
    ],
)
def test_bad_models_leave_nothing_behind(folder, settings, tmp_path, change, error, message):
    model = broken(folder, tmp_path / "broken", change)
    files = FilePair(QUESTION, tmp_path / "answer.wav", 24_000, paced=False)
    with pytest.raises(error, match=message):
        run_chat(settings(covo__model=str(model)), files, as_json=True)
    assert {path.name for path in tmp_path.iterdir()} <= {"broken", "data"}
    assert not (tmp_path / "data" / "sessions").exists()


def test_doctor_looks_at_everything_but_the_weights(folder, settings, tmp_path):
    check = check_covo(settings())
    assert (check.status, VOICE in check.detail, "GB on cpu" in check.detail) == ("ok", True, True)
    model = broken(folder, tmp_path / "broken", another_size_of_voice)
    check = check_covo(settings(covo__model=str(model)))
    assert (check.status, VOICE in check.detail) == ("failed", True)


def test_a_model_that_is_not_there(settings):
    files = FilePair(QUESTION, None, 24_000, paced=False)
    with pytest.raises(ModelError, match="covo models pull covo-audio-chat"):
        run_chat(settings(covo__model="covo-audio-chat"), files, as_json=True)


def test_the_command_line_says_it_in_one_line(settings, tmp_path, monkeypatch, capsys):
    """All of the program but its start and its end, which would be those of the tests."""
    monkeypatch.setattr("covo_cli.process.leaving.own_process", lambda: None)
    monkeypatch.setattr("covo_cli.process.leaving.leave", sys.exit)
    monkeypatch.setattr("covo_cli.process.log.begin_log", lambda arguments: None)
    command = ["covo", "chat", "--engine", "covo", "--model", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*command, "--input", str(QUESTION), "--device", "cpu"])
    with pytest.raises(SystemExit) as ended:
        main()
    written = capsys.readouterr().err
    assert ended.value.code == 1
    assert "Traceback" not in written
    assert written.splitlines()[-1].startswith("covo: ")
    assert "config.json" in written.splitlines()[-1]
