"""Sessions in a terminal, drawn with rich."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from covo_cli.process.terminal import PlainConsole
from covo_cli.process.text import clean, duration, when
from covo_cli.sessions.search import SearchHit
from covo_cli.sessions.store import Session
from covo_cli.sessions.transcript import NAMES, TranscriptEntry, Who

PIPE_WIDTH = 200
ALL_COLUMNS = ("Name", "When", "Length", "Turns", "Engine", "Voice", "State")
NARROW_COLUMNS = ("Name", "Length", "Turns", "State")
STYLES = {Who.USER: "cyan", Who.ASSISTANT: "green", Who.TOOL: "yellow"}


def console() -> PlainConsole:
    """Return a console on stdout; wide for a pipe, so that grep finds whole lines."""
    terminal = PlainConsole()
    return terminal if terminal.is_terminal else PlainConsole(width=PIPE_WIDTH)


def session_table(sessions: Iterable[Session], *, wide: bool) -> Table:
    """Return a row for each session; unless ``wide``, only the columns to tell them apart."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    shown = ALL_COLUMNS if wide else NARROW_COLUMNS
    for title in shown:
        right = title in ("Length", "Turns")
        fixed = right or title in ("Name", "When")
        table.add_column(title, justify="right" if right else "left", no_wrap=fixed)
    now = datetime.now().astimezone()
    for session in sessions:
        row = {
            "Name": session.name,
            "When": when(session.info.started, now),
            "Length": duration(session.duration),
            "Turns": str(session.turn_count),
            "Engine": str(session.info.engine.get("name", "")),
            "Voice": ", ".join(session.info.voices),
            "State": session.state_text,
        }
        table.add_row(*(Text(clean(row[title])) for title in shown))
    return table


def facts(session: Session) -> Text:
    """Return what the session was held with, one line for each fact."""
    info, parts = session.info, session.info.engine.get("parts")
    turns = "1 turn" if session.turn_count == 1 else f"{session.turn_count} turns"
    versions = [f"{x} {info.versions[x]}" for x in ("covo", "python") if x in info.versions]
    found = {
        "session": f"{session.name} ({session.state_text})",
        "folder": str(session.folder),
        "started": f"{info.started:%Y-%m-%d %H:%M:%S}",
        "length": f"{duration(session.duration)}, {turns}",
        "ended": info.end_reason,
        **({"continues": info.continues} if info.continues else {}),
        "engine": str(info.engine.get("description") or info.engine.get("name", "")),
        **{f"  {part}": str(x) for part, x in (parts if isinstance(parts, dict) else {}).items()},
        "voice": ", ".join(info.voices),
        "microphone": info.input_device,
        "speaker": info.output_device,
        "versions": ", ".join(versions),
    }
    shown = {x: clean(found[x]) or "-" for x in found}
    shown["folder"] = found["folder"]  # byte by byte, to be copied
    lines = [Text.assemble((f"{x:<13} ", "dim"), shown[x]) for x in shown]
    return Text("\n").join(lines)


def found_lines(hits: Iterable[SearchHit], width: int) -> Iterator[Text]:
    """Yield a heading for each session, and the words around the first match of each hit."""
    now = datetime.now().astimezone()
    for session, found in groupby(hits, key=lambda hit: hit.session):
        yield Text.assemble((session.name, "bold"), f"  {when(session.info.started, now)}")
        for hit in found:
            line = _begun_line(hit.entry)
            said = Text(hit.text)
            for begin, end in hit.places:
                said.stylize("bold yellow", begin, end)
            line.append_text(_from_near(said, hit.places[0][0], max(width - line.cell_len, 1) // 3))
            yield line


def _from_near(said: Text, place: int, room: int) -> Text:
    """Return ``said`` from about ``room`` columns before the character ``place`` on."""
    begin = place
    while begin and cell_len(said.plain[begin - 1 : place]) < room:
        begin -= 1
    return Text("…").append_text(said[begin:]) if begin else said


def spoken(entry: TranscriptEntry, *, with_latency: bool = False) -> Text:
    """Return an entry as a line that marks what was cut off, and its latency as a second one."""
    line = _begun_line(entry).append(clean(entry.shown))
    line.rstrip()
    if entry.unheard.strip():
        line.append(f" [cut off: {clean(entry.unheard)}]", "dim")
    latency = entry.latency
    if with_latency and latency is not None:
        parts = ", ".join(f"{part} {value:.2f}" for part, value in latency.parts.items())
        line.append(
            f"\n{'':13}after {latency.total:.2f} s" + (f" ({parts})" if parts else ""), "dim"
        )
    return line


def _begun_line(entry: TranscriptEntry) -> Text:
    """Return when it was said, and by whom."""
    time = (f"{duration(entry.start_s)}  ", "dim")
    return Text.assemble(time, (f"{NAMES[entry.who]:<5}", f"bold {STYLES[entry.who]}"), " ")
