"""The screens as they write: lines, JSON, and the live one on a pseudo-terminal."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from blessed.keyboard import Keystroke
from rich.console import Console
from rich.text import Text

from audio_io.clock import samples
from covo_cli.conversation.consumer import Tick
from covo_cli.conversation.request import FailureReport, Quit, Request
from covo_cli.errors import CliError, OutputClosed
from covo_cli.screen import choose_mode, make_screen, plain
from covo_cli.screen.keyboard import RESTARTS, Keyboard
from covo_cli.screen.keys import KeyMachine, KeyState
from covo_cli.screen.live import LiveScreen
from covo_cli.screen.panel import Panel
from covo_cli.screen.plain import JsonScreen, LinesScreen
from covo_cli.screen.view import ConversationView, View
from model.engine import SetMuted
from model.events import (
    Backchannel,
    EndpointJudged,
    Notice,
    PlaybackAction,
    PlaybackControl,
    TurnLatency,
    UserTranscript,
)
from tests import ROOT
from tests.fakes.screen_session import INFO, conversation, ticks

PROGRAM = [sys.executable, "-m", "tests.fakes.screen_session"]
SHELL = shutil.which("bash") or ""


def tick_with(*events: object, **more: object) -> Tick:
    sound = (np.zeros(320, np.float32), np.zeros(480, np.float32))
    return Tick(0, *sound, events, **more)  # type: ignore[arg-type]


# Lines


def test_lines_of_a_conversation() -> None:
    out = io.StringIO()
    with LinesScreen(INFO, out) as screen:
        for tick in ticks(conversation()):
            screen.on_tick(tick)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("[00:00.0] -- engine lite, voice heart, microphone USB PnP")
    assert lines[0].endswith(f"recording to {INFO.recording}")
    assert lines[1:4] == [
        "[00:02.8] you: What is the capital of Australia?",
        "[00:03.3] -- answered after 0.94 s = wait 0.20 + recognize 0.31 + think 0.15"
        " + speak 0.18 + decide 0.10",
        "[00:06.9] covo: The capital of Australia is Canberra, and not Sydney, as many believe.",
    ]
    interrupted = next(i for i, line in enumerate(lines) if "-- interrupted" in line)
    assert lines[interrupted - 1].endswith("covo: " + "Canberra was founded in 1913 as a"
                                           " compromise between Sydney")  # fmt: skip
    assert "after 3.0 s (you spoke for 0.32 s); not heard: and Melbourne" in lines[interrupted]
    assert "[00:17.4] -- voice: nova" in lines
    times = [line[1:8] for line in lines]
    assert times == sorted(times)


def test_a_backchannel_is_a_line_in_parentheses() -> None:
    out = io.StringIO()
    hum = Backchannel(16_000, -2, np.zeros(9_600, np.float32), 1, "Mm-hmm.")
    LinesScreen(INFO, out).on_tick(tick_with(hum))
    assert out.getvalue() == "[00:01.0] covo: (Mm-hmm.)\n"


def test_lines_have_no_control_characters() -> None:
    out = io.StringIO()
    LinesScreen(INFO, out).on_tick(tick_with(Notice(0, "error", "a\x1b[2J\nb\r\x07c")))
    assert out.getvalue() == "[00:00.0] -- error: a [2J b c\n"


def test_lines_say_why_it_waits_stops_and_goes_on() -> None:
    out = io.StringIO()
    LinesScreen(INFO, out).on_tick(
        tick_with(
            EndpointJudged(0, 1, False, 0.4, 0.9, "unfinished", "the phrase breaks off: “the”"),
            EndpointJudged(0, 1, True, 2.8, 0.9, "unfinished", "the phrase breaks off: “the”"),
            PlaybackControl(0, 1, PlaybackAction.DUCK, "speech over the reply"),
            PlaybackControl(0, 1, PlaybackAction.HOLD, "0.26 s of speech"),
            PlaybackControl(0, 1, PlaybackAction.RESUME, "only “yeah”"),
        )
    )
    assert out.getvalue().splitlines() == [
        "[00:00.0] -- waiting for you: the phrase breaks off: “the”",
        "[00:00.0] -- covo pauses: 0.26 s of speech",
        "[00:00.0] -- covo goes on: only “yeah”",
    ]


def test_lines_tell_changes_of_mute_and_devices_once() -> None:
    out = io.StringIO()
    screen = LinesScreen(INFO, out)
    for _ in range(2):
        screen.on_tick(tick_with(muted=True, microphone="unplugged"))
    screen.on_tick(tick_with())
    assert [line.split("-- ")[1] for line in out.getvalue().splitlines()] == [
        "muted",
        "microphone: unplugged",
        "unmuted",
        "microphone: recovered",
    ]


def test_lines_in_a_small_encoding() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    LinesScreen(INFO, stream).on_tick(tick_with(Notice(0, "info", "naïve 你")))
    assert raw.getvalue() == b"[00:00.0] -- info: na?ve ?\n"


# JSON


def test_json_is_one_event_a_line() -> None:
    out = io.StringIO()
    script = conversation()
    with JsonScreen(out) as screen:
        for tick in ticks(script):
            screen.on_tick(tick)
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [record["event"] for record in records] == [
        type(event).__name__ for event in sorted(script.events, key=lambda event: event.at)
    ]
    audio = next(record for record in records if record["event"] == "AssistantAudio")
    assert audio["samples"] == 7200
    assert out.getvalue().isascii()


def test_json_takes_numpy_numbers() -> None:
    out = io.StringIO()
    event = TurnLatency(0, 1, 1, np.float32(0.5), {"wait": np.float64(0.5)})  # type: ignore[arg-type]
    JsonScreen(out).on_tick(tick_with(event))
    assert json.loads(out.getvalue())["parts"] == {"wait": 0.5}


def test_json_is_flushed_with_every_tick() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8")  # type: ignore[type-var]
    JsonScreen(stream).on_tick(tick_with(Notice(0, "info", "x")))
    assert raw.getvalue().endswith(b"\n")


@pytest.mark.parametrize("mode", ["lines", "json"])
def test_closed_pipe_raises(mode: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    screen = LinesScreen(INFO, stream) if mode == "lines" else JsonScreen(stream)
    with pytest.raises(OutputClosed):
        screen.on_tick(tick_with(Notice(0, "info", "x")))
    with pytest.raises(BrokenPipeError):
        stream.close()


@pytest.mark.parametrize("mode", ["lines", "json"])
def test_a_reader_that_takes_nothing_holds_up_no_conversation(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "MOST_WAITING", 5)
    monkeypatch.setattr(plain, "CLOSE_LIMIT_S", 0.05)
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w")
    screen = (
        LinesScreen(INFO, stream, real_time=True)
        if mode == "lines"
        else JsonScreen(stream, real_time=True)
    )
    long = tick_with(Notice(0, "info", "x" * 100_000))

    def talk() -> None:
        for _ in range(10):
            screen.on_tick(long)

    screen.__enter__()
    with pytest.raises(OutputClosed, match="takes nothing"):
        talk()
    with pytest.raises(CliError, match="takes nothing: what was left to write is lost") as lost:
        screen.__exit__(None, None, None)
    assert not isinstance(lost.value, OutputClosed), "which nobody is told"
    os.close(reader)  # ends the writing thread
    assert screen._writer is not None
    screen._writer.join(30)
    with suppress(BrokenPipeError):
        stream.close()


def test_a_slow_reader_gets_every_event_of_a_conversation_in_real_time() -> None:
    reader, writer = os.pipe()
    text = "x" * 50_000
    with (
        os.fdopen(reader) as source,
        os.fdopen(writer, "w") as stream,
        JsonScreen(stream, real_time=True) as screen,
    ):
        for number in range(5):
            screen.on_tick(tick_with(Notice(number, "info", text)))
        lines = [json.loads(source.readline()) for _ in range(5)]
    assert [(line["at"], line["text"]) for line in lines] == [(n, text) for n in range(5)]


def test_a_reader_that_goes_ends_a_conversation_in_real_time_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    with JsonScreen(stream, real_time=True) as screen:
        screen.on_tick(tick_with(Notice(0, "info", "x")))
        assert screen._writer is not None
        screen._writer.join(30)
        with pytest.raises(OutputClosed, match="has gone"):
            screen.on_tick(tick_with(Notice(0, "info", "x")))
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_a_broken_disk_is_told_at_the_end_at_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "CLOSE_LIMIT_S", 30.0)

    class Broken(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):  # noqa: SIM117 - raised on leaving
        with JsonScreen(Broken(), real_time=True) as screen:
            screen.on_tick(tick_with(Notice(0, "info", "x")))


# Which screen


def test_choice_of_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert choose_mode() == "lines"
    assert choose_mode(json=True) == "json"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert choose_mode() == "live"
    assert isinstance(make_screen(choose_mode(), INFO), LiveScreen)
    monkeypatch.setenv("TERM", "dumb")
    assert choose_mode() == "lines"
    assert isinstance(make_screen(choose_mode(), INFO), LinesScreen)


# The live screen, drawn by hand


def live(width: int = 60, height: int = 20) -> tuple[LiveScreen, Console, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=True, _environ={})
    return LiveScreen(ConversationView(INFO), console=console), console, out


def test_nothing_is_written_when_nothing_changed() -> None:
    screen, _, out = live()
    screen.draw()
    before = len(out.getvalue())
    assert before > 0
    screen.draw()
    assert len(out.getvalue()) == before


def rows(text: str, width: int = 60) -> list[str]:
    """The lines of a terminal that was sent ``text``; knows what the live screen uses."""
    grid: list[str] = [""]
    row = column = 0
    for code, char in re.findall(r"(\x1b\[[?0-9;]*[a-zA-Z])|(.|\n|\r)", text):
        if code.endswith("A"):
            row -= int(code[2:-1])
        elif code.endswith("K"):
            grid[row] = ""
        elif char == "\n":
            row, column = row + 1, 0
            grid += [""] * (row + 1 - len(grid))
        elif char == "\r":
            column = 0
        elif char:
            grid[row] = grid[row][:column].ljust(column) + char + grid[row][column + 1 :]
            column += 1
            assert column <= width
    return [line.rstrip() for line in grid]


def test_finished_turns_stay_above_and_the_panel_does_not_jump() -> None:
    screen, _, out = live()
    feet = []
    screen._live.start()  # drawn step by step here, without the thread
    for number, tick in enumerate(ticks(conversation())):
        screen.on_tick(tick)
        if number % 17 == 0:
            screen.draw()
            lines = rows(out.getvalue())
            feet.append(next(i for i, line in enumerate(lines) if line.startswith("space talk")))
            assert not any(lines[feet[-1] + 1 :])
    assert feet == sorted(feet), "the panel's foot moved up"
    screen.draw(last=True)
    screen._live.stop()
    said = [line for line in rows(out.getvalue()) if line]
    assert said[0] == "you   What is the capital of Australia?"
    assert said[-1] == "      degrees at noon."
    text = "\n".join(said)
    assert text.count("What is the capital") == 1
    assert "speaking" not in text
    assert "⟂ and" in " ".join(text.split())


def wait_until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_bug_in_the_drawing_leaves_plain_lines(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class BrokenPanel(Panel):
        def lines(self, view: View, keys: KeyState, height: int) -> list[Text]:
            if view.at > samples(7.0):
                raise RuntimeError("a bug in the panel")
            return super().lines(view, keys, height)

    monkeypatch.setattr("covo_cli.screen.live.Panel", BrokenPanel)
    screen, _, out = live(width=100)
    with screen:
        painter = screen._painter
        assert painter is not None
        for tick in ticks(conversation()):
            screen.on_tick(tick)
            if tick.at == samples(7.0):  # the first answer was finished, and nothing since
                wait_until(lambda: painter.dead)
    text = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", out.getvalue())
    after = text.split("-- error: ")[1].splitlines()
    assert after[0].startswith("the live screen failed; plain lines from here on")
    said = [line.split("] ")[1][:20] for line in after[1:4]]
    assert said == ["you: What is the cap", "covo: The capital of", "-- warning: the spea"]
    assert after[-1].endswith("covo: No. July is the middle of winter in Canberra: about 12 degrees"
                              " at noon.")  # fmt: skip
    assert "a bug in the panel" in caplog.text
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l")


def test_a_bug_in_the_last_drawing_loses_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, _, out = live()
    with screen:
        screen.on_tick(tick_with(UserTranscript(0, 1, "Is it warm?", True, 0, 100)))
        monkeypatch.setattr(Panel, "entry", lambda panel, entry: 1 / 0)
    assert out.getvalue().splitlines()[-1].endswith("you: Is it warm?")


def test_a_terminal_that_goes_ends_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    gone = Gone()
    with pytest.raises(OSError, match="Input/output"):  # a file on a broken disk
        LinesScreen(INFO, gone).line(0, "x")
    monkeypatch.setattr(sys, "stdout", gone)
    with pytest.raises(OutputClosed):
        LinesScreen(INFO, gone).line(0, "x")


def test_a_bug_in_the_view_leaves_plain_lines(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    screen, _, out = live()
    with screen:
        screen.on_tick(tick_with())
        monkeypatch.setattr(screen._view, "on_tick", lambda tick: 1 / 0)
        screen.on_tick(tick_with())
        monkeypatch.undo()
        screen.on_tick(tick_with(Notice(0, "info", "by the way")))
    assert out.getvalue().splitlines()[-1] == "[00:00.0] -- info: by the way"
    assert "ZeroDivisionError" in caplog.text


def test_closing_does_not_wait_for_a_terminal_that_takes_no_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped, go_on = threading.Event(), threading.Event()

    class Stopped(io.StringIO):
        def write(self, text: str) -> int:
            if threading.current_thread() is not threading.main_thread():
                stopped.set()
                assert go_on.wait(30)
            return super().write(text)

    monkeypatch.setattr("covo_cli.screen.live.CLOSE_LIMIT_S", 0.05)
    out = Stopped()
    console = Console(file=out, width=60, height=20, force_terminal=True, _environ={})
    screen = LiveScreen(ConversationView(INFO), console=console)
    with screen:
        assert stopped.wait(30)
    painter = screen._painter
    assert painter is not None
    assert painter.is_alive()
    go_on.set()
    wait_until(lambda: not painter.is_alive())
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l")


# The keyboard


class FakeTerminal:
    """Gives the keys that it was made with, then none."""

    def __init__(self, keys: str) -> None:
        self.keys = list(keys)

    def inkey(self, timeout: float) -> Keystroke:
        if not self.keys:
            time.sleep(0.001)
        return Keystroke(self.keys.pop(0) if self.keys else "")


@pytest.mark.parametrize("bugs", [1, RESTARTS + 1])
def test_a_bug_in_a_key_is_reported_and_the_keyboard_goes_on(
    bugs: int, caplog: pytest.LogCaptureFixture
) -> None:
    requests: list[Request] = []

    class BrokenMachine(KeyMachine):
        def feed(self, key: str) -> list[Request]:
            return super().feed(key) if key != "x" else [1 / 0]  # type: ignore[list-item]

    keyboard = Keyboard(BrokenMachine(), requests.append)
    keyboard.start(FakeTerminal("m" + "x" * bugs + "q"))
    failed = [FailureReport("keyboard: a key failed")] * min(bugs, RESTARTS)
    stopped = FailureReport("keyboard: stopped; quit with Ctrl-C")
    expected = [SetMuted(True), *failed, stopped if bugs > RESTARTS else Quit()]
    wait_until(lambda: len(requests) >= len(expected))
    keyboard.close()
    assert requests == expected
    assert "ZeroDivisionError" in caplog.text


# The live screen on a pseudo-terminal


def own_terminal() -> None:
    """What a terminal does for a new program. Tests that run in the background, where shells have
    Ctrl-C ignored, hand that on."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """Runs the example on a pseudo-terminal."""

    def __init__(
        self, *arguments: str, program: Sequence[str] = PROGRAM, **environment: str
    ) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(24, 80)
        self.before = termios.tcgetattr(self.slave)
        self.output = ""
        kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [*program, *arguments],
            cwd=ROOT,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            preexec_fn=own_terminal,  # noqa: PLW1509
            env={**kept, "TERM": "xterm-256color", "PYTHONUTF8": "1", **environment},
        )

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def keys(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until(self, done: Callable[[], bool], limit: float = 30.0) -> None:
        """Read on until ``done``; fails after ``limit`` seconds."""
        end = time.monotonic() + limit
        while not done():
            assert time.monotonic() < end, f"not seen: {self.output[-2000:]!r}"
            if select.select([self.master], [], [], 0.05)[0]:
                self.output += os.read(self.master, 65_536).decode("utf-8", "replace")

    def shows(self, text: str) -> None:
        self.until(lambda: text in self.plain)

    @property
    def plain(self) -> str:
        """The output so far without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.output)

    def ended(self) -> int:
        """Wait for the program's end; its exit code."""
        self.until(lambda: self.process.poll() is not None)
        self.until(lambda: not select.select([self.master], [], [], 0.05)[0])
        return int(self.process.returncode)

    @property
    def settings(self) -> list[object]:
        return termios.tcgetattr(self.slave)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for descriptor in (self.master, self.slave):
            os.close(descriptor)


@pytest.fixture
def run() -> object:
    terminals: list[Terminal] = []

    def start(*arguments: str, **how: Any) -> Terminal:
        terminals.append(Terminal(*arguments, **how))
        return terminals[-1]

    yield start
    for terminal in terminals:
        terminal.close()


Run = Callable[..., Terminal]


def assert_restored(terminal: Terminal, *, flushed: bool = False) -> None:
    """``flushed``: Ctrl-C was typed, at which a terminal throws away what it has not shown yet."""
    assert terminal.settings == terminal.before
    output = terminal.output
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l"), "the cursor stayed hidden"
    assert flushed or output.count("\x1b[?7l") == output.count("\x1b[?7h")
    assert output.rindex("\x1b[?7h") > output.rindex("\x1b[?7l")
    assert output.rindex("\x1b[?2004l") > output.rindex("\x1b[?2004h"), "pastes stay marked"


def test_quit_key_gives_the_terminal_back(run: Run) -> None:
    terminal = run("live")
    terminal.shows("REC 00:0")
    # Keys come at once, without an echo.
    terminal.until(lambda: terminal.settings != terminal.before)
    terminal.keys("q")
    assert terminal.ended() == 0
    assert_restored(terminal)


def test_ctrl_c_gives_the_terminal_back(run: Run) -> None:
    terminal = run("live", "0.3")
    terminal.shows("user speaking")
    terminal.keys("\x03")
    assert terminal.ended() == -signal.SIGINT
    assert "KeyboardInterrupt" in terminal.output
    assert_restored(terminal, flushed=True)


def test_exception_gives_the_terminal_back(run: Run) -> None:
    terminal = run("live", "1", COVO_FAKE_FAILURE="0.2")
    assert terminal.ended() == 1
    assert "RuntimeError: as asked" in terminal.output
    assert_restored(terminal)


def test_keys_and_resizing_while_it_runs(run: Run) -> None:
    terminal = run("live", FORCE_COLOR="1")
    terminal.shows("? help")
    terminal.keys("?")
    terminal.shows("push-to-talk: start")
    terminal.keys("?t")
    terminal.shows("type: ")
    terminal.keys("grüß dich")
    terminal.shows("grüß dich")
    pasted = "one\r\nq\r" + "two " * 400
    terminal.keys(f"\x1b[200~{pasted[:300]}")
    terminal.keys(f"{pasted[300:]}\x1b[201~.")
    terminal.shows("two two .")
    terminal.keys("\x01")
    terminal.shows("grüß dichone q two")
    terminal.keys("\r\x1b[200~q\r\x1b[201~")  # no key where nothing is typed
    terminal.output = ""
    terminal.resize(10, 20)
    terminal.shows("\n" + "─" * 20 + "\r\n")
    terminal.output = ""
    terminal.resize(30, 120)
    terminal.shows("─" * 120)
    terminal.keys("q")
    assert terminal.ended() == 0
    assert terminal.settings == terminal.before


@pytest.mark.parametrize("value", ["1", ""])
def test_no_color(run: Run, value: str) -> None:
    terminal = run("live", "0.05", NO_COLOR=value)
    for state in ("listening", "▶ user speaking", "◀ speaking"):
        terminal.shows(state)
    terminal.keys("q")
    assert terminal.ended() == 0
    codes = re.findall(r"\x1b\[([0-9;]*)m", terminal.output)
    coloured = [code for code in codes if {c[:1] for c in code.split(";") if len(c) > 1} & {*"349"}]
    assert bool(coloured) == (value == "")


def test_a_dumb_terminal_gets_lines(run: Run) -> None:
    terminal = run("auto", "0", TERM="dumb")
    assert terminal.ended() == 0
    assert "\x1b" not in terminal.output
    assert "you: What is the capital of Australia?" in terminal.output


def test_a_terminal_that_goes_ends_the_conversation(run: Run) -> None:
    terminal = run("live")
    terminal.shows("REC 00:0")
    os.close(terminal.slave)
    os.close(terminal.master)
    terminal.slave = os.open(os.devnull, os.O_RDWR)
    terminal.master = os.open(os.devnull, os.O_RDWR)
    assert terminal.process.wait(20) != 0


@pytest.mark.parametrize("mode", ["lines", "json"])
def test_a_reader_that_goes_ends_the_conversation(mode: str) -> None:
    command = f"{sys.executable} -m tests.fakes.screen_session {mode} 0 | head -n 2"
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert len(done.stdout.splitlines()) == 2
    assert "OutputClosed" in done.stderr


@pytest.mark.skipif(not SHELL, reason="needs bash")
def test_ctrl_z_and_fg_leave_keys_cursor_and_panel_as_before(run: Run) -> None:
    terminal = run("--norc", "-i", program=[SHELL], PS1="$ ")
    terminal.keys(f"{shlex.join(PROGRAM)} live 2\n")
    terminal.shows("q quit")
    terminal.keys("\x1a")
    terminal.shows("Stopped")
    stopped = terminal.plain[terminal.plain.rindex("q quit") :]
    assert stopped.count("\x1b[2K") >= 6, "the panel is still there"
    assert stopped.rindex("\x1b[?25h") > stopped.rfind("\x1b[?25l"), "the cursor is hidden"
    terminal.keys("stty -a\n")
    terminal.shows(" icanon")
    terminal.output = ""
    terminal.keys("fg\n")
    terminal.shows("q quit")
    before, _, _ = terminal.plain.partition("q quit")
    assert "\x1b[?25l" in before
    assert "\x1b[1A" not in before, "drew over what the shell has written"
    terminal.until(lambda: not icanon(terminal))
    terminal.keys("?")
    terminal.shows("push-to-talk: start")
    terminal.output = ""
    terminal.keys("q")
    terminal.shows("$ ")
    terminal.keys("stty -a\n")
    terminal.shows(" icanon")


def test_keys_come_at_once_again_after_a_sigstop(run: Run) -> None:
    terminal = run("live", "2")
    terminal.shows("q quit")
    terminal.until(lambda: not icanon(terminal))
    os.kill(terminal.process.pid, signal.SIGSTOP)
    termios.tcsetattr(terminal.slave, termios.TCSANOW, terminal.before)  # as a shell does
    drawn = terminal.plain.count("q quit")
    os.kill(terminal.process.pid, signal.SIGCONT)
    terminal.until(lambda: not icanon(terminal))
    terminal.until(lambda: terminal.plain.count("q quit") > drawn)
    terminal.keys("q")
    assert terminal.ended() == 0
    assert_restored(terminal)


def icanon(terminal: Terminal) -> bool:
    """Whether the terminal waits for Enter, as a shell wants it and the screen does not."""
    return bool(termios.tcgetattr(terminal.slave)[3] & termios.ICANON)
