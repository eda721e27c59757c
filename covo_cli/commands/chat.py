"""``covo chat`` and ``covo demo``: have a spoken conversation."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covo_cli.commands.common import EventsFlag, warn
from covo_cli.commands.sessions import complete_session
from covo_cli.commands.voices import complete_voice
from covo_cli.errors import CliError
from covo_cli.settings.flags import for_every_engine, with_flags

if TYPE_CHECKING:
    from covo_cli.sessions.continuing import ContinuedSession
    from covo_cli.settings.settings import Settings

_FLAGS = {
    "Engine": (
        *("engine.name", "covo.model", "covo.precision", "covo.device"),
        *("covo.voice_prompt_seconds", "covo.text_only"),
        *("voice.name", "voice.speed", "voice.pitch", "voice.loudness"),
        *("chat.model", "chat.url", "chat.persona", "tools.enabled"),
        *("remote.url", "remote.token_file"),
    ),
    "Audio": (
        *("audio.input", "audio.output", "audio.echo_cancellation"),
        *("hearing.language", "hearing.model", "turns.barge_in", "turns.only_user"),
        *("turns.backchannels", "turns.patience", "turns.silence"),
    ),
    "Session": ("session.record",),
}
_FILES = "Files instead of a sound card"


class Pace(StrEnum):
    """How fast an input file is played."""

    REAL = "real"
    FAST = "fast"


@with_flags(_FLAGS, {"voice.name": complete_voice})
def chat(
    flags: Mapping[str, object],
    input_file: Annotated[
        Path | None,
        typer.Option("--input", "-i", help="Sound file as microphone.", rich_help_panel=_FILES),
    ] = None,
    output_file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Sound file for the replies, in time with the input.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    output_rate: Annotated[
        int,
        typer.Option(help="Sample rate of --output: 24000 or 16000.", rich_help_panel=_FILES),
    ] = 24_000,
    pace: Annotated[
        Pace,
        typer.Option(
            help="Real time, or as fast as possible; latencies stay true.", rich_help_panel=_FILES
        ),
    ] = Pace.REAL,
    continues: Annotated[
        bool,
        typer.Option(
            "--continue",
            help="Take up SESSION (default: last) where it ended, with its voice, persona and "
            "language.",
            rich_help_panel="Session",
        ),
    ] = False,
    session: Annotated[
        str | None,
        typer.Argument(
            metavar="[SESSION]",
            help="With --continue: name, its beginning, or last.",
            autocompletion=complete_session,
            show_default=False,
        ),
    ] = None,
    as_json: EventsFlag = False,
) -> None:
    """Talk with the assistant.

    Speak, and it answers aloud; speak over it to interrupt. Keys: m mute, space push-to-talk, i
    interrupt, v next voice, V choose a voice, n new speaker, t type, ? help, q quit.
    """
    if output_file is not None and input_file is None:
        raise CliError("--output needs --input; live conversations are recorded anyway")
    if output_rate not in (16_000, 24_000):
        raise CliError(f"--output-rate cannot be {output_rate}: it must be 16000 or 24000")
    if _same(input_file, output_file):
        raise CliError(f"{output_file} is the --input: name another file for the replies")

    if session is not None and not continues:
        raise CliError(f"{session} goes with --continue: covo chat --continue {session}")

    from covo_cli.conversation.ends import FilePair
    from covo_cli.conversation.run_chat import run_chat
    from covo_cli.settings.settings import FILE_INPUT, load_settings

    flags = for_every_engine(flags)
    defaults = FILE_INPUT if input_file else None
    settings = load_settings(flags, defaults)
    continued = None
    if continues:
        continued = _to_continue(session or "last", settings, flags)
        settings = load_settings(flags, defaults, continued.held_with)
    files = None
    if input_file is not None:
        files = FilePair(input_file, output_file, output_rate, paced=pace is Pace.REAL)
    raise typer.Exit(run_chat(settings, files, as_json=as_json, continued=continued))


@with_flags(["session.record"])
def demo(
    flags: Mapping[str, object],
    pace: Annotated[Pace, typer.Option(help="Real time, or as fast as possible.")] = Pace.REAL,
    as_json: EventsFlag = False,
) -> None:
    """Hold a short conversation with recorded questions.

    It has three turns and needs no sound card or microphone.
    """
    from covo_cli.conversation.demo import run_demo
    from covo_cli.settings.settings import FILE_INPUT, load_settings

    settings = load_settings(flags, FILE_INPUT)
    raise typer.Exit(run_demo(settings, paced=pace is Pace.REAL, as_json=as_json))


def _to_continue(query: str, settings: Settings, flags: Mapping[str, object]) -> ContinuedSession:
    """Open the session to continue, printing its warnings on stderr. Raises: SessionError."""
    from covo_cli.sessions.continuing import take_up
    from covo_cli.sessions.store import SessionStore
    from covo_cli.settings.settings import sessions_dir, voices_dir
    from voices.store import VoiceStore

    given = {key for key, value in flags.items() if value is not None}
    store, voices = SessionStore(sessions_dir(settings)), VoiceStore(voices_dir()).names()
    continued = take_up(store, query, given, voices)
    for warning in continued.warnings:
        warn(warning)
    return continued


def _same(one: Path | None, other: Path | None) -> bool:
    """Return whether both paths are given and name the same existing file."""
    try:
        return bool(one and other and one.samefile(other))
    except OSError:  # one is missing, or out of reach
        return False
