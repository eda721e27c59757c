"""Find recorded conversations."""

from __future__ import annotations

import difflib
import os
import re
import shutil
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from audio_io.clock import seconds
from covo_cli.errors import SessionError
from covo_cli.sessions.event_log import EventLog, read_events
from covo_cli.sessions.files import (
    AUDIO,
    EVENTS,
    INFO,
    PARTIAL_AUDIO,
    PARTIAL_BYTES_PER_SECOND,
    is_locked,
)
from covo_cli.sessions.info import SessionInfo, read_info, read_span
from covo_cli.sessions.transcript import TranscriptEntry, Who, transcript
from model.events import Event

LAST = "last"
_NAME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(?:-(\d+))?")
_NEAREST = 3


class SessionState(StrEnum):
    """The state of a recording."""

    COMPLETE = "complete"
    RECORDING = "being recorded"
    UNFINISHED = "unfinished"
    RECOVERED = "recovered"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class Session:
    """One recorded conversation, as it was when it was opened, with ``duration`` in seconds."""

    folder: Path
    info: SessionInfo
    state: SessionState
    duration: float
    own_warnings: tuple[str, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def state_text(self) -> str:
        """The state in words for people."""
        if self.state is SessionState.UNFINISHED:
            return f"unfinished: {self.duration:.1f} s to recover"
        if self.state is SessionState.RECOVERED:
            return f"unfinished: recovered {self.duration:.1f} s"
        return str(self.state)

    @cached_property
    def log(self) -> EventLog:
        """The events, read at the first use."""
        return read_events(self.folder)

    @property
    def events(self) -> tuple[Event, ...]:
        """The events in order, with :class:`.event_log.RecordedAudio` for sound."""
        return self.log.events

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is missing or broken, one line each."""
        return self.own_warnings + self.log.warnings

    @cached_property
    def transcript(self) -> tuple[TranscriptEntry, ...]:
        """Who said what when."""
        return transcript(self.events, self.duration or None)

    @property
    def turn_count(self) -> int:
        """The number of the user's turns."""
        if self.info.turns is not None:
            return self.info.turns
        return sum(entry.who is Who.USER for entry in self.transcript)


class SessionStore:
    """The sessions in the folder ``root``, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> tuple[str, ...]:
        """Return the names of all sessions, newest first. Raises: SessionError."""
        try:
            folders = [path for path in self.root.iterdir() if _is_session(path)]
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise SessionError(f"cannot list the sessions in {self.root}: {error}") from error
        return tuple(path.name for path in sorted(folders, key=_begun, reverse=True))

    def list(self) -> tuple[Session, ...]:
        """Return all sessions, newest first, recovering none. Raises: SessionError."""
        return tuple(_load(self.root / name) for name in self.names())

    def find(self, query: str) -> Path:
        """Return the folder of the session ``query``: a name, the beginning of one, or "last".

        Raises: SessionError with the nearest names when none matches, or several do.
        """
        names = self.names()
        if not names:
            raise SessionError(f"there are no sessions in {self.root} yet; hold one with covo chat")
        if query == LAST:
            return self.root / names[0]
        if query in names:
            return self.root / query
        matches = [name for name in names if query and name.startswith(query)]
        if len(matches) == 1:
            return self.root / matches[0]
        if matches:
            some = ", ".join(matches[:_NEAREST]) + (", ..." if len(matches) > _NEAREST else "")
            raise SessionError(f"{query!r} matches {len(matches)} sessions: {some}; say which")
        nearest = difflib.get_close_matches(query, names, _NEAREST, 0.3) or names[:_NEAREST]
        raise SessionError(f"there is no session {query!r}; the nearest are {', '.join(nearest)}")

    def open(self, query: str) -> Session:
        """Open the session ``query`` (see :meth:`find`), completing it first if its process died.

        If that fails, as on a read-only disk, it opens with a warning. Raises: SessionError.
        """
        folder = self.find(query)
        session = _load(folder)
        if session.state is not SessionState.UNFINISHED:
            return session
        from covo_cli.sessions.finish import recover

        try:
            recover(folder)
        except SessionError as error:
            return _load(folder, str(error))
        return _load(folder)

    def delete(self, name: str) -> None:
        """Delete the session of exactly this name. Raises: SessionError."""
        folder = self.root / name
        if name not in self.names():
            raise SessionError(f"there is no session {name!r}")
        try:
            if is_locked(folder / PARTIAL_AUDIO):
                raise SessionError(f"session {name} is being recorded; end the conversation first")
        except FileNotFoundError:
            pass
        except OSError as error:
            raise SessionError(
                f"cannot tell whether session {name} is being recorded ({error.strerror}); if it "
                f"is not, remove {folder} yourself"
            ) from error
        if folder.is_symlink():
            raise SessionError(f"{folder} is a link, not a folder; remove it yourself")
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise SessionError(f"cannot delete session {name}: {error}") from error


def _is_session(path: Path) -> bool:
    if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir fails where it may not look
        return False
    return bool(_NAME.fullmatch(path.name)) or any(_is_there(path / x) for x in (INFO, EVENTS))


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - Path.exists fails where it may not look


def _begun(folder: Path) -> tuple[datetime, int]:
    """Return when a session began, the world over: its name tells a local time."""
    match = _NAME.fullmatch(folder.name)
    # One that ended before it began did so by a clock that was set back meanwhile.
    begun = min(read_span(folder))
    return (begun, int(match[1] or 1) if match else 0)


def _load(folder: Path, warning: str = "") -> Session:
    warnings = [warning] if warning else []
    part, part_seconds, locked = folder / PARTIAL_AUDIO, None, False
    # Look at the sound first: a recording that ends now writes its record, then removes the part.
    try:
        part_seconds = part.stat().st_size / PARTIAL_BYTES_PER_SECOND
        locked = is_locked(part)
    except FileNotFoundError:
        part_seconds = None
    except OSError as error:
        warnings.append(f"{part.name} cannot be read: {error.strerror}")
    info, info_warnings = read_info(folder)
    warnings += info_warnings
    if part_seconds is not None:
        state = SessionState.RECORDING if locked else SessionState.UNFINISHED
    else:
        if not _is_there(folder / AUDIO):
            warnings.append(f"{AUDIO} is missing")
        if warnings:
            state = SessionState.DAMAGED
        else:
            state = SessionState.RECOVERED if info.ended is None else SessionState.COMPLETE
    duration = part_seconds or info.duration or 0.0
    if not duration:
        events = read_events(folder).events
        duration = seconds(events[-1].at) if events else 0.0
    return Session(folder, info, state, duration, tuple(warnings))
