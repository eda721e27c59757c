"""Writes a conversation to disk while it happens, so that a kill loses less than a second of it."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from audio_io.signal import Audio
from covo_cli.conversation.consumer import Tick
from covo_cli.errors import SessionError
from covo_cli.sessions.audio import PartWriter
from covo_cli.sessions.event_log import encode_events
from covo_cli.sessions.files import EVENTS, PARTIAL_AUDIO
from covo_cli.sessions.finish import finish
from covo_cli.sessions.info import NAME_FORMAT, SessionInfo, package_versions, write_info
from model.engine import EngineInfo

TICKS_PER_WRITE = 15
"""Sound is written every 0.3 s. With the resampler's 40 ms, that is what a kill can lose of it."""


@dataclass(frozen=True, slots=True)
class SessionMeta:
    """What a conversation is held with: goes into ``session.json`` as it is.

    ``settings``: those in force, as plain JSON-ready values.
    """

    engine: EngineInfo
    input_device: str
    output_device: str
    settings: Mapping[str, Any] = field(default_factory=dict)


class SessionRecorder:
    """A consumer that records the conversation into a new folder of ``root``.

    ``started``: when the conversation began, now if None; it gives the folder its name.
    Raises: SessionError when the folder cannot be made.
    """

    def __init__(self, root: Path, meta: SessionMeta, *, started: datetime | None = None) -> None:
        self._info = SessionInfo(
            started=(started or datetime.now()).astimezone(),
            engine=dataclasses.asdict(meta.engine),
            voices=(meta.engine.voice,) if meta.engine.voice else (),
            input_device=meta.input_device,
            output_device=meta.output_device,
            settings=meta.settings,
            versions=package_versions(),
        )
        self._user: list[Audio] = []
        self._assistant: list[Audio] = []
        self._failure = ""
        self._closed = False
        try:
            self.folder = _new_folder(root, self._info.started)
            self._open()
        except OSError as error:
            raise SessionError(
                f"cannot record into {root}: {error.strerror or error}; "
                "choose another folder (session.dir) or leave recording off (--no-record)"
            ) from error

    def _open(self) -> None:
        """Create the session's files. Raises: OSError, and nothing is left behind."""
        with contextlib.ExitStack() as undo:
            undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._part = PartWriter(self.folder / PARTIAL_AUDIO)
            undo.callback(self._part.close)
            self._events = (self.folder / EVENTS).open("ab", buffering=0)
            undo.callback(self._events.close)
            write_info(self.folder, self._info)
            undo.pop_all()

    def on_tick(self, tick: Tick) -> None:
        """Take note of one frame; writes events at once and sound every 0.3 s.

        Raises: SessionError once, when the disk refuses more; what was written before stays, and
        later ticks are ignored.
        """
        if self._failure or self._closed:
            return
        try:
            if tick.events:
                self._write_events(encode_events(tick.events).encode("utf-8", "replace"))
            self._user.append(tick.user)
            self._assistant.append(tick.assistant)
            if len(self._user) >= TICKS_PER_WRITE:
                self._write_sound()
        except OSError as error:
            raise self._failed(error) from error

    def close(self, reason: str = "the conversation was over") -> None:
        """Finish the session; ``reason`` says why it ended. Safe to call twice.

        Raises: SessionError when what is left cannot be written. What is on disk stays, and is
        finished when the session is next opened.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._failure:
                self._note_failure()
                return
            self._write_sound()
            self._part.finish()
            finish(self.folder, self._ended(reason))
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self._events.close()
            self._part.close()

    def _ended(self, reason: str) -> SessionInfo:
        return dataclasses.replace(self._info, ended=datetime.now().astimezone(), end_reason=reason)

    def _note_failure(self) -> None:
        """Say in session.json why it stopped. The sound is finished when it is next opened: there
        is no room for it now, and the conversation goes on meanwhile."""
        # Should even this find no room, it is an unfinished session like any other.
        with contextlib.suppress(OSError):
            write_info(self.folder, self._ended(self._failure))

    def _write_events(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._events.write(rest) :]

    def _write_sound(self) -> None:
        if self._user:
            self._part.write(np.concatenate(self._user), np.concatenate(self._assistant))
            self._user.clear()
            self._assistant.clear()

    def _failed(self, error: OSError) -> SessionError:
        self._failure = f"recording stopped: {error.strerror or error}"
        return SessionError(
            f"{self._failure}; what was recorded before is kept in {self.folder}. Make room on the "
            "disk to record the next conversation"
        )


def _new_folder(root: Path, started: datetime) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    name = started.strftime(NAME_FORMAT)
    number = 1
    while True:
        folder = root / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder
