"""Builds a conversation from the settings, holds it, and puts everything back in its place."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console

from audio_io.echo import EchoCanceller
from audio_io.endpoints import Microphone, Speaker
from audio_io.file_endpoints import FileMicrophone, FileSpeaker
from audio_io.live.devices import PortAudio, find_device
from audio_io.live.microphone import LiveMicrophone
from audio_io.live.speaker import LiveSpeaker
from covo_cli.conversation.consumer import Consumer
from covo_cli.conversation.conversation import Conversation, Echo, Ending
from covo_cli.conversation.latency import LatencyReport
from covo_cli.conversation.request import Quit
from covo_cli.engines.engines import build_engine, choose_engine, voice_names
from covo_cli.process.interrupt import not_within_imports
from covo_cli.process.native_stderr import native_stderr_into
from covo_cli.process.program import program
from covo_cli.screen import choose_mode, make_screen
from covo_cli.screen.keyboard import Keyboard
from covo_cli.screen.keys import KeyMachine
from covo_cli.screen.view import ConversationInfo
from covo_cli.sessions.recorder import SessionMeta, SessionRecorder
from covo_cli.settings.settings import Settings, data_dir, sessions_dir
from model.engine import Engine, EngineInfo


@dataclass(frozen=True, slots=True)
class FilePair:
    """File mode: ``input`` is the person speaking, ``output`` (or None) gets the answers, at
    ``rate`` Hz. ``paced``: in real time."""

    input: Path
    output: Path | None
    rate: int
    paced: bool


@dataclass(frozen=True, slots=True)
class Ends:
    """A conversation's two ends, opened.

    ``live``: a person at a sound card. ``over``: see
    :class:`~covo_cli.conversation.conversation.Conversation`. ``listeners``: ends that need to be
    told what happens.
    """

    microphone: Microphone
    speaker: Speaker
    real_time: bool
    live: bool = False
    echo: Echo | None = None
    over: Callable[[bool], bool] = lambda busy: False
    listeners: Sequence[Consumer] = ()


def run_chat(settings: Settings, files: FilePair | None, *, as_json: bool) -> int:
    """Hold a conversation; returns the exit code, 1 if something was lost on the way.

    Raises: the rooms' errors, when it cannot begin or breaks off. What was recorded is kept.
    """
    with ExitStack() as stack:
        ends = _file_ends(files, settings) if files else _live_ends(settings)
        return hold(settings, ends, stack, as_json=as_json)


def hold(settings: Settings, ends: Ends, stack: ExitStack, *, as_json: bool) -> int:
    """Hold a conversation between ``ends``; ``stack`` closes everything when it is left."""
    stack.enter_context(not_within_imports())
    stack.callback(ends.speaker.close)
    stack.callback(ends.microphone.close)
    if not ends.live:
        # Cheap and likely to fail: before the engine is loaded.
        _start(ends)
    choice = choose_engine(settings)
    engine = build_engine(settings, real_time=ends.real_time, choice=choice)
    stack.callback(engine.close)
    _warm_up(engine, choice.reason)
    if ends.live:
        _start(ends)
        for line in _advice(settings):
            Console(stderr=True).print(line, highlight=False)

    latency = LatencyReport()
    consumers: list[Consumer] = [*ends.listeners, latency]
    recorder = _recorder(settings, ends, engine.info)
    if recorder is not None:
        consumers.append(recorder)
    info = ConversationInfo(
        engine=engine.info.name,
        voice=engine.info.voice,
        microphone=ends.microphone.status.device,
        speaker=ends.speaker.status.device,
        recording=str(recorder.folder) if recorder else "",
    )
    keys = KeyMachine(voice_names(settings, choice), engine.info.voice)
    mode = choose_mode(as_json)
    screen = make_screen(mode, info, lambda: keys.state)
    if mode == "live":
        stack.enter_context(native_stderr_into(data_dir() / "stderr.log"))
    conversation = Conversation(
        ends.microphone,
        ends.speaker,
        engine,
        [*consumers, keys, screen],
        echo=ends.echo,
        over=ends.over,
    )
    ending = Ending.ERROR
    try:
        with _signals(conversation), screen, Keyboard(keys, conversation.send):
            ending = conversation.run()
    finally:
        if recorder is not None:
            recorder.close(ending.value)
    if not as_json:
        _farewell(latency, recorder, ends)
    return 1 if conversation.failures else 0


def _file_ends(files: FilePair, settings: Settings) -> Ends:
    microphone = FileMicrophone(files.input, files.paced)
    return Ends(
        microphone,
        FileSpeaker(files.output, files.rate),
        real_time=files.paced,
        echo=EchoCanceller() if settings.audio.echo_cancellation else None,
        over=lambda busy: microphone.exhausted and not busy,
    )


def _live_ends(settings: Settings) -> Ends:
    backend = PortAudio()
    # A missing device is said now, not after the engine was loaded.
    find_device(backend.devices(), settings.audio.input, "input")
    find_device(backend.devices(), settings.audio.output, "output")
    return Ends(
        LiveMicrophone(settings.audio.input, backend),
        LiveSpeaker(settings.audio.output, backend),
        real_time=True,
        live=True,
        echo=EchoCanceller() if settings.audio.echo_cancellation else None,
    )


def _advice(settings: Settings) -> list[str]:
    """What a person at open loudspeakers should know before a live conversation."""
    if not settings.turns.barge_in:
        return ["While covo speaks it does not listen (--no-barge-in): key i interrupts it."]
    if not settings.audio.echo_cancellation:
        return [
            "Echo cancellation is off: use headphones, or --no-barge-in, or covo will hear itself."
        ]
    if not sessions_dir(settings).exists():
        return ["Loudspeakers work; with headphones covo hears you better while it speaks."]
    return []


def _start(ends: Ends) -> None:
    ends.speaker.start()
    ends.microphone.start()


def _warm_up(engine: Engine, reason: str) -> None:
    """Load the engine, saying on stderr what is loaded, and what is used and why."""
    console = Console(stderr=True)
    info = engine.info
    console.print(f"Engine [bold]{info.name}[/] ({reason}): {info.description}", highlight=False)
    if console.is_terminal:
        with console.status("Loading") as status:
            engine.warm_up(lambda stage: status.update(f"{stage[:1].upper()}{stage[1:]} ..."))
    else:
        engine.warm_up(lambda stage: None)


def _recorder(settings: Settings, ends: Ends, info: EngineInfo) -> SessionRecorder | None:
    if not settings.session.record:
        return None
    meta = SessionMeta(
        info, ends.microphone.status.device, ends.speaker.status.device, settings=settings.record()
    )
    return SessionRecorder(sessions_dir(settings), meta)


@contextmanager
def _signals(conversation: Conversation) -> Iterator[None]:
    """Ctrl-C and a polite kill end the conversation at its next frame; a second Ctrl-C at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        conversation.send(Quit())

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _farewell(latency: LatencyReport, recorder: SessionRecorder | None, ends: Ends) -> None:
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    for line in latency.lines():
        console.print(line)
    starved = ends.speaker.status.starved
    dropped = ends.microphone.status.dropped
    if starved or dropped:
        console.print(f"Sound was lost: {starved} gaps in replies, {dropped} samples not heard.")
    if recorder is not None:
        console.print(f"Recorded in {recorder.folder}")
        console.print(f"Show it with: {program()} sessions show last")
