"""Build a conversation from the settings, hold it, and close everything in bounded time."""

from __future__ import annotations

import logging
import statistics
import sys
import time
from contextlib import ExitStack, nullcontext
from functools import partial
from types import TracebackType

from rich.text import Text

from audio_io.clock import seconds
from audio_io.levels import FLOOR_DB, measure
from audio_io.worker import Worker
from covo_cli.conversation.clock_watch import ClockWatch
from covo_cli.conversation.consumer import Tick
from covo_cli.conversation.conversation import Conversation
from covo_cli.conversation.ends import Ends, FilePair, advice, file_ends, live_ends
from covo_cli.conversation.heap import HeapTrimmer
from covo_cli.conversation.stopping import HUNG_UP, requests, told_of
from covo_cli.engines.engines import EngineChoice, build_engine, choose_engine, voices_to_choose
from covo_cli.engines.own_tools import build_tools
from covo_cli.errors import SettingsError, message_for
from covo_cli.process.interrupt import not_within_imports
from covo_cli.process.leaving import EXIT_ERROR, EXIT_INTERRUPTED, QUIT_S, leave_within
from covo_cli.process.log import native_log_path
from covo_cli.process.native import (
    python_stderr_off_terminal,
    return_free_memory,
    send_native_stderr_to,
)
from covo_cli.process.program import program
from covo_cli.process.terminal import PlainConsole
from covo_cli.process.text import clean
from covo_cli.screen import choose_mode, make_screen
from covo_cli.screen.job_control import job_control
from covo_cli.screen.keyboard import Keyboard
from covo_cli.screen.keys import KeyMachine
from covo_cli.screen.live import TERMINAL_GONE
from covo_cli.screen.view import ConversationInfo
from covo_cli.screen.words import latency_line
from covo_cli.sessions.continuing import ContinuedSession
from covo_cli.sessions.recorder import SessionMeta, SessionRecorder, check_recordable
from covo_cli.settings.settings import Settings, sessions_dir
from covo_cli.welcome.found_servers import with_found_server
from covo_cli.welcome.offer import with_weights
from model.engine import Engine, Remember
from model.events import Notice, ReplyStarted, TurnLatency, UserTranscript
from model.secrets import without_secrets
from model.tools.toolbox import Toolbox

SLOW_LOAD_S = 10.0
"""Seconds of loading after which its stages are told where there is no terminal."""

log = logging.getLogger(__name__)


def run_chat(
    settings: Settings,
    files: FilePair | None,
    *,
    as_json: bool,
    continued: ContinuedSession | None = None,
) -> int:
    """Hold a conversation; return the exit code, 1 if a part failed.

    ``continued``: the session that it goes on from. Raises: the rooms' errors when it cannot begin
    or breaks off; what was recorded is kept.
    """
    with ExitStack() as stack:
        send_native_stderr_to(native_log_path())
        ends = file_ends(files, settings) if files else live_ends(settings)
        return run_conversation(settings, ends, stack, as_json=as_json, continued=continued)


def run_conversation(
    settings: Settings,
    ends: Ends,
    stack: ExitStack,
    *,
    as_json: bool,
    continued: ContinuedSession | None = None,
) -> int:
    """Hold a conversation between ``ends``; return the exit code. ``stack`` closes everything."""
    stack.enter_context(not_within_imports())
    stack.callback(ends.close)
    if settings.session.record:
        check_recordable(sessions_dir(settings))
    if not ends.live:
        ends.start()  # cheap and likely to fail: before the engine is loaded
    choice = choose_engine(settings)
    settings = with_found_server(settings, choice.name, ask=not as_json)
    # Tools are used in the conversation, which begins after the recorder.
    tools = build_tools(settings, choice.name, lambda: recorder.folder if recorder else None)
    engine = _build(settings, choice, tools, stack, real_time=ends.real_time, ask=not as_json)
    stack.callback(ends.close)  # before the engine's, so that the sound stops at once
    stack.push(_limit_closing)
    if continued and Remember.__name__ in engine.info.lacks:
        raise SettingsError(
            f"the engine {choice.name} cannot take up a conversation: its history is sound; drop "
            "--continue, or use another --engine"
        )
    _load(engine, choice.reason)
    if ends.live:
        ends.start()
        if words := advice(settings):
            PlainConsole(stderr=True).print(words)
    if continued:
        PlainConsole(stderr=True).print(continued.summary)

    report = _Report()
    recorder = _recorder(settings, engine, ends, continued.name if continued else "")
    voices = voices_to_choose(settings, choice)
    keys = KeyMachine(tuple(voices), engine.info.voice)
    mode = choose_mode(as_json)
    info = ConversationInfo(
        engine=engine.info.name,
        voice=engine.info.voice,
        microphone=ends.microphone.status.device,
        speaker=ends.speaker.status.device,
        recording=str(recorder.folder) if recorder else "",
        voices=voices,
    )
    log.info("microphone %s; speaker %s", info.microphone, info.speaker)
    screen = make_screen(mode, info, lambda: keys.state, real_time=ends.real_time)
    recorders = [recorder] if recorder is not None else []
    conversation = Conversation(
        ends.microphone,
        ends.speaker,
        engine,
        [*ends.listeners, report, *recorders, keys, screen, HeapTrimmer()],
        echo=ends.echo,
        over=ends.over,
        watch=ClockWatch() if ends.real_time else None,
    )
    for command in continued.commands() if continued else ():
        conversation.send(command)
    try:
        with (
            python_stderr_off_terminal() if mode == "live" else nullcontext(),
            requests(conversation, stack, real_time=ends.real_time) as send,
            job_control(keyboard := Keyboard(keys, send), screen),
            screen,
            keyboard,
        ):
            conversation.run()
    finally:
        reason = conversation.reason or told_of(sys.exception())
        log.info("the conversation ended after %.1f s: %s", seconds(conversation.at), reason)
        if recorder is not None:
            recorder.close(without_secrets(reason))
        if not ends.live:
            ends.close()  # complete the output file, however long that takes
    code = EXIT_ERROR if conversation.failures or report.nothing_answered else 0
    leave_within(QUIT_S, code)  # from here on: a terminal may take no more output
    if conversation.reason not in (TERMINAL_GONE, HUNG_UP):
        if not as_json:
            _farewell(report, recorder, ends)
        _tell_pending(tools, PlainConsole(stderr=as_json, wide=True))
    return code


def _build(
    settings: Settings,
    choice: EngineChoice,
    tools: Toolbox | None,
    stack: ExitStack,
    *,
    real_time: bool,
    ask: bool,
) -> Engine:
    """Build the engine; ``stack`` closes it, and the ``tools`` also if it never comes to be."""
    if tools is not None:
        stack.callback(tools.close)
    build = partial(build_engine, settings, real_time=real_time, choice=choice, tools=tools)
    engine = with_weights(build, settings, ask=ask)
    stack.callback(engine.close)
    return engine


def _recorder(
    settings: Settings, engine: Engine, ends: Ends, continues: str
) -> SessionRecorder | None:
    if not settings.session.record:
        return None
    devices = ends.microphone.status.device, ends.speaker.status.device
    meta = SessionMeta(engine.info, *devices, settings=settings.record(), continues=continues)
    return SessionRecorder(sessions_dir(settings), meta)


def _load(engine: Engine, reason: str) -> None:
    """Load the engine and show on stderr what is loaded and why. Ctrl-C works at any moment.

    Without a terminal, stages are only told once loading takes long.
    """
    console = PlainConsole(stderr=True)
    info = engine.info
    name = Text(info.name, "bold")
    begun, told = time.monotonic(), set[str]()
    console.print(Text.assemble("Engine ", name, f" ({reason}): {info.description}"))
    with console.status("Loading") if console.is_terminal else nullcontext() as status:

        def show(stage: str) -> None:
            shown = f"{stage[:1].upper()}{stage[1:]} ..."
            what = stage.rpartition(":")[0] or stage
            if status is not None:
                status.update(shown)
            elif what not in told and time.monotonic() - begun >= SLOW_LOAD_S:
                told.add(what)
                console.print(shown)

        loading = Worker(lambda: engine.warm_up(show), "load")
        loading.start()
        while loading.is_alive():
            loading.join(1.0)
    if loading.failure is not None:
        raise loading.failure
    return_free_memory()
    info = engine.info
    parts = "; ".join(f"{part}: {name}" for part, name in info.parts.items())
    log.info("engine %s, voice %s, on %s: %s", info.name, info.voice, info.device, parts)


def _limit_closing(
    kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
) -> None:
    """After an error, limit the closing to :data:`QUIT_S`: a model may be busy, a device hang."""
    if isinstance(error, KeyboardInterrupt):
        leave_within(QUIT_S, EXIT_INTERRUPTED)
    elif error is not None:
        leave_within(QUIT_S, EXIT_ERROR, lambda: message_for(error))


class _Report:
    """A consumer that keeps how long the user waited for each reply, and what failed."""

    def __init__(self) -> None:
        self.turns: list[TurnLatency] = []
        self._peak = FLOOR_DB
        self._words = False
        self._replies = 0
        self._errors = 0

    @property
    def nothing_answered(self) -> bool:
        """Whether turns failed and none was answered."""
        return self._errors > 0 and self._replies == 0

    def on_tick(self, tick: Tick) -> None:
        """Keep the frame's latencies and level, and count its replies and errors."""
        self._peak = max(self._peak, measure(tick.user).peak)
        for event in tick.events:
            match event:
                case UserTranscript():
                    self._words = True
                case TurnLatency():
                    self.turns.append(event)
                case ReplyStarted():
                    self._replies += 1
                case Notice(level="error"):
                    self._errors += 1

    def lines(self) -> list[str]:
        """Return one line per turn, then the median of several; or that there was nothing."""
        if not (self._words or self._replies or self._errors):
            return [f"No speech was heard; the loudest sound had {self._peak:.0f} dBFS."]
        lines = [f"  turn {turn.turn}: {latency_line(turn)}" for turn in self.turns]
        if lines:
            lines.insert(0, "From the end of your speech to the first sound of the reply:")
        if len(self.turns) > 1:
            median = statistics.median(turn.total for turn in self.turns)
            lines.append(f"  median of {len(self.turns)}: {median:.2f} s")
        return lines


def _tell_pending(tools: Toolbox | None, console: PlainConsole) -> None:
    """Tell which timers end with the conversation."""
    if tools is not None and (pending := tools.timers.describe()):
        console.print(clean(f"Timers that will not ring any more: {'; '.join(pending)}"))


def _farewell(report: _Report, recorder: SessionRecorder | None, ends: Ends) -> None:
    console = PlainConsole(wide=True)
    for line in report.lines():
        console.print(line)
    gaps = ends.speaker.status.gaps
    dropped = ends.microphone.status.dropped
    if gaps:
        console.print(f"Gaps heard in the replies: {gaps}.")
    if dropped:
        console.print(f"Audio was lost: {dropped} samples of the microphone.")
    if recorder is not None:
        console.print(f"Recorded in {recorder.folder}")
        console.print(f"Show it with: {program()} sessions show last")
