"""``covo chat --continue``: what is taken up of a recorded session, and what reaches the engine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from audio_io.file_ends import FileSpeaker
from covo_cli.app import app
from covo_cli.conversation import run_chat
from covo_cli.conversation.ends import Ends
from covo_cli.engines.engines import EngineChoice
from covo_cli.errors import CliError, SettingsError
from covo_cli.sessions.continuing import (
    MOST_EXCHANGES,
    ContinuedSession,
    SpokenExchange,
    exchanges,
    take_up,
)
from covo_cli.sessions.recorder import SessionRecorder
from covo_cli.sessions.store import SessionStore
from covo_cli.sessions.transcript import TranscriptEntry, Who
from covo_cli.settings.settings import Settings, load_settings
from model.engine import EngineInfo
from model.jobs.virtual_executor import VirtualExecutor
from model.turns.controller import TurnTakingEngine
from tests.fakes.engine import (
    FakeClock,
    FakeGenerator,
    FakeMicrophone,
    FakeRecognizer,
    LevelDetector,
    silence,
    speech,
)
from tests.fakes.session_factory import ANSWER, HEARD, META, QUESTION, STARTED, record_session

NAME = "2026-11-23_21-04-51"
SAID = [(QUESTION, ANSWER), ("And koalas?", f"{HEARD} …")]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    return tmp_path / "data" / "sessions"


def pairs(continued: ContinuedSession) -> list[tuple[str, str]]:
    return [(exchange.user, exchange.assistant) for exchange in continued.exchanges]


def change(folder: Path, **changes: object) -> None:
    path = folder / "session.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_turns_and_what_was_heard_of_the_replies() -> None:
    def you(text: str) -> TranscriptEntry:
        return TranscriptEntry(Who.USER, 0, 0, 0, 1, text, final=True)

    def covo(text: str, unheard: str = "", **more: bool) -> TranscriptEntry:
        return TranscriptEntry(Who.ASSISTANT, 0, 0, 0, 1, text, unheard, True, **more)

    cases: list[tuple[list[TranscriptEntry], list[tuple[str, str]]]] = [
        ([], []),
        ([you("A?"), covo(" B.")], [("A?", "B.")]),
        ([you("A?"), covo("B,", "and C.")], [("A?", "B, …")]),
        # Nothing of the first reply was heard: both turns are answered by the second.
        ([you("A?"), covo("", "B."), you("C?"), covo("D.")], [("A?\nC?", "D.")]),
        ([you("A?"), covo("mm-hmm", backchannel=True), covo("B.")], [("A?", "B.")]),
        ([you("A?"), covo("B."), you("C?")], [("A?", "B."), ("C?", "")]),
        ([covo("B."), covo("D.")], [("", "B."), ("", "D.")]),
    ]
    for said, expected in cases:
        assert list(exchanges(said)) == [SpokenExchange(*pair) for pair in expected]


def test_a_session_is_taken_up_with_voice_persona_and_language(root: Path, tmp_path: Path) -> None:
    persona = tmp_path / "pirate.txt"
    persona.write_text("You are a pirate.")
    folder = record_session(root)
    held_with = {"chat": {"persona": str(persona)}, "hearing": {"language": "zh"}}
    change(folder, settings=held_with)
    continued = take_up(SessionStore(root), "2026-11")
    assert pairs(continued) == SAID
    assert continued.held_with == {
        "chat.persona": str(persona),
        "hearing.language": "zh",
        "voice.name": "echo",  # the one that spoke last
    }
    assert continued.warnings == ()
    assert take_up(SessionStore(root), NAME, {"voice.name", "chat.persona"}).held_with == {
        "hearing.language": "zh"
    }
    without = take_up(SessionStore(root), "last", {"chat.persona"}, voices=("heart",))
    assert "voice.name" not in without.held_with
    assert without.warnings == ("the voice echo is gone; the voice is the one set now",)
    change(folder, engine={"name": "covo", "voice": "default"})
    assert take_up(SessionStore(root), "last").held_with["covo.voice"] == "echo"
    persona.unlink()
    continued = take_up(SessionStore(root), "last")
    assert "chat.persona" not in continued.held_with
    assert "pirate.txt is gone" in continued.warnings[0]
    assert take_up(SessionStore(root), "last", {"chat.persona"}).warnings == ()


def test_a_damaged_unfinished_or_running_session_is_taken_up_as_far_as_it_goes(root: Path) -> None:
    folder = record_session(root, finish=False)
    assert pairs(take_up(SessionStore(root), "last")) == SAID
    assert (folder / "audio.flac").exists()  # it was completed
    (folder / "session.json").write_text('{"settings": {"chat": 5, "hearing": {"language": 1}}}')
    with (folder / "events.jsonl").open("a") as file:
        file.write("{broken")
    damaged = take_up(SessionStore(root), "last")
    assert pairs(damaged) == SAID
    assert damaged.held_with == {}
    assert "line 19 skipped" in damaged.warnings[-1]
    running = SessionRecorder(root, META, started=STARTED + timedelta(hours=1))
    try:
        assert take_up(SessionStore(root), "last").summary.endswith(": nothing was said in it.")
    finally:
        running.close()


def test_the_sessions_that_it_continues_itself_are_remembered_first(root: Path) -> None:
    store = SessionStore(root)
    first = record_session(root)
    second = record_session(root, started=STARTED + timedelta(hours=1), seconds=4.5)
    change(second, continues=first.name)
    assert pairs(take_up(store, "last")) == [*SAID, SAID[0]]
    change(first, continues=second.name)  # a circle ends
    assert pairs(take_up(store, "last")) == [*SAID, SAID[0]]
    shutil.rmtree(first)
    continued = take_up(store, "last")
    assert pairs(continued) == SAID[:1]
    assert continued.warnings == (
        f"session {first.name}, which {second.name} continues, is gone: not remembered",
    )


def test_only_the_latest_exchanges_of_an_endless_session_are_taken_up(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_session(root)
    many = [SpokenExchange(str(n), "Yes.") for n in range(MOST_EXCHANGES + 7)]
    monkeypatch.setattr("covo_cli.sessions.continuing.exchanges", lambda said: many)
    assert take_up(SessionStore(root), "last").exchanges == tuple(many[7:])


def hold(
    monkeypatch: pytest.MonkeyPatch, continued: ContinuedSession, lacks: tuple[str, ...] = ()
) -> FakeGenerator:
    """Hold a conversation of one turn that goes on from ``continued``."""

    class Generator(FakeGenerator):
        @property
        def info(self) -> EngineInfo:
            return EngineInfo("lite", "a fake", self.voice, "cpu", {}, lacks=lacks)

    generator = Generator(clock := FakeClock())
    engine = TurnTakingEngine(
        generator, LevelDetector(), VirtualExecutor(clock), recognizer=FakeRecognizer(clock)
    )
    monkeypatch.setattr(run_chat, "choose_engine", lambda _: EngineChoice("lite", "a fake"))
    monkeypatch.setattr(run_chat, "build_engine", lambda *_, **__: engine)
    ends = Ends(FakeMicrophone([speech(1), silence(5)]), FileSpeaker(None), real_time=False)
    with ExitStack() as stack:
        code = run_chat.run_conversation(
            load_settings(), ends, stack, as_json=False, continued=continued
        )
    assert code == 0
    return generator


def test_the_engine_remembers_it_the_screen_says_so_and_the_record_names_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record_session(root)
    continued = take_up(SessionStore(root), "last")
    generator = hold(monkeypatch, continued)
    assert generator.history == [*SAID, ("hello", "one two three four")]
    assert f"Continuing {NAME}: 2 exchanges remembered, as text.\n" in capsys.readouterr().err
    assert SessionStore(root).open("last").info.continues == NAME
    shown = CliRunner().invoke(app, ["sessions", "show", "last"]).stdout
    assert f"continues     {NAME}\n" in shown
    again = take_up(SessionStore(root), "last")
    assert pairs(again) == [*SAID, ("hello", "one two three four")]


def test_an_engine_without_a_history_of_text_refuses(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_session(root)
    with pytest.raises(SettingsError, match="its history is sound; drop --continue"):
        hold(monkeypatch, take_up(SessionStore(root), "last"), ("Remember",))


def test_flags_override_what_the_session_was_held_with(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVO_HEARING_LANGUAGE", "de")
    change(record_session(root), settings={"hearing": {"language": "zh"}})
    held: list[tuple[Settings, ContinuedSession | None]] = []

    def note(settings: Settings, *_: object, continued: ContinuedSession | None, **__: object):
        held.append((settings, continued))
        return 0

    monkeypatch.setattr(run_chat, "run_chat", note)

    def chat(*arguments: str) -> Mapping[str, str]:
        result = CliRunner().invoke(app, ["chat", *arguments])
        assert result.exit_code == 0, result.output
        settings = held[-1][0]
        return {"language": settings.hearing.language, "voice": settings.voice.name}

    assert chat() == {"language": "de", "voice": "heart"}
    assert held[-1][1] is None
    for session in ((), ("last",), ("2026-11",), (NAME,)):
        assert chat("--continue", *session) == {"language": "zh", "voice": "echo"}
        assert held[-1][1].name == NAME
    assert chat("--continue", "--voice", "george") == {"language": "zh", "voice": "george"}
    assert chat("--language", "fr", "--continue", NAME) == {"language": "fr", "voice": "echo"}


def test_what_cannot_be_continued_is_said(root: Path) -> None:
    for arguments, words in (
        (["--continue"], "there are no sessions"),
        (["--continue", "2025"], "there are no sessions"),
        ([NAME], f"{NAME} goes with --continue"),
    ):
        error = CliRunner().invoke(app, ["chat", *arguments]).exception
        assert isinstance(error, CliError)
        assert words in str(error)
