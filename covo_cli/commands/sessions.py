"""``covo sessions``: the recorded conversations, found again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covo_cli.errors import CliError, SessionError
from covo_cli.sessions.files import ExportFormat

if TYPE_CHECKING:
    from covo_cli.sessions.store import Session, SessionStore
    from covo_cli.sessions.transcript import TranscriptEntry

app = typer.Typer(
    no_args_is_help=True,
    help="The recorded conversations: list, show, replay, export and delete them.",
)

_WIDE = 100
"""Columns below which the list leaves out what `covo sessions show` tells as well."""


def _complete_name(incomplete: str) -> list[str]:
    try:
        names = _store().names()
    except CliError:  # the shell's prompt is no place to say it
        return []
    return [name for name in (*names, "last") if name.startswith(incomplete)]


_Name = Annotated[
    str,
    typer.Argument(
        metavar="SESSION",
        help="Its name, the beginning of it, or [bold]last[/].",
        autocompletion=_complete_name,
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_sessions(as_json: _Json = False) -> None:
    """List the conversations, newest first."""
    store = _store()
    sessions = store.list()
    if as_json:
        typer.echo(json.dumps([_summary(session) for session in sessions], indent=2))
        return
    if not sessions:
        typer.echo(f"No sessions in {store.root} yet: hold a conversation with `covo chat`.")
        return
    from covo_cli.sessions.display import console, session_table

    out = console()
    out.print(session_table(sessions, wide=out.width >= _WIDE))


@app.command()
def show(name: _Name, as_json: _Json = False) -> None:
    """Show a conversation: what it was held with, and who said what."""
    session = _open(name)
    if as_json:
        from covo_cli.sessions.export import session_to_dict

        typer.echo(json.dumps(session_to_dict(session), indent=2, ensure_ascii=False))
        return
    from covo_cli.sessions.display import console, facts, spoken

    out = console()
    out.print(facts(session))
    out.print()
    for utterance in session.transcript:
        out.print(spoken(utterance, with_latency=True))
    if not session.transcript:
        out.print("Nothing was said.")


@app.command()
def replay(
    name: _Name,
    speed: Annotated[float, typer.Option(min=0.1, max=100, help="How many times as fast.")] = 1.0,
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Begin at TIME: seconds, or m:ss.")
    ] = "0",
    play: Annotated[bool, typer.Option("--play", help="Play the sound as well.")] = False,
) -> None:
    """Print a conversation in time, as it went; with --play, hear it too."""
    from covo_cli.sessions.display import console, spoken
    from covo_cli.sessions.replay import play_in_time, print_in_time

    begin = _time(start)
    if play and speed != 1.0:
        raise SessionError("--play keeps to the speed of the recording: leave out --speed")
    session = _open(name)
    if begin > session.duration:
        raise SessionError(f"session {session.name} is only {session.duration:.1f} s long")
    out = console()

    def show_line(utterance: TranscriptEntry) -> None:
        out.print(spoken(utterance))

    if not play:
        print_in_time(session.transcript, show_line, start=begin, speed=speed)
        return
    from audio_io.live.speaker import LiveSpeaker
    from covo_cli.sessions.audio import mixed
    from covo_cli.settings.settings import load_settings

    sound = mixed(session.folder)
    speaker = LiveSpeaker(load_settings().audio.output)
    try:
        speaker.start()
        play_in_time(session.transcript, show_line, sound, speaker, start=begin, warn=_warn)
    finally:
        speaker.close()


@app.command()
def export(
    name: _Name,
    kind: Annotated[
        ExportFormat,
        typer.Option(
            "--format", "-f", help="Markdown, subtitles, JSON, or the sound mixed to mono."
        ),
    ] = ExportFormat.MARKDOWN,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Where to; - is the terminal. Default: SESSION.FORMAT, here."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write a conversation in a format of other programs."""
    from covo_cli.sessions.export import export_file, export_text

    session = _open(name)
    if output == Path("-"):
        typer.echo(export_text(session, kind), nl=False)
        return
    target = output or Path(f"{session.name}.{kind}")
    export_file(session, kind, target, overwrite=force)
    typer.echo(f"Wrote {target}")


@app.command()
def delete(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="SESSION...",
            help="Names, beginnings of them, or [bold]last[/].",
            autocompletion=_complete_name,
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete conversations for good."""
    store = _store()
    chosen = list(dict.fromkeys(store.find(name).name for name in names))
    if not yes:
        typer.confirm(f"Delete {', '.join(chosen)} for good?", abort=True)
    for name in chosen:
        store.delete(name)
        typer.echo(f"Deleted {name}")


def _store() -> SessionStore:
    from covo_cli.sessions.store import SessionStore
    from covo_cli.settings.settings import load_settings, sessions_dir

    return SessionStore(sessions_dir(load_settings()))


def _open(name: str) -> Session:
    """The session, with its warnings said on stderr."""
    session = _store().open(name)
    for warning in session.warnings:
        _warn(warning)
    return session


def _warn(message: str) -> None:
    typer.echo(f"covo: warning: {message}", err=True)


def _summary(session: Session) -> dict[str, object]:
    return {
        "name": session.name,
        "folder": str(session.folder),
        "started": session.info.started.isoformat(),
        "seconds": round(session.duration, 3),
        "turns": session.turn_count,
        "engine": session.info.engine.get("name", ""),
        "voices": list(session.info.voices),
        "state": session.state.value,
        "warnings": list(session.warnings),
    }


def _time(text: str) -> float:
    """``text`` ("90", "1:30", "1:02:03.5") in seconds. Raises: SessionError."""
    import math

    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or not all(math.isfinite(part) and part >= 0 for part in parts):
        raise SessionError(f"--from {text}: give seconds, or m:ss")
    total = 0.0
    for part in parts:
        total = total * 60 + part
    return total
