"""Run the demo: three recorded questions, the last one spoken over a reply."""

from __future__ import annotations

from contextlib import ExitStack
from importlib import resources
from pathlib import Path

from rich.text import Text

from audio_io.clock import USER_RATE
from audio_io.file_ends import FileSpeaker
from audio_io.files import read_audio
from covo_cli.conversation.ends import Ends
from covo_cli.conversation.run_chat import run_conversation
from covo_cli.process.log import native_log_path
from covo_cli.process.native import send_native_stderr_to
from covo_cli.process.program import program
from covo_cli.process.terminal import PlainConsole
from covo_cli.settings.settings import Settings
from covo_cli.simulation.scripted_user import REST, Line, ScriptedUser, Start, StartRule

SCRIPT = (
    ("australia.flac", "What is the capital of Australia?", Start(StartRule.AFTER_REPLY, REST)),
    ("exercise.flac", "Why is exercise good for me?", Start(StartRule.AFTER_REPLY, REST)),
    ("stop.flac", "Okay, stop. And what do bees make?", Start(StartRule.DURING_REPLY, 3.5)),
)
"""Recording, its words, and when it is said."""


def run_demo(settings: Settings, *, paced: bool, as_json: bool) -> int:
    """Hold the demo's conversation; return the exit code. Raises: the rooms' errors."""
    folder = Path(str(resources.files("covo_cli") / "demo_audio"))
    lines = [
        Line(read_audio(folder / name, USER_RATE), text, start) for name, text, start in SCRIPT
    ]
    user = ScriptedUser(lines, paced=paced, name="three recorded questions")
    ends = Ends(
        user,
        FileSpeaker(None),
        real_time=paced,
        over=lambda busy: user.exhausted and not busy,
        listeners=(user,),
    )
    send_native_stderr_to(native_log_path())
    with ExitStack() as stack:
        code = run_conversation(settings, ends, stack, as_json=as_json)
    if not as_json:
        covo = program()
        console = PlainConsole(wide=True)
        console.print(
            "\nThe questions were recordings of a synthetic voice; "
            "everything else was computed just now."
        )
        if settings.session.record:
            command = Text(f"{covo} sessions replay last --play", "bold")
            console.print(Text("Hear the conversation: ").append_text(command))
        console.print(Text("Talk yourself:         ").append(f"{covo} chat", "bold"))
    return code
