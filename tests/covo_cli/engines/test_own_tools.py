"""The tools that the settings ask for, and how their use is shown and kept."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from covo_cli.conversation.consumer import Tick
from covo_cli.conversation.run_chat import _tell_pending
from covo_cli.engines.engines import build_engine
from covo_cli.engines.own_tools import build_tools
from covo_cli.engines.small_models import lite_cascade
from covo_cli.errors import SettingsError
from covo_cli.process.terminal import PlainConsole
from covo_cli.screen.plain import MOST_SHOWN, LinesScreen
from covo_cli.screen.view import ConversationInfo
from covo_cli.sessions.continuing import exchanges
from covo_cli.sessions.transcript import TranscriptEntry, Who, transcript
from covo_cli.settings.settings import load_settings
from model.errors import ChatError
from model.events import TimerRang, ToolAnswered, ToolCalled, ToolOutcome
from model.tools.tool import ToolCall

LAMP = """
[[tool]]
name = "lamp"
description = "Switch the lamp."
command = ["~/bin/lamp", "--quiet"]
effects = true
question = "Shall I switch the lamp {state}?"
limit = 3
optional = ["level"]
[tool.arguments]
state = {type = "string", enum = ["on", "off"]}
level = {type = "integer"}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path))
    return tmp_path


def nowhere() -> None:
    """There is no session yet."""


def tools_of(home: Path, text: str) -> None:
    (home / "tools.toml").write_text(text)


def test_they_are_off_unless_asked_for(home: Path) -> None:
    tools_of(home, "nonsense")
    assert build_tools(load_settings(), "lite", nowhere) is None


def test_the_user_s_own_stand_beside_the_built_in_ones(home: Path) -> None:
    tools_of(home, LAMP)
    box = build_tools(load_settings({"tools.enabled": True}), "lite", nowhere)
    assert box is not None
    assert box.names == ("time", "timer", "notes", "lamp")
    silent = load_settings({"tools.enabled": True, "session.record": False})
    unrecorded = build_tools(silent, "lite", nowhere)
    assert unrecorded is not None
    assert unrecorded.names == ("time", "timer", "lamp")
    lamp, arguments = box.find(ToolCall("1", "lamp", '{"state": "on"}'))
    assert (lamp.effects, lamp.limit_s) == (True, 3)
    assert lamp.ask(arguments) == "Shall I switch the lamp on?"
    assert lamp.parameters["required"] == ["state"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tool = 5", "tool must be a list"),
        (LAMP.replace('"lamp"', '"my lamp"'), "name"),
        (LAMP.replace("effects = true", ""), "effects is missing"),
        (LAMP.replace("{state}?", "{state}."), "question must end with a question mark"),
        (LAMP.replace('["level"]', '["size"]'), "optional names size, which is no argument"),
        (LAMP.replace('["~/bin/lamp", "--quiet"]', "[]"), "command"),
        (LAMP.replace("limit = 3", "limit = 0"), "limit"),
        (LAMP.replace("limit = 3", "shell = true"), "shell is not a known key"),
        (LAMP + LAMP, "two tools called lamp"),
        (LAMP.replace('"lamp"', '"time"'), "two tools called time"),
        ("[[tool", "is not valid TOML"),
    ],
)
def test_a_broken_file_is_one_line(home: Path, text: str, problem: str) -> None:
    tools_of(home, text)
    with pytest.raises(SettingsError, match=problem) as caught:
        build_tools(load_settings({"tools.enabled": True}), "lite", nowhere)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_named_must_be_there(home: Path) -> None:
    settings = load_settings({"tools.enabled": True, "tools.file": str(home / "gone.toml")})
    with pytest.raises(SettingsError, match=r"cannot read .*gone\.toml"):
        build_tools(settings, "lite", nowhere)


def test_a_model_that_cannot_use_tools_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from model.weights.packages import WeightStore

    monkeypatch.setattr(WeightStore, "path", lambda *about: Path("tiny.gguf"))
    settings = load_settings({"tools.enabled": True})
    with pytest.raises(ChatError, match="tiny cannot use tools: name another model"):
        lite_cascade(settings, build_tools(settings, "lite", nowhere))
    with pytest.raises(SettingsError, match="--tools has no effect with the engine covo-fd"):
        build_engine(
            load_settings({"tools.enabled": True, "engine.name": "covo-fd"}), real_time=False
        )


USED = (
    ToolCalled(16_000, 1, 4, "lamp", '{"state": "on"}'),
    ToolAnswered(32_000, 1, 4, "lamp", ToolOutcome.DONE, "it is\non " + "x" * 500),
    ToolCalled(48_000, 1, 5, "lamp", "{}"),
    ToolAnswered(64_000, 1, 5, "lamp", ToolOutcome.FAILED, "lamp failed"),
    ToolCalled(80_000, 1, 6, "lamp", "{}"),
    ToolAnswered(96_000, 1, 6, "lamp", ToolOutcome.CANCELLED, ""),
)


def test_each_use_is_shown_in_lines() -> None:
    stream = io.StringIO()
    screen = LinesScreen(ConversationInfo("lite", "heart", "mic", "speaker"), stream)
    screen.on_tick(Tick(0, np.zeros(320, np.float32), np.zeros(480, np.float32), USED))
    lines = stream.getvalue().splitlines()
    assert lines[0] == '[00:01.0] tool: lamp {"state": "on"}'
    assert lines[1].startswith("[00:02.0] tool: lamp: it is on xxx")
    assert lines[1].endswith("x ...")
    assert len(lines[1]) < MOST_SHOWN + 40
    assert lines[3:] == [
        "[00:04.0] tool: lamp: failed: lamp failed",
        "[00:05.0] tool: lamp {}",
        "[00:06.0] tool: lamp: cancelled",
    ]


def test_a_use_is_in_the_transcript_and_no_part_of_what_was_said() -> None:
    said = transcript(USED)
    assert {entry.who for entry in said} == {Who.TOOL}
    assert said[1].text == "lamp {} → failed: lamp failed"
    hello = TranscriptEntry(Who.USER, 1, 1, 0, 1, "Hello", final=True)
    hi = TranscriptEntry(Who.ASSISTANT, 1, 1, 9, 10, "Hi", final=True)
    [only] = exchanges([hello, *said, hi])
    assert (only.user, only.assistant) == ("Hello", "Hi")


def test_a_timer_s_first_ring_is_one_line() -> None:
    out = io.StringIO()
    info = ConversationInfo("lite", "v", "m", "s", "")
    quiet = np.zeros(320, np.float32)
    sound = np.zeros(480, np.float32)
    rings = tuple(TimerRang(n * 16_000, -2 - n, sound, "tea\x1b[2J", n) for n in (1, 2))
    LinesScreen(info, out).on_tick(Tick(0, quiet, sound, rings))
    assert out.getvalue() == "[00:01.0] tool: timer rings: tea [2J\n"


def test_timers_that_end_with_the_conversation_are_told() -> None:
    box = build_tools(load_settings({"tools.enabled": True}), "lite", nowhere)
    assert box is not None
    out = io.StringIO()
    console = PlainConsole(file=out, wide=True)
    _tell_pending(box, console)
    assert out.getvalue() == ""
    timer, _ = box.find(ToolCall("1", "timer", ""))
    timer.run({"do": "set", "minutes": 4, "name": "tea"}, lambda: False)
    timer.run({"do": "set", "seconds": 30}, lambda: False)
    _tell_pending(box, console)
    assert out.getvalue() == (
        "Timers that will not ring any more: 30 seconds: 30 seconds left; tea: 4 minutes left\n"
    )
