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
from typer.testing import CliRunner

from audio_io.files import read_audio
from covo_cli.app import app
from covo_cli.bench.words import word_error_rate
from covo_cli.errors import is_expected, message_for
from covo_cli.settings.settings import load_settings, models_dir
from model.weights.packages import WeightStore
from tests.permissions import out_of_reach
from tests.voices.said import whisper

QUESTION = Path(str(resources.files("covo_cli"))) / "demo_audio" / "australia.flac"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of one's own, with the weights that are already here."""
    models = models_dir(load_settings())
    for name in [n for n in os.environ if n.startswith("COVO_") and n != "COVO_LOG_DIR"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("COVO_MODELS_DIR", str(models))


@pytest.fixture
def covo(home):
    """Runs the command line as a program."""

    def run(*args: object, **kwargs: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "covo_cli", *map(str, args)]
        options = {"capture_output": True, "text": True, "timeout": 240}
        return subprocess.run(command, check=False, **(options | kwargs))

    return run


@pytest.fixture
def refused(home):
    """Runs the command line in this process; it must fail on purpose, with these words."""

    def run(*args: object, words: tuple[str, ...]) -> None:
        result = CliRunner().invoke(app, [*map(str, args)])
        assert result.exception is not None
        assert is_expected(result.exception), result.exc_info
        for word in words:
            assert word in message_for(result.exception)

    return run


def events_of(result: subprocess.CompletedProcess[str], kind: str) -> list[dict]:
    events = [json.loads(line) for line in result.stdout.splitlines()]
    return [event for event in events if event["event"] == kind]


@pytest.mark.weights
def test_a_question_in_a_file_is_answered_on_the_inputs_clock_and_recorded(covo, tmp_path):
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
    understood = whisper(store.whole("whisper-base")).transcribe(answer).text
    assert word_error_rate([(written, understood)]) <= 0.10

    shown = CliRunner().invoke(app, ["sessions", "show", "last"])
    assert shown.exit_code == 0
    assert "Australia" in shown.output
    (folder,) = (tmp_path / "data" / "sessions").iterdir()
    assert soundfile.info(folder / "audio.flac").channels == 2
    assert json.loads((folder / "session.json").read_text())["engine"]["name"] == "lite"


def test_a_missing_file_is_told_in_one_line(covo, tmp_path):
    result = covo("chat", "--input", tmp_path / "none.wav")
    assert result.returncode == 1
    *before, last = result.stderr.strip().splitlines()
    assert last.startswith("covo: ")
    assert "none.wav" in last
    assert "a bug" not in last
    assert not [line for line in before if line.startswith("Traceback")]


def test_a_file_that_is_no_sound(refused, tmp_path):
    path = tmp_path / "text.wav"
    path.write_text("hello")
    refused("chat", "--input", path, words=("text.wav",))


def test_a_sound_without_samples(refused, tmp_path):
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros(0), 16_000)
    refused("chat", "--input", path, words=("no samples",))


def test_a_sound_with_nan_leaves_no_output_and_no_session(refused, tmp_path):
    path, output = tmp_path / "nan.wav", tmp_path / "out.wav"
    soundfile.write(path, np.full(16_000, np.nan), 16_000, subtype="FLOAT")
    refused("chat", "--input", path, "--output", output, words=("NaN",))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("output", "word"),
    [("missing/folder.wav", "create it first"), ("answer.xyz", ".wav"), (".", "extension")],
)
def test_an_output_that_cannot_be_written(refused, tmp_path, output, word):
    refused("chat", "--input", QUESTION, "--output", tmp_path / output, words=(word,))


def test_files_out_of_reach_are_told_with_the_reason(refused, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    long = tmp_path / f"{'x' * 300}.wav"
    with out_of_reach(closed):
        for path, reason in ((closed / "a.wav", "Permission denied"), (long, "name too long")):
            refused("chat", "--input", path, "--output", path, words=("cannot write", reason))
            refused("chat", "--input", path, words=("cannot read", reason))


def test_the_answers_are_not_written_over_the_question(refused, tmp_path):
    question, link = tmp_path / "question.flac", tmp_path / "link.flac"
    question.write_bytes(QUESTION.read_bytes())
    link.symlink_to(question)
    refused("chat", "--input", question, "--output", link, words=("name another file",))
    assert question.read_bytes() == QUESTION.read_bytes()


def test_an_output_without_an_input(refused, tmp_path):
    refused("chat", "--output", tmp_path / "a.wav", words=("--input",))


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [
        ("--voice", "hart", "heart"),
        ("--voice", "nobody", "covo voices list"),
        ("--engine", "covo-xxl", "lite"),
        ("--chat-model", "/nowhere/model.gguf", "model.gguf"),
        ("--persona", "/nowhere/persona.txt", "cannot be read: No such file"),
        ("--persona", "/", "cannot be read: Is a directory"),
        ("--persona", str(QUESTION), "not a text file"),
        ("--silence", "99", "silence"),
    ],
)
def test_a_bad_option_names_what_would_be_right(refused, option, value, word):
    refused("chat", "--input", QUESTION, "--pace", "fast", option, value, words=(word,))


def test_missing_weights_name_the_command_that_fetches_them(refused, tmp_path, monkeypatch):
    monkeypatch.setenv("COVO_MODELS_DIR", str(tmp_path / "nothing"))
    refused("chat", "--input", QUESTION, words=("covo models pull",))


def test_a_corrupt_settings_file_is_named(refused, tmp_path):
    (tmp_path / "config.toml").write_text("[voice\nname=")
    refused("chat", "--input", QUESTION, words=("config.toml",))


def test_live_without_the_device_says_so_before_loading(refused):
    # With a sound card it is an unknown device, without one there are none, without PortAudio that.
    refused("chat", "--input-device", "no such device", words=("device",))


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
    reason = json.loads((folder / "session.json").read_text())["end_reason"]
    assert reason == "the reader of the output has gone"
