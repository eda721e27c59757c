"""Each kind of input, with random changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import typer
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from audio_io.file_ends import FileMicrophone
from audio_io.files import read_audio
from covo_cli.app import app
from covo_cli.errors import SessionError, is_expected
from covo_cli.sessions.display import facts, session_table, spoken
from covo_cli.sessions.event_log import encode_events, event_from_dict
from covo_cli.sessions.export import export_file, export_text, session_to_dict
from covo_cli.sessions.files import EVENTS, INFO, ExportFormat
from covo_cli.sessions.store import SessionStore
from covo_cli.sessions.transcript import transcript
from covo_cli.settings.settings import OPTIONS, load_settings, save_setting, unset_setting
from model.endpoints.openai_chat import OpenAIChat
from model.lite.chat import Message
from tests import ROOT
from tests.fakes.openai import FakeEndpoint
from tests.fakes.session_factory import conversation_events, record_session
from tests.fakes.voices import make_pack
from tests.fuzz.inputs import (
    JSON,
    SOUNDS,
    altered,
    as_json,
    copied,
    damaged,
    fuzz,
    gguf_file,
    only_expected,
    scratch,
    sound_file,
)
from voices.store import VoiceStore

# What fails in a callback of a library is printed and otherwise lost.
pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")

TONES = ROOT / "tests" / "duplex_tones"


@pytest.fixture(autouse=True)
def _at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("COVO_")]:
        if not name.startswith(("COVO_LOG", "COVO_FUZZ")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COVO_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("EDITOR", "false")
    monkeypatch.chdir(tmp_path)


KEYS = [*OPTIONS, "turns", "turns.silence.x", "", "x.y"]
VALUES = st.sampled_from(("true", "0.7", '"x"', "[1]", "nan", "1e999", "2026-01-01", "-1", "{a=1}"))
LINES = st.builds("{} = {}".format, st.sampled_from([k.split(".")[-1] for k in KEYS]), VALUES)
SETTINGS_FILE = (
    st.lists(LINES | st.sampled_from(("[turns]", "[chat]", "[[audio]]", "turns.silence = 1", "#")))
    .map("\n".join)
    .map(str.encode)
    .flatmap(damaged)
)


@fuzz
@given(content=SETTINGS_FILE, key=st.sampled_from(KEYS), value=JSON)
def test_settings_files(content: bytes, key: str, value: object) -> None:
    with scratch() as folder, pytest.MonkeyPatch.context() as patch:
        path = folder / "config.toml"
        patch.setenv("COVO_CONFIG", str(path))
        path.write_bytes(content)
        with only_expected(folder):
            load_settings()
        for change in (lambda: save_setting(key, value), lambda: unset_setting(key)):
            with only_expected(folder):
                before = path.read_bytes()
                try:
                    change()
                except Exception:
                    assert path.read_bytes() == before, "changed in spite of the error"
                    raise


SESSION = copied(lambda folder: record_session(folder, seconds=0.5))
UNFINISHED = copied(lambda folder: record_session(folder, seconds=0.5, finish=False))


NAMES = (b"", b"", b"9999-12-31_23-59-59", b"0001-01-01_00-00-00-9", b"[old] \xff\n", b"x" * 250)


def use_session(root: Path) -> None:
    """Do with the one session in ``root`` all that can be done with it."""
    store = SessionStore(root)
    with only_expected(root):
        session_table(store.list(), wide=True)
        session = store.open("last")
        facts(session)
        for entry in session.transcript:
            spoken(entry, with_latency=True)
        json.dumps(session_to_dict(session))
        for kind in ExportFormat:
            target = root / f"x.{kind}"
            try:
                export_file(session, kind, target)
            except SessionError:
                assert not target.exists()
            if kind is not ExportFormat.WAV:
                export_text(session, kind)


@fuzz
@given(data=st.data(), finished=st.booleans())
def test_session_folders(data: st.DataObject, finished: bool) -> None:
    with scratch() as root:
        session = (SESSION if finished else UNFINISHED)(root)
        for path in sorted(session.iterdir()):
            match data.draw(st.sampled_from(("keep", "keep", "damage", "remove", "folder"))):
                case "damage":
                    path.write_bytes(data.draw(damaged(path.read_bytes())))
                case "remove":
                    path.unlink()
                case "folder":
                    path.unlink()
                    path.mkdir()
        name = data.draw(st.sampled_from(NAMES))
        if name:
            session.rename(root / os.fsdecode(name))
        use_session(root)


@fuzz
@given(data=st.data())
def test_session_records(data: st.DataObject) -> None:
    with scratch() as root:
        session = SESSION(root)
        record = json.loads((session / INFO).read_bytes())
        (session / INFO).write_bytes(as_json(data.draw(altered(record))))
        use_session(root)


@cache
def event_records() -> list[Any]:
    return [json.loads(line) for line in encode_events(conversation_events()).splitlines()]


@fuzz
@given(data=st.data())
def test_event_logs(data: st.DataObject) -> None:
    with scratch() as root:
        session = SESSION(root)
        records = data.draw(altered(event_records()))
        lines = [as_json(record) for record in records] if isinstance(records, list) else [b"1"]
        (session / EVENTS).write_bytes(data.draw(damaged(b"\n".join(lines))))
        use_session(root)
    events = []
    for line in lines:
        try:
            events.append(event_from_dict(json.loads(line)))
        except ValueError:
            continue
    transcript(events, data.draw(st.none() | st.floats(0, 1e9)))


PACK = copied(lambda folder: make_pack(folder, parts='\n[covo]\nspeaker = "default_female"\n'))


@fuzz
@given(data=st.data())
def test_voice_packs(data: st.DataObject) -> None:
    with scratch() as folder:
        pack = PACK(folder)
        path = data.draw(st.sampled_from(sorted(pack.iterdir())))
        path.write_bytes(data.draw(damaged(path.read_bytes(), head=200)))
        store = VoiceStore(folder / "store")
        with only_expected(folder):
            added = store.add(pack)
            assert store.get(added.name) == added
        assert len(store.list()) + len(store.broken()) == len(store.names())


@fuzz
@given(data=st.data(), name=st.sampled_from(("duplex.json", "config.json")))
def test_network_configurations(data: st.DataObject, name: str) -> None:
    profile = pytest.importorskip("model.duplex.protocol.profile")
    from model.covo.config.network_config import CovoConfig

    good = json.loads((TONES / name).read_bytes())
    with scratch() as folder:
        content = data.draw(altered(good).map(as_json) | damaged(as_json(good)))
        (folder / name).write_bytes(content)
        with only_expected(folder):
            if name == "duplex.json":
                profile.read_profile(folder)
            else:
                CovoConfig.read(folder)


@fuzz
@given(data=st.data())
def test_safetensors(data: st.DataObject) -> None:
    pytest.importorskip("torch")
    from model.covo.loading.weight_files import open_weights, shards

    good = (TONES / "model.safetensors").read_bytes()[:6000]
    with scratch() as folder:
        path = folder / "model.safetensors"
        path.write_bytes(data.draw(damaged(good, head=400)))
        with only_expected(folder), open_weights(shards(folder)[0]) as weights:
            for name in weights.shapes:
                weights.read(name)
        (folder / "x.safetensors.index.json").write_bytes(as_json(data.draw(JSON)))
        with only_expected(folder):
            shards(folder)


LOADER = """
import sys
from pathlib import Path
from model.errors import ModelError
from model.lite.chat import ChatSampling, LlamaChat
from model.lite.llama import LlamaModel
for line in sys.stdin:
    try:
        chat = LlamaChat(LlamaModel(Path(line.strip())), ChatSampling())
        chat.load()
        chat.close()
        print("loaded", flush=True)
    except ModelError as error:
        print("refused", flush=True)
"""


@pytest.fixture(scope="module")
def loader() -> Iterator[list[subprocess.Popen[str]]]:
    """A process that loads chat models, in case native code ends it."""
    running: list[subprocess.Popen[str]] = []
    yield running
    for process in running:
        process.kill()
        process.communicate()


@fuzz
@given(content=damaged(gguf_file(), head=400))
@example(content=gguf_file(blocks=0))
@example(content=gguf_file(blocks=513))
def test_gguf(loader: list[subprocess.Popen[str]], content: bytes) -> None:
    if not loader or loader[-1].poll() is not None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [sys.executable, "-c", LOADER]
        loader.append(subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=ROOT, **pipes))
    process = loader[-1]
    assert process.stdin is not None
    assert process.stdout is not None
    with scratch() as folder:
        path = folder / "model.gguf"
        path.write_bytes(content)
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        assert process.stdout.readline().strip() in ("loaded", "refused")


CHUNK = {
    "id": "1",
    "object": "chat.completion.chunk",
    "created": 0,
    "model": "tiny",
    "choices": [
        {"index": 0, "delta": {"role": "assistant", "content": "Hi."}, "finish_reason": ""}
    ],
}
STREAM = (
    st.lists(altered(CHUNK) | st.just(CHUNK) | JSON, max_size=4)
    .map(lambda parts: b"".join(b"data: " + as_json(part) + b"\n\n" for part in parts))
    .flatmap(damaged)
)


@fuzz
@given(raw=STREAM)
def test_endpoint_streams(raw: bytes) -> None:
    with FakeEndpoint(raw=raw) as endpoint, only_expected(Path()):
        said = OpenAIChat(endpoint.url, "tiny").stream([Message("user", "Hi")], lambda: False)
        assert all(isinstance(delta, str) for delta in said)


@fuzz
@given(data=st.data(), kind=st.sampled_from(sorted(SOUNDS)))
def test_sound_files(data: st.DataObject, kind: str) -> None:
    with scratch() as folder:
        path = folder / "a.wav"
        path.write_bytes(data.draw(damaged(sound_file(kind), head=120)))
        with only_expected(folder):
            assert np.isfinite(read_audio(path, 16_000)).all()
        with only_expected(folder):
            microphone = FileMicrophone(path, paced=False)
            microphone.start()
            for _ in range(100):
                if microphone.exhausted:
                    break
                microphone.read(1.0)
            microphone.close()


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


LONG = {"demo", "bench", "eval", "train", "devices", "doctor", "pull", "verify", "preview"}
"""Commands that do real work, use the network or a sound card."""
ROOT_COMMAND = typer.main.get_command(app)
COMMANDS = [path for path in commands(ROOT_COMMAND) if not LONG & set(path)]  # type: ignore[arg-type]


def options(path: tuple[str, ...]) -> list[str]:
    command: Any = ROOT_COMMAND
    for name in path:
        command = command.commands[name]
    return [word for parameter in command.params for word in parameter.opts if word[0] == "-"]


WORDS = st.sampled_from(
    ("last", "heart", "x", "-", "--", "", "0", "-1", "nan", "9" * 30, "a=b", "/dev/null", "/", ".")
) | st.text(max_size=6)
ARGUMENTS = st.sampled_from(COMMANDS).flatmap(
    lambda path: st.lists(
        st.sampled_from(options(path) or ["--help"]) | WORDS | st.sampled_from(KEYS), max_size=5
    ).map(lambda words: [*path, *words])
)


@fuzz
@given(arguments=ARGUMENTS, junk=st.binary(max_size=40))
def test_command_lines(arguments: list[str], junk: bytes) -> None:
    with scratch() as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "x").write_bytes(junk)
        if arguments[0] == "chat":  # not at a sound card
            arguments = [*arguments, "--input", "x"]
        result = CliRunner().invoke(app, arguments)
        error = result.exception
        assert error is None or isinstance(error, SystemExit) or is_expected(error), arguments
        assert result.exit_code in (0, 1, 2)
