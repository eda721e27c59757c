"""The demo: recorded questions go in as if spoken, one of them over an answer."""

from __future__ import annotations

from contextlib import ExitStack
from importlib import resources
from pathlib import Path

from rich.console import Console

from audio_io.files import FileSpeaker, read_audio
from covo_cli.program import program
from covo_cli.run_chat import Ends, hold
from covo_cli.scripted_user import Line, ScriptedUser
from covo_cli.settings import Settings
from model.clock import USER_RATE

SCRIPT = (
    ("australia.flac", "What is the capital of Australia?", None),
    ("exercise.flac", "Why is exercise good for me?", None),
    ("stop.flac", "Okay, stop. And what do bees make?", 3.5),
)
"""Recording, what it says, and after how many seconds of the answer before it is said."""


def run_demo(settings: Settings, *, paced: bool, as_json: bool) -> int:
    """Hold the demo's conversation; returns the exit code. Raises: the rooms' errors."""
    folder = Path(str(resources.files("covo_cli") / "demo_audio"))
    lines = [Line(read_audio(folder / name, USER_RATE), text, over) for name, text, over in SCRIPT]
    user = ScriptedUser(lines, paced=paced, name="three recorded questions")
    ends = Ends(
        user,
        FileSpeaker(None),
        real_time=paced,
        over=lambda busy: user.exhausted and not busy,
        listeners=(user,),
    )
    with ExitStack() as stack:
        code = hold(settings, ends, stack, as_json=as_json)
    if not as_json:
        covo = program()
        console = Console(highlight=False, soft_wrap=True)
        console.print(
            "\nThe questions were recordings of a synthetic voice; "
            "everything else happened just now."
            f"\nHear the conversation: [bold]{covo} sessions replay last --play[/]"
            f"\nTalk yourself:         [bold]{covo} chat[/]"
        )
    return code
