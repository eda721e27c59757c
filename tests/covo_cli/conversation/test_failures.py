"""A bug in a part: one line on the screen names the log, which has the traceback."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from audio_io.errors import AudioError
from audio_io.file_ends import FileSpeaker
from covo_cli.conversation import run_chat
from covo_cli.conversation.ends import Ends
from covo_cli.conversation.stopping import HUNG_UP
from covo_cli.engines.engines import EngineChoice, turn_settings
from covo_cli.errors import OutputClosed, message_for
from covo_cli.process.log import begin_log, log_path
from covo_cli.screen.live import TERMINAL_GONE
from covo_cli.screen.plain import LinesScreen
from covo_cli.sessions.audio import PartWriter
from covo_cli.settings.settings import load_settings
from model.errors import ChatError
from model.jobs.virtual_executor import VirtualExecutor
from model.lite.cascade import Cascade
from model.lite.prompt import Prompt
from model.turns.controller import TurnTakingEngine
from model.turns.turn_settings import PATIENCE
from tests.fakes.engine import (
    FakeClock,
    FakeGenerator,
    FakeMicrophone,
    FakeRecognizer,
    LevelDetector,
    silence,
    speech,
)
from tests.fakes.lite import FakeChat, FakeSynthesizer

TWO_TURNS = [speech(1), silence(5), speech(1), silence(5)]


def a_bug(*_: object, **__: object) -> object:
    raise ZeroDivisionError("a bug")


@pytest.fixture
def log(tmp_path, monkeypatch):
    """The log of a home of one's own."""
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("COVO_LOG_DIR", str(tmp_path / "logs"))
    root = logging.getLogger()
    before = root.handlers.copy()
    begin_log(["chat"])
    yield log_path()
    for handler in set(root.handlers) - set(before):
        root.removeHandler(handler)
        handler.close()


@pytest.fixture
def hold(log, monkeypatch):
    """Holds a conversation of two turns with a generator of fakes."""

    def run(generator: FakeGenerator | Cascade, *, record: bool = True) -> int:
        clock = getattr(generator, "clock", FakeClock())
        engine = TurnTakingEngine(
            generator, LevelDetector(), VirtualExecutor(clock), recognizer=FakeRecognizer(clock)
        )
        monkeypatch.setattr(run_chat, "choose_engine", lambda _: EngineChoice("lite", "a fake"))
        monkeypatch.setattr(run_chat, "build_engine", lambda *_, **__: engine)
        ends = Ends(FakeMicrophone(TWO_TURNS), FileSpeaker(None), real_time=False)
        with ExitStack() as stack:
            return run_chat.run_conversation(
                load_settings({"session.record": record}), ends, stack, as_json=False
            )

    return run


@pytest.mark.parametrize("part", ["recogniser", "chat model or synthesiser"])
def test_a_bug_in_a_model_costs_one_reply(hold, log, capsys, monkeypatch, part):
    kind, method = (
        (FakeRecognizer, "transcribe") if part == "recogniser" else (FakeGenerator, "reply")
    )
    whole, bugs = getattr(kind, method), [a_bug]

    def fail_once(*args: object) -> object:
        return (bugs.pop() if bugs else whole)(*args)

    monkeypatch.setattr(kind, method, fail_once)
    assert hold(FakeGenerator(FakeClock())) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if "a bug" in line]
    assert f"ZeroDivisionError: a bug (details in {log})" in line
    assert "covo: one two three four" in out  # the second turn's reply
    assert "in a_bug" in log.read_text()  # the traceback


class BuggyOnce:
    """Calls ``whole``, but raises ``error`` at the first call."""

    def __init__(self, whole: Callable[..., object], error: Exception) -> None:
        self.whole, self.errors = whole, [error]

    def __call__(self, *args: object) -> object:
        if self.errors:
            raise self.errors.pop()
        return self.whole(*args)


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), BrokenPipeError("a bug")])
@pytest.mark.parametrize("part", ["chat model", "synthesiser"])
def test_a_bug_in_a_part_of_the_cascade_costs_one_reply(hold, log, capsys, part, error):
    chat, voice = FakeChat("A reply in a few words."), FakeSynthesizer()
    if part == "chat model":
        chat.stream = BuggyOnce(chat.stream, error)
    else:
        voice.pieces = BuggyOnce(voice.pieces, error)
    cascade = Cascade(chat, {"one": voice}.__getitem__, voice="one", prompt=Prompt("Be kind."))
    assert hold(cascade) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if "a bug" in line]
    assert f"{type(error).__name__}: a bug (details in {log})" in line
    assert "covo: A reply in a few words." in out  # the second turn's reply
    assert "in __call__" in log.read_text()  # the traceback


@pytest.mark.parametrize(("failing", "code"), [(1, 0), (2, 1)])
def test_a_conversation_without_any_answer_ends_with_1(hold, log, capsys, failing, code):
    chat = FakeChat("A reply in a few words.")
    errors, stream = [ChatError("the endpoint hung up")] * failing, chat.stream

    def failing_stream(*args):
        if errors:
            raise errors.pop()
        return stream(*args)

    chat.stream = failing_stream
    voice = FakeSynthesizer()
    assert hold(Cascade(chat, {"one": voice}.__getitem__, voice="one", prompt=Prompt(""))) == code
    assert "the endpoint hung up" in capsys.readouterr().out


def test_a_slow_load_is_told_once_where_there_is_no_terminal(hold, log, capsys, monkeypatch):
    monkeypatch.setattr(run_chat, "SLOW_LOAD_S", 0.0)
    chat = FakeChat("A reply.")

    def load(progress):
        for waited in range(3):
            progress(f"waiting for tiny at http://localhost:1: {waited} s")

    chat.load = load
    hold(Cascade(chat, {"one": FakeSynthesizer()}.__getitem__, voice="one", prompt=Prompt("")))
    assert capsys.readouterr().err.count("Waiting for tiny at http://localhost:1: 0 s ...") == 1


def test_keys_are_neither_shown_logged_nor_recorded(hold, log, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setenv("COVO_CHAT_URL", "http://me:my-password@host/v1?api_key=in-the-address")
    chat = FakeChat("A reply.")
    chat.error = ChatError("refused: sk-very-secret, http://me:my-password@host")
    assert hold(
        Cascade(chat, {"one": FakeSynthesizer()}.__getitem__, voice="one", prompt=Prompt(""))
    )
    output = capsys.readouterr()
    assert "refused: ***, http://***@host" in output.out
    recorded = [file.read_text() for file in log.parent.parent.rglob("*.json*")]
    assert len(recorded) > 1
    for text in (output.out, output.err, log.read_text(), *recorded):
        for secret in ("very-secret", "my-password", "in-the-address"):
            assert secret not in text


def test_a_bug_in_the_recorder_ends_the_recording_only(hold, log, capsys, monkeypatch):
    monkeypatch.setattr(PartWriter, "write", a_bug)
    limits = []
    monkeypatch.setattr(run_chat, "leave_within", lambda *limit: limits.append(limit))
    assert hold(FakeGenerator(FakeClock())) == 1
    assert limits == [(run_chat.QUIT_S, 1)]  # the same code if closing takes too long
    out = capsys.readouterr().out
    assert len([line for line in out.splitlines() if str(log) in line]) == 1
    assert out.count("covo: one two three four") == 2
    assert "in a_bug" in log.read_text()


def test_a_terminal_that_takes_no_farewell_has_a_limit(hold, monkeypatch):
    steps = []
    monkeypatch.setattr(run_chat, "leave_within", lambda *limit: steps.append("limit"))
    monkeypatch.setattr(run_chat, "_farewell", lambda *parts: steps.append("farewell"))
    assert hold(FakeGenerator(FakeClock())) == 0
    assert steps == ["limit", "farewell"]


def test_a_bug_in_the_engine_ends_the_conversation_and_keeps_the_recording(hold, log, monkeypatch):
    monkeypatch.setattr(TurnTakingEngine, "process", a_bug)
    with pytest.raises(ZeroDivisionError) as caught:
        hold(FakeGenerator(FakeClock()))
    message = message_for(caught.value)
    assert message == f"covo: unexpected ZeroDivisionError: a bug; this is a bug (details in {log})"
    assert "in a_bug" in log.read_text()
    (session,) = (log.parent.parent / "data" / "sessions").iterdir()
    assert '"end_reason": "an error"' in (session / "session.json").read_text()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OutputClosed("the reader of the output takes nothing"), "the reader of the output takes"),
        (AudioError("the speaker stopped at ws://me:my-password@host"), "an error: the speaker"),
        (KeyboardInterrupt(), "quit by the user"),
    ],
)
def test_the_recording_says_why_the_conversation_ended(hold, log, monkeypatch, error, told):
    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(LinesScreen, "on_tick", fail)
    with suppress(AudioError, KeyboardInterrupt):
        hold(FakeGenerator(FakeClock()))
    (session,) = (log.parent.parent / "data" / "sessions").iterdir()
    reason = json.loads((session / "session.json").read_text())["end_reason"]
    assert reason.startswith(told)
    assert "my-password" not in reason


@pytest.mark.parametrize("reason", [TERMINAL_GONE, HUNG_UP])
def test_a_terminal_that_has_gone_is_told_nothing(hold, capsys, monkeypatch, reason):
    def fail(*args: object) -> None:
        raise OutputClosed(reason)

    timers = SimpleNamespace(describe=lambda: ["tea"])
    tools = SimpleNamespace(timers=timers, close=lambda: None)
    monkeypatch.setattr(LinesScreen, "on_tick", fail)
    monkeypatch.setattr(run_chat, "build_tools", lambda *_: tools)
    assert hold(FakeGenerator(FakeClock())) == 0
    assert not re.search("Timers|No speech", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([silence(3)], "No speech was heard; the loudest sound had -96 dBFS."),
        (TWO_TURNS, ""),
    ],
)
def test_a_conversation_without_speech_says_so(hold, log, capsys, monkeypatch, said, told):
    monkeypatch.setattr(sys.modules[__name__], "TWO_TURNS", said)
    assert hold(FakeGenerator(FakeClock())) == 0
    out = capsys.readouterr().out
    assert told in out
    assert ("No speech" in out) == bool(told)


@pytest.mark.parametrize("record", [True, False])
def test_a_conversation_is_recorded_unless_it_should_not_be(hold, log, capsys, record):
    assert hold(FakeGenerator(FakeClock()), record=record) == 0
    assert ("Recorded in" in capsys.readouterr().out) is record
    assert (log.parent.parent / "data" / "sessions").exists() is record


@pytest.mark.parametrize("patience", ["eager", "patient"])
def test_a_recording_has_the_settings_in_force(hold, log, monkeypatch, patience):
    monkeypatch.setenv("COVO_TURNS_PATIENCE", patience)
    hold(FakeGenerator(FakeClock()))
    (session,) = (log.parent.parent / "data" / "sessions").iterdir()
    recorded = json.loads((session / "session.json").read_text())["settings"]["turns"]
    in_force = asdict(turn_settings(load_settings()))
    assert in_force == asdict(PATIENCE[patience])
    assert len(in_force.keys() & recorded.keys()) == 8
    for name in in_force.keys() & recorded.keys():
        assert recorded[name] == in_force[name], name


def test_the_log_has_the_states_and_nothing_that_was_said(hold, log):
    hold(FakeGenerator(FakeClock()))
    text = log.read_text()
    for wanted in ("covo_cli.process.log", "engine fake", "thinking", "the conversation ended"):
        assert wanted in text
    for said in ("hello", "one two", "three"):
        assert said not in text


def test_values_of_options_are_not_logged(log):
    begin_log(["--verbose", "ask", "my secret", "--chat-url=http://me:word@host", "-o", "out"])
    assert "ask --verbose --chat-url\n" in log.read_text()
    assert not {"secret", "word", "host"} & {*log.read_text().replace("@", " ").split()}


def test_what_a_message_quotes_is_hidden_and_code_is_not(log):
    try:
        raise ValueError("'He said \"so\"' isn't in \"it's me\"")
    except ValueError:
        logging.getLogger("covo_cli").exception("nothing to say in 'Hello, Ada'")
    text = log.read_text()
    assert "nothing to say in '...'\n" in text
    assert "ValueError: '...' isn't in '...'\n" in text
    assert 'test_failures.py", line' in text
