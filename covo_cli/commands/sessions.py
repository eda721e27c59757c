"""``covo sessions``: list, show, search, replay, export and delete recorded conversations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covo_cli.commands.common import (
    JsonFlag,
    YesFlag,
    chosen_speaker,
    print_json,
    require_yes,
    warn,
)
from covo_cli.errors import CliError, SessionError
from covo_cli.sessions.files import ExportFormat

if TYPE_CHECKING:
    from covo_cli.sessions.search import SearchHit
    from covo_cli.sessions.store import Session, SessionStore
    from covo_cli.sessions.transcript import TranscriptEntry

app = typer.Typer(
    no_args_is_help=True, help="List, show, search, replay, export and delete recordings."
)

_WIDE = 100
"""Terminal columns below which the list omits details shown by `covo sessions show`."""


def complete_session(incomplete: str) -> list[str]:
    """Return the names of sessions that begin with ``incomplete``, and "last"."""
    try:
        names = _store().names()
    except CliError:
        return []
    return [name for name in (*names, "last") if name.startswith(incomplete)]


_Name = Annotated[
    str,
    typer.Argument(
        metavar="SESSION",
        help="Name, its beginning, or last.",
        autocompletion=complete_session,
    ),
]


@app.command("list")
def list_sessions(as_json: JsonFlag = False) -> None:
    """List the recordings, newest first."""
    store = _store()
    sessions = store.list()
    if as_json:
        print_json([_summary(session) for session in sessions])
        return
    if not sessions:
        typer.echo(f"No sessions in {store.root} yet; start one with `covo chat`.")
        return
    from covo_cli.sessions.display import console, session_table

    out = console()
    out.print(session_table(sessions, wide=out.width >= _WIDE))


@app.command()
def show(name: _Name, as_json: JsonFlag = False) -> None:
    """Show a recording: its settings, and who said what."""
    session = _open(name)
    if as_json:
        from covo_cli.sessions.export import session_to_dict

        print_json(session_to_dict(session))
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
def search(
    words: Annotated[
        list[str],
        typer.Argument(metavar="WORDS...", help="Words, or beginnings; in quotes: in a row."),
    ],
    any_of_them: Annotated[
        bool, typer.Option("--any", help="Any of the words, instead of all in one utterance.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Find what was said in the recordings, newest first.

    Case and accents do not matter. Exits with 1 if nothing is found.
    """
    from covo_cli.sessions import search as searching

    store = _store()
    hits = list(searching.search(store.list(), words, any if any_of_them else all))
    if as_json:
        print_json([_found(hit) for hit in hits])
    else:
        from covo_cli.sessions.display import console, found_lines

        out = console()
        for line in found_lines(hits, out.width):
            out.print(line, no_wrap=True, overflow="ellipsis")
    if not hits:
        shown = ", ".join(map(repr, words))
        raise SessionError(f"nobody said {shown} in any session in {store.root}")


@app.command()
def replay(
    name: _Name,
    speed: Annotated[float, typer.Option(min=0.1, max=100, help="Playback speed.")] = 1.0,
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Start at TIME: seconds or m:ss.")
    ] = "0",
    play: Annotated[bool, typer.Option("--play", help="Play the recorded sound, too.")] = False,
) -> None:
    """Replay a recording in time."""
    from covo_cli.sessions.display import console, spoken
    from covo_cli.sessions.replay import play_in_time, print_in_time

    begin = _time(start)
    if play and speed != 1.0:
        raise SessionError("--play always runs at the recorded speed; leave out --speed")
    session = _open(name)
    if begin > session.duration:
        raise SessionError(f"session {session.name} is only {session.duration:.1f} s long")
    out = console()

    def show_line(utterance: TranscriptEntry) -> None:
        out.print(spoken(utterance))

    if not play:
        print_in_time(session.transcript, show_line, start=begin, speed=speed)
        return
    from covo_cli.sessions.audio import mixed

    sound = mixed(session.folder)
    speaker = chosen_speaker()
    try:
        speaker.start()
        play_in_time(session.transcript, show_line, sound, speaker, start=begin, warn=warn)
    finally:
        speaker.close()


@app.command()
def export(
    name: _Name,
    kind: Annotated[
        ExportFormat,
        typer.Option("--format", "-f", help="Markdown, subtitles, JSON, or sound mixed to mono."),
    ] = ExportFormat.MARKDOWN,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File, or - for stdout. Default: SESSION.FORMAT."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Export a recording to another format."""
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
            help="Names, their beginnings, or last.",
            autocompletion=complete_session,
        ),
    ],
    yes: YesFlag = False,
) -> None:
    """Delete recordings."""
    store = _store()
    chosen = list(dict.fromkeys(store.find(name).name for name in names))
    require_yes(f"Delete {', '.join(chosen)}?", yes=yes)
    for name in chosen:
        store.delete(name)
        typer.echo(f"Deleted {name}")


def _store() -> SessionStore:
    from covo_cli.sessions.store import SessionStore
    from covo_cli.settings.settings import load_settings, sessions_dir

    return SessionStore(sessions_dir(load_settings()))


def _open(name: str) -> Session:
    """Open a session, printing its warnings on stderr."""
    session = _store().open(name)
    for warning in session.warnings:
        warn(warning)
    return session


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


def _found(hit: SearchHit) -> dict[str, object]:
    return {
        "session": hit.session.name,
        "started": hit.session.info.started.isoformat(),
        "speaker": hit.entry.who.value,
        "start": round(hit.entry.start_s, 3),
        "end": round(hit.entry.end_s, 3),
        "text": hit.text,
        "matches": [list(place) for place in hit.places],
    }


def _time(text: str) -> float:
    """Convert ``text`` ("90", "1:30", "1:02:03.5") to seconds. Raises: SessionError."""
    import math

    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or not all(math.isfinite(part) and part >= 0 for part in parts):
        raise SessionError(f"--from cannot be {text!r}: give seconds or m:ss")
    total = 0.0
    for part in parts:
        total = total * 60 + part
    return total
