"""Export a session as Markdown, SRT, WebVTT, JSON or WAV."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from covo_cli.errors import SessionError
from covo_cli.process.text import clean
from covo_cli.process.whole_file import write_text
from covo_cli.sessions.event_log import event_to_dict
from covo_cli.sessions.files import ExportFormat
from covo_cli.sessions.markdown import transcript_markdown
from covo_cli.sessions.store import Session
from covo_cli.sessions.transcript import NAMES, TranscriptEntry, Who

SHORTEST_CUE_MS = 1_500
"""A typed question takes no time, but its subtitle has to be read."""


def export_text(session: Session, kind: ExportFormat) -> str:
    """Return the session as text. Raises: SessionError for WAV."""
    match kind:
        case ExportFormat.MARKDOWN:
            return transcript_markdown(session.info, session.transcript)
        case ExportFormat.SRT | ExportFormat.VTT:
            return _subtitles(session, kind)
        case ExportFormat.JSON:
            record = session_to_dict(session)
            record["events"] = [event_to_dict(event) for event in session.events]
            return json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        case ExportFormat.WAV:
            raise SessionError("sound cannot be written to the terminal; name a file with --output")


def export_file(
    session: Session, kind: ExportFormat, target: Path, *, overwrite: bool = False
) -> None:
    """Write the session to ``target``, whole or not at all.

    Raises: SessionError when it exists (unless ``overwrite``), cannot be written, or the session
    has no sound to mix.
    """
    if target.is_dir():
        raise SessionError(f"{target} is a folder; name a file in it")
    if target.is_file() and not overwrite:
        raise SessionError(f"{target} exists already; choose another --output, or add --force")
    try:
        if kind is ExportFormat.WAV:
            from covo_cli.sessions.audio import mixed, write_sound

            write_sound(target, mixed(session.folder), kind="WAV", channels=1)
        else:
            write_text(target, export_text(session, kind))
    except OSError as error:
        raise SessionError(f"cannot write {target}: {error.strerror or error}") from error


def session_to_dict(session: Session) -> dict[str, Any]:
    """Return the session without its events, JSON-ready."""
    return {
        "name": session.name,
        "folder": str(session.folder),
        "state": session.state.value,
        "seconds": round(session.duration, 3),
        "turns": session.turn_count,
        "session": session.info.to_dict(),
        "utterances": [_entry_to_dict(entry) for entry in session.transcript],
        "warnings": list(session.warnings),
    }


def _entry_to_dict(entry: TranscriptEntry) -> dict[str, Any]:
    latency = entry.latency
    return {
        "speaker": entry.who.value,
        "start": round(entry.start_s, 3),
        "end": round(entry.end_s, 3),
        "text": entry.text.strip(),
        "cut_off": entry.unheard.strip(),
        "turn": entry.turn,
        "backchannel": entry.backchannel,
        "latency": {"total": latency.total, "parts": latency.parts} if latency else None,
    }


def _subtitles(session: Session, kind: ExportFormat) -> str:
    from pysubs2 import SSAEvent, SSAFile

    subtitles = SSAFile()
    for entry in session.transcript:
        if entry.who is Who.TOOL:
            continue  # nothing was said
        start = round(entry.start_s * 1000)
        end = max(round(entry.end_s * 1000), start + SHORTEST_CUE_MS)
        words = clean(entry.shown)
        if entry.unheard.strip():
            words = f"{words} —".lstrip()
        # An arrow would end the cue, and pysubs2 takes a backslash for the start of a line break.
        words = words.replace("-->", "→").replace("\\", "\\\u2060")
        if kind is ExportFormat.VTT:
            words = html.escape(words, quote=False)
        name = NAMES[entry.who]
        subtitles.append(SSAEvent(start, end, f"{name}: {words}", name=name))
    # The texts are plain: keep their braces, which would vanish as style tags.
    return subtitles.to_string(kind.value, keep_ssa_tags=True)
