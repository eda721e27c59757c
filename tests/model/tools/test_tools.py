"""The tools themselves: what they return, and what happens when they misbehave."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest

from model.errors import ToolError
from model.events import ToolOutcome
from model.jobs.channel import Cancelled
from model.tools import executables
from model.tools.clock import clock_tool
from model.tools.executables import executable
from model.tools.tool import Arguments, Tool, ToolCall, ToolResult
from model.tools.toolbox import MOST_CHARACTERS, RunningTool, trimmed


def run(tool: Tool, arguments: Arguments | None = None, seconds: float = 5.0) -> ToolResult:
    result = RunningTool(tool, arguments or {}).wait(seconds)
    assert result is not None
    return result


def python(code: str, **more: Any) -> Tool:
    """A program that runs ``code``."""
    command = (sys.executable, "-c", code)
    return Tool("prog", "A program.", {}, executable("prog", command), **more)


def at(zone: tzinfo | None) -> datetime:
    return datetime(2026, 11, 27, 5, 30, tzinfo=UTC).astimezone(zone or UTC)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "Friday, 27 November 2026, 05:30:00 (here, UTC+0000)"),
        ({"zone": "Asia/Tokyo"}, "Friday, 27 November 2026, 14:30:00 (Asia/Tokyo, UTC+0900)"),
        ({"zone": "new york"}, "Friday, 27 November 2026, 00:30:00 (new york, UTC-0500)"),
        ({"zone": "Middle/Earth"}, "there is no time zone 'Middle/Earth': give an IANA name"),
        ({"zone": "../../etc/passwd"}, "there is no time zone"),
        ({"zone": 5}, "time: zone must be text"),
        ({"place": "Rome"}, "time: place is not a known key"),
    ],
)
def test_the_time(arguments: Arguments, told: str) -> None:
    assert told in run(clock_tool(at), arguments).text


def test_the_time_declares_its_arguments() -> None:
    function = clock_tool().declared()["function"]
    assert function["name"] == "time"
    assert function["parameters"]["properties"]["zone"]["type"] == "string"
    json.dumps(function)


def test_a_program_gets_its_arguments_and_gives_its_result() -> None:
    echo = python("import sys, json; print(json.load(sys.stdin)['text'].upper())")
    assert run(echo, {"text": "grüße; $(ls)"}) == ToolResult(ToolOutcome.DONE, "GRÜSSE; $(LS)")
    assert run(python("")).text == "(done; there is no output)"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise SystemExit('no lamp')", "prog failed with exit code 1: no lamp"),
        ("import os; os.kill(os.getpid(), 9)", "prog failed with exit code -9"),
        (
            "import os; os.write(1, b'\\xff\\xfe')",
            "prog printed bytes that are no text",
        ),
        ("print('x' * 3_000_000)", "prog printed more than 1 MB: stopped"),
        ("while True: print('x' * 9_999)", "prog printed more than 1 MB: stopped"),
    ],
)
def test_a_program_that_misbehaves_is_one_line(code: str, told: str) -> None:
    result = run(python(code))
    assert result.outcome is ToolOutcome.FAILED
    assert result.text.startswith(told)
    assert "\n" not in result.text


def test_a_program_that_is_not_there_is_told() -> None:
    result = run(Tool("gone", "", {}, executable("gone", ("/nowhere/gone",))))
    assert result.text == "gone cannot be started: /nowhere/gone: No such file or directory"


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}\\n')\n"
        "time.sleep(60)"
    )
    running = RunningTool(python(code, limit_s=5.0), {})
    wait_for(lambda: pids.exists() and pids.read_text().endswith("\n"))
    running.stop()
    for pid in map(int, pids.read_text().split()):
        wait_for(lambda pid=pid: gone(pid))


def test_a_tool_over_its_limit_is_told_and_stopped() -> None:
    stopped: list[bool] = []

    def work(arguments: Arguments, stop: Cancelled) -> str:
        while not stop():
            time.sleep(0.005)
        stopped.append(True)
        return "late"

    result = run(Tool("slow", "", {}, work, limit_s=0.05))
    text = "slow gave no result within 0.05 s and was stopped"
    assert result == ToolResult(ToolOutcome.FAILED, text)
    wait_for(lambda: bool(stopped))


def test_a_bug_in_a_tool_is_told_and_not_quoted_in_the_log(caplog: Any) -> None:
    def work(arguments: Arguments, stop: Cancelled) -> str:
        raise RuntimeError(f"secret {arguments}")

    caplog.set_level("DEBUG")
    result = run(Tool("buggy", "", {}, work), {"x": "private"})
    assert result == ToolResult(ToolOutcome.FAILED, "buggy failed: internal error (RuntimeError)")
    assert "private" not in caplog.text
    assert "the tool buggy failed: RuntimeError" in caplog.text


def test_a_long_result_is_cut_and_says_so() -> None:
    assert trimmed("a\x1b[31mb\x00c\n") == "a [31mb c"
    cut = trimmed("x" * 50_000)
    assert cut.startswith("x" * MOST_CHARACTERS + " … (cut: 50,000 characters")
    assert len(cut) < MOST_CHARACTERS + 50
    begun = time.process_time()
    assert "20,000,000 characters" in trimmed("x" * 20_000_000)
    assert time.process_time() - begun < 0.3


def test_output_is_bounded_at_its_limit(monkeypatch: Any) -> None:
    monkeypatch.setattr(executables, "MOST_BYTES", 10)
    assert run(python("print('x' * 9)")).outcome is ToolOutcome.DONE
    assert run(python("print('x' * 10)")).outcome is ToolOutcome.FAILED


def test_arguments_nested_too_deep_are_refused() -> None:
    with pytest.raises(ToolError, match="the arguments of lamp are not valid JSON"):
        ToolCall("1", "lamp", "[" * 100_000).parsed()


def test_the_question_names_the_arguments() -> None:
    lamp = Tool("desk_lamp", "", {}, lambda a, stop: "", effects=True)
    assert lamp.ask({}) == "Shall I use desk lamp?"
    assert lamp.ask({"state": "on", "level": 3}) == "Shall I use desk lamp with state on, level 3?"
    asking = Tool("lamp", "", {}, lambda a, stop: "", question="Lamp {state}, {level}?")
    assert asking.ask({"state": "on"}) == "Lamp on, ?"


def wait_for(condition: Any) -> None:
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # Where nothing reaps orphans, they stay as zombies.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except FileNotFoundError:  # it has gone meanwhile; or there is no /proc, and it lives
        return Path("/proc/self").exists()


def test_errors_of_tools_are_the_room_s_own() -> None:
    with pytest.raises(ToolError):
        executable("x", ("/nowhere",))({}, lambda: False)
