"""Sessions as rich shows them in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from covo_cli.process.text import clean, duration
from covo_cli.sessions.store import Session
from covo_cli.sessions.transcript import NAMES
from covo_cli.sessions.turns import Utterance

PIPE_WIDTH = 200
STYLES = {"user": "cyan", "assistant": "green"}


def console() -> Console:
    """Stdout; never narrow for a pipe, where a cut table is of no use to grep."""
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=PIPE_WIDTH)


def session_table(sessions: Iterable[Session], *, wide: bool) -> Table:
    """One row for each session; not ``wide``: without what ``covo sessions show`` tells as well."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Name", no_wrap=True)
    if wide:
        table.add_column("When", no_wrap=True)
    table.add_column("Length", justify="right", no_wrap=True)
    table.add_column("Turns", justify="right", no_wrap=True)
    if wide:
        table.add_column("Engine")
        table.add_column("Voice")
    table.add_column("State")
    now = datetime.now().astimezone()
    for session in sessions:
        when = [_when(session.info.started, now)]
        made_with = [str(session.info.engine.get("name", "")), ", ".join(session.voices)]
        row = (
            session.name,
            *(when if wide else ()),
            duration(session.duration),
            str(session.turn_count),
            *(made_with if wide else ()),
            session.state_text,
        )
        table.add_row(*(Text(clean(cell)) for cell in row))
    return table


def facts(session: Session) -> Text:
    """What the session was held with, one line for each fact."""
    lines = [
        Text.assemble((f"{what:<13} ", "dim"), clean(value) or "-")
        for what, value in _facts(session)
    ]
    return Text("\n").join(lines)


def spoken(utterance: Utterance, *, with_latency: bool = False) -> Text:
    """An utterance as a line, what was cut off marked; with its latency on a second one."""
    line = Text.assemble(
        (f"{duration(utterance.start)}  ", "dim"),
        (f"{NAMES[utterance.speaker]:<5}", f"bold {STYLES[utterance.speaker]}"),
        f" {clean(utterance.text)}".rstrip(),
    )
    if utterance.cut_off:
        line.append(f" [cut off: {clean(utterance.cut_off)}]", "dim")
    latency = utterance.latency
    if with_latency and latency is not None:
        parts = ", ".join(f"{part} {value:.2f}" for part, value in latency.parts.items())
        line.append(
            f"\n{'':13}after {latency.total:.2f} s" + (f" ({parts})" if parts else ""), "dim"
        )
    return line


def _facts(session: Session) -> Iterator[tuple[str, str]]:
    info = session.info
    yield "session", f"{session.name} ({session.state_text})"
    yield "folder", str(session.folder)
    yield "started", f"{info.started:%Y-%m-%d %H:%M:%S}"
    yield "length", f"{duration(session.duration)}, {session.turn_count} turns"
    yield "ended", info.end_reason
    yield "engine", str(info.engine.get("description") or info.engine.get("name", ""))
    parts = info.engine.get("parts")
    if isinstance(parts, dict):
        yield from ((f"  {part}", str(model)) for part, model in parts.items())
    yield "voice", ", ".join(session.voices)
    yield "microphone", info.input_device
    yield "speaker", info.output_device
    versions = (
        f"{name} {info.versions[name]}" for name in ("covo", "python") if name in info.versions
    )
    yield "versions", ", ".join(versions)


def _when(started: datetime, now: datetime) -> str:
    local = started.astimezone()
    days = (now.date() - local.date()).days
    if days in (0, 1):
        return f"{'today' if days == 0 else 'yesterday'} {local:%H:%M}"
    return f"{local.day} {local:%b %Y}"
