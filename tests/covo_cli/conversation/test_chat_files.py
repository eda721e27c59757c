"""``covo chat --input``: the real embedded engine end to end, and what happens to bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_io.files import read_audio
from covo_cli.bench.words import word_error_rate
from covo_cli.settings.settings import load_settings, models_dir
from model.lite.recognizer import WhisperRecognizer
from model.weights.packages import WeightStore

QUESTION = Path(str(resources.files("covo_cli"))) / "demo_audio" / "australia.flac"


@pytest.fixture
def covo(tmp_path, monkeypatch):
    """Runs the command line in a home of its own, with the weights that are already here."""
    models = models_dir(load_settings())
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVO_")}
    environment |= {
        "COVO_DATA_DIR": str(tmp_path / "data"),
        "COVO_CONFIG": str(tmp_path / "config.toml"),
        "COVO_MODELS_DIR": str(models),
    }

    def run(*args: object, **kwargs: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "covo_cli", *map(str, args)]
        options = {"capture_output": True, "text": True, "timeout": 240, "env": environment}
        return subprocess.run(command, check=False, **(options | kwargs))

    return run


def events_of(result: subprocess.CompletedProcess[str], kind: str) -> list[dict]:
    events = [json.loads(line) for line in result.stdout.splitlines()]
    return [event for event in events if event["event"] == kind]


@pytest.mark.weights
def test_a_question_in_a_file_is_answered_on_the_inputs_clock(covo, tmp_path):
    output = tmp_path / "answer.wav"
    result = covo(
        "chat",
        "--input",
        QUESTION,
        "--output",
        output,
        "--output-rate",
        16_000,
        "--pace",
        "fast",
        "--json",
    )
    assert result.returncode == 0, result.stderr
    (heard,) = [e["text"] for e in events_of(result, "UserTranscript") if e["final"]]
    assert word_error_rate([("What is the capital of Australia?", heard)]) == 0
    written = "".join(e["delta"] for e in events_of(result, "AssistantText"))
    (latency,) = events_of(result, "TurnLatency")
    (end,) = [e for e in events_of(result, "UserTranscript") if e["final"]]

    info = soundfile.info(output)
    assert (info.samplerate, info.channels) == (16_000, 1)
    assert info.frames % 320 == 0
    answer = read_audio(output, 16_000)
    first = np.flatnonzero(np.abs(answer) > 0.01)[0]
    # On the input's clock: the answer begins where the event says, in the file too.
    assert first / 16_000 == pytest.approx(end["end"] / 16_000 + latency["total"], abs=0.1)
    # It was heard to its end: after it there is nothing but silence.
    assert np.abs(answer[-1600:]).max() < 0.01

    store = WeightStore(models_dir(load_settings()))
    folder = store.path("whisper-base", "model.bin").parent
    understood = WhisperRecognizer(folder).transcribe(answer).text
    assert word_error_rate([(written, understood)]) <= 0.10


@pytest.mark.weights
def test_a_file_conversation_is_recorded_and_found_again(covo, tmp_path):
    result = covo("chat", "--input", QUESTION, "--pace", "fast")
    assert result.returncode == 0, result.stderr
    assert "Recorded in" in result.stdout
    shown = covo("sessions", "show", "last")
    assert shown.returncode == 0
    assert "Australia" in shown.stdout
    (folder,) = (tmp_path / "data" / "sessions").iterdir()
    assert soundfile.info(folder / "audio.flac").channels == 2
    assert json.loads((folder / "session.json").read_text())["engine"]["name"] == "lite"


@pytest.mark.weights
def test_no_record_leaves_nothing(covo, tmp_path):
    result = covo("chat", "--input", QUESTION, "--pace", "fast", "--no-record")
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "data" / "sessions").exists()


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """One line of ours at the end of stderr, that says what is wrong; no bug; not 0."""
    assert result.returncode == 1
    *before, last = result.stderr.strip().splitlines()
    assert last.startswith("covo: ")
    assert "this is a bug" not in last
    assert not [line for line in before if line.startswith("Traceback")]
    for word in words:
        assert word in last, result.stderr


def test_a_missing_file(covo, tmp_path):
    refused(covo("chat", "--input", tmp_path / "none.wav"), "none.wav")


def test_a_file_that_is_no_sound(covo, tmp_path):
    path = tmp_path / "text.wav"
    path.write_text("hello")
    refused(covo("chat", "--input", path), "text.wav")


def test_a_sound_without_samples(covo, tmp_path):
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros(0), 16_000)
    refused(covo("chat", "--input", path), "no samples")


def test_a_sound_with_nan_leaves_no_output_and_no_session(covo, tmp_path):
    path, output = tmp_path / "nan.wav", tmp_path / "out.wav"
    soundfile.write(path, np.full(16_000, np.nan), 16_000, subtype="FLOAT")
    refused(covo("chat", "--input", path, "--output", output), "NaN")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("output", "word"),
    [("missing/folder.wav", "make it first"), ("answer.xyz", ".wav"), (".", "extension")],
)
def test_an_output_that_cannot_be_written(covo, tmp_path, output, word):
    refused(covo("chat", "--input", QUESTION, "--output", tmp_path / output), word)


def test_the_answers_are_not_written_over_the_question(covo, tmp_path):
    question, link = tmp_path / "question.flac", tmp_path / "link.flac"
    question.write_bytes(QUESTION.read_bytes())
    link.symlink_to(question)
    refused(covo("chat", "--input", question, "--output", link), "name another file")
    assert question.read_bytes() == QUESTION.read_bytes()


def test_an_output_without_an_input(covo, tmp_path):
    refused(covo("chat", "--output", tmp_path / "a.wav"), "--input")


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [
        ("--voice", "nobody", "heart"),
        ("--engine", "covo-xxl", "lite"),
        ("--chat-model", "/nowhere/model.gguf", "model.gguf"),
        ("--persona", "/nowhere/persona.txt", "cannot be read: No such file"),
        ("--persona", "/", "cannot be read: Is a directory"),
        ("--persona", str(QUESTION), "not a text file"),
        ("--silence", "99", "silence"),
    ],
)
def test_a_bad_option_names_what_would_be_right(covo, option, value, word):
    refused(covo("chat", "--input", QUESTION, "--pace", "fast", option, value), word)


def test_missing_weights_name_the_command_that_fetches_them(covo, tmp_path):
    environment = os.environ | {"COVO_MODELS_DIR": str(tmp_path / "nothing")}
    refused(covo("chat", "--input", QUESTION, env=environment), "covo models pull")


def test_a_corrupt_settings_file_is_named(covo, tmp_path):
    (tmp_path / "config.toml").write_text("[voice\nname=")
    refused(covo("chat", "--input", QUESTION), "config.toml")


def test_live_without_the_device_says_so_before_loading(covo):
    # With a sound card it is an unknown device, without one there are none, without PortAudio that.
    refused(covo("chat", "--input-device", "no such device"), "device")


@pytest.mark.weights
def test_a_closed_stdout_ends_it_quietly_and_the_recording_is_kept(covo, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    result = covo(
        "chat",
        "--input",
        QUESTION,
        "--pace",
        "fast",
        "--json",
        capture_output=False,
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    assert result.returncode == 0
    assert result.stderr.splitlines()[0].startswith("Engine lite")
    assert not [line for line in result.stderr.splitlines() if "Error" in line or "covo: " in line]
    (folder,) = (tmp_path / "data" / "sessions").iterdir()
    assert json.loads((folder / "session.json").read_text())["end_reason"] == "quit by the user"
