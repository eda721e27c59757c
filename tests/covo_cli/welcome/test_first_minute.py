"""A machine without weights: what ``covo`` says of it, and how ``covo chat`` goes on."""

from __future__ import annotations

import io
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from audio_io.errors import DeviceError
from audio_io.file_ends import FileSpeaker
from audio_io.live.devices import Device
from covo_cli.app import app
from covo_cli.conversation import run_chat
from covo_cli.conversation.ends import Ends
from covo_cli.engines.engines import EngineChoice, build_engine
from covo_cli.engines.model_choice import needed_pieces
from covo_cli.settings.settings import load_settings
from covo_cli.welcome import next_steps
from model.engine import Engine
from model.errors import MissingPieceError, WeightsError
from model.jobs.virtual_executor import VirtualExecutor
from model.turns.controller import TurnTakingEngine
from model.weights.files import PullProgress
from model.weights.manifest import Piece, lite_pieces
from model.weights.packages import PieceStatus, WeightState, WeightStore
from tests.fakes.engine import (
    FakeClock,
    FakeGenerator,
    FakeMicrophone,
    FakeRecognizer,
    LevelDetector,
    silence,
    speech,
)
from tests.fakes.session_factory import record_session

HERE = ("whisper-base", "smart-turn")


class Terminal(io.StringIO):
    """A keyboard on which the answer is typed."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv("COVO_MODELS_DIR", raising=False)
    monkeypatch.setattr(next_steps, "send_native_stderr_to", lambda path: None)
    return tmp_path / "data"


@pytest.fixture
def pulled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the pieces that were pulled; all but those in :data:`HERE` are missing."""
    names: list[str] = []

    def pull(self: WeightStore, progress) -> list[Piece]:
        for piece in self.to_pull():
            progress(PullProgress(piece.name, 1, 1))
            names.append(piece.name)
        return []

    def state(self: WeightStore, piece: Piece, *, deep: bool) -> PieceStatus:
        here = piece.module or piece.name in (*HERE, *names)
        return PieceStatus(piece, Path(), WeightState.READY if here else WeightState.MISSING)

    monkeypatch.setattr(WeightStore, "pull", pull)
    monkeypatch.setattr(WeightStore, "_status", state)
    return names


def chat(
    monkeypatch: pytest.MonkeyPatch,
    pulled: list[str],
    typed: str,
    *,
    terminal: bool = True,
    as_json: bool = False,
) -> int:
    """Hold a conversation of one turn whose engine lacks its weights until they are pulled."""
    generator = FakeGenerator(clock := FakeClock())
    engine = TurnTakingEngine(
        generator, LevelDetector(), VirtualExecutor(clock), recognizer=FakeRecognizer(clock)
    )

    def build(*_: object, **__: object) -> Engine:
        if not pulled:
            raise MissingPieceError("a file is missing; get it with `covo models pull`")
        return engine

    monkeypatch.setattr(sys, "stdin", Terminal(typed) if terminal else io.StringIO(typed))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(run_chat, "choose_engine", lambda _: EngineChoice("lite", "a fake"))
    monkeypatch.setattr(run_chat, "build_engine", build)
    ends = Ends(FakeMicrophone([speech(1), silence(5)]), FileSpeaker(None), real_time=False)
    with ExitStack() as stack:
        return run_chat.run_conversation(load_settings(), ends, stack, as_json=as_json)


@pytest.mark.parametrize("typed", ["y\n", "\n"])
def test_a_terminal_is_offered_the_weights_and_the_conversation_goes_on(
    root: Path, pulled: list[str], monkeypatch, capsys, typed: str
) -> None:
    assert chat(monkeypatch, pulled, typed) == 0
    missing = [p for p in lite_pieces() if not p.module and p.name not in HERE]
    assert pulled == [piece.name for piece in missing]
    out, err = capsys.readouterr()
    size = sum(piece.download for piece in missing) / 1e6
    assert f"{size:.1f} MB to download, once, to {root / 'models' / 'lite'}" in err
    for piece in missing:
        assert f"{piece.what} ({piece.licence})" in err
    assert "covo: one two three four" in out


def test_declining_ends_with_the_error(root: Path, pulled: list[str], monkeypatch, capsys) -> None:
    with pytest.raises(MissingPieceError, match="get it with `covo models pull"):
        chat(monkeypatch, pulled, "n\n")
    assert "Download them now? [Y/n]" in capsys.readouterr().err
    assert pulled == []


@pytest.mark.parametrize(("terminal", "as_json"), [(False, False), (True, True)])
def test_programs_are_offered_nothing(
    root: Path, pulled: list[str], monkeypatch, capsys, terminal: bool, as_json: bool
) -> None:
    with pytest.raises(MissingPieceError):
        chat(monkeypatch, pulled, "y\n", terminal=terminal, as_json=as_json)
    assert "Download" not in capsys.readouterr().err


def test_only_what_a_pull_mends_is_offered(tmp_path: Path) -> None:
    store = WeightStore(tmp_path)
    with pytest.raises(MissingPieceError):
        store.path("silero-vad", "silero_vad_16k.onnx")
    with pytest.raises(WeightsError) as unknown:
        store.path("silero", "silero_vad_16k.onnx")
    assert not isinstance(unknown.value, MissingPieceError)


def shown() -> list[str]:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_covo_alone_says_what_to_do_next_in_five_lines(
    root: Path, pulled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Device] = []

    class Sound:
        def devices(self) -> list[Device]:
            return found

    monkeypatch.setattr(next_steps, "PortAudio", Sound)
    bare = shown()
    assert [line.split("  ")[0] for line in bare[1:]] == [
        "weights",
        "microphone",
        "last session",
        "next",
    ]
    assert "missing: the next command offers to download them (" in bare[1]
    assert "no input device found" in bare[2]
    assert "none yet" in bare[3]
    assert "covo demo " in bare[4]

    pulled.extend(piece.name for piece in lite_pieces())
    found.append(Device(0, "USB mic", "ALSA", 1, 0, 48_000, True, False))
    folder = record_session(root / "sessions")
    ready = shown()
    assert ready[1:3] == ["weights       ready", "microphone    USB mic"]
    assert ready[3].startswith("last session  23 Nov 2026 (covo chat --continue")
    assert "covo chat " in ready[4]
    (folder / "session.json").write_text("{broken")
    assert shown()[3] == ready[3]

    monkeypatch.setenv("COVO_ENGINE_NAME", "covo")
    assert "covo models pull covo-audio-chat" in shown()[1]


def test_without_portaudio_covo_alone_says_what_to_install(
    root: Path, pulled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise DeviceError("PortAudio is missing: sudo apt install libportaudio2")

    monkeypatch.setattr(next_steps, "PortAudio", missing)
    assert "sudo apt install libportaudio2" in shown()[2]


def test_a_bad_settings_file_is_told_instead(root: Path, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[chat]\nmood = 5\n")
    assert "chat.mood" in str(CliRunner().invoke(app, []).exception)


@pytest.mark.parametrize(
    ("changed", "needed"),
    [
        ({}, "campplus hibari silero-vad smart-turn smollm2-135m whisper-base"),
        (
            {"voice.name": "george"},
            "campplus hibari kokoro-82m silero-vad smart-turn smollm2-135m whisper-base",
        ),
        (
            {"chat.url": "http://localhost:1", "chat.model": "tiny", "turns.only_user": False},
            "hibari silero-vad smart-turn smollm2-135m whisper-base",
        ),
        (
            {"chat.url": "http://localhost:1", "chat.model": "tiny", "hearing.language": "de"},
            "campplus hibari silero-vad smart-turn whisper-base",
        ),
        (
            {"turns.end_of_turn": "none", "audio.vad": "webrtc", "hearing.model": "whisper-small"},
            "campplus hibari smollm2-135m",
        ),
    ],
)
def test_what_a_conversation_needs_is_what_its_engine_asks_for(
    root: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, object], needed: str
) -> None:
    asked: set[str] = set()

    def path(self: WeightStore, piece: str, file: str) -> Path:
        asked.add(piece)
        return Path(file)

    monkeypatch.setattr(WeightStore, "path", path)
    monkeypatch.setattr("audio_io.vad.SileroVad", lambda model: LevelDetector())
    if "hearing.model" in changed:
        monkeypatch.setattr(
            "covo_cli.engines.small_models.recognizer_folder", lambda *about: Path()
        )
    settings = load_settings({"engine.name": "lite", **changed})
    build_engine(settings, real_time=True).close()
    wanted = set(needed.split())
    assert needed_pieces(settings) == wanted
    assert asked == wanted - {"kokoro-82m"}  # which is looked for when it is loaded


@pytest.mark.parametrize(
    ("engine", "needed"),
    [
        ("auto", {*HERE, "campplus", "hibari", "silero-vad", "smollm2-135m"}),
        ("covo", {*HERE, "campplus", "silero-vad", "smollm2-135m"}),
        ("covo-fd", {"silero-vad", "whisper-base"}),
        ("realtime", {"silero-vad"}),
    ],
)
def test_other_engines_need_less(root: Path, engine: str, needed: set[str]) -> None:
    assert needed_pieces(load_settings({"engine.name": engine})) == needed


def test_weights_that_the_settings_do_not_use_are_not_missing(
    root: Path, pulled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(next_steps, "_microphone", lambda settings: ("USB mic", True))
    pulled.extend({piece.name for piece in lite_pieces()} - {"kokoro-82m", "campplus"})
    assert "missing: " in shown()[1]
    monkeypatch.setenv("COVO_TURNS_ONLY_USER", "false")
    assert shown()[1] == "weights       ready"
    monkeypatch.setenv("COVO_VOICE_NAME", "george")
    assert "missing: " in shown()[1]
    monkeypatch.setenv("COVO_VOICE_NAME", "nobody")
    assert "nobody" in shown()[1]
