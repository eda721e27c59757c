"""Write a conversation to disk while it happens.

If the disk keeps up, a kill loses less than a second.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import queue
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from audio_io.worker import Worker, details_hint, join_all
from covo_cli.conversation.consumer import Tick
from covo_cli.errors import SessionError
from covo_cli.sessions.audio import PartWriter
from covo_cli.sessions.event_log import encode_events
from covo_cli.sessions.files import EVENTS, PARTIAL_AUDIO
from covo_cli.sessions.finish import finish
from covo_cli.sessions.info import NAME_FORMAT, SessionInfo, package_versions, write_info
from model.engine import EngineInfo
from voices.folders import make_folder, why_unwritable

MOST_WAITING = 3_000
"""Ticks that may wait for a slow disk: 60 s, about 10 MB."""

CLOSE_LIMIT_S = 120.0
"""Limit for writing and compressing the rest, which takes 5 s after an hour of talk."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionMeta:
    """What goes into ``session.json`` as it is. ``settings``: those in force, JSON-ready.
    ``continues``: name of the session that this one goes on from."""

    engine: EngineInfo
    input_device: str
    output_device: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    continues: str = ""


class SessionRecorder:
    """A consumer that records the conversation into a new folder of ``root``.

    A thread of its own writes, so that a slow disk does not hold up the conversation. When 60 s
    wait to be written, the recording stops; what was taken until then is kept.
    """

    def __init__(self, root: Path, meta: SessionMeta, *, started: datetime | None = None) -> None:
        """Create the folder, named after the time ``started`` (now if None), and its files.

        Raises: SessionError when that fails.
        """
        self._info = SessionInfo(
            started=(started or datetime.now()).astimezone(),
            engine=dataclasses.asdict(meta.engine),
            voices=(meta.engine.voice,) if meta.engine.voice else (),
            input_device=meta.input_device,
            output_device=meta.output_device,
            settings=dict(meta.settings),
            continues=meta.continues,
            versions=package_versions(),
        )
        self._remedy = ""
        self._failure = ""  # set after the remedy: the other thread reads both
        self._reported = False
        self._closed = False
        self._taken = self._written = 0
        try:
            self.folder = _new_folder(root, self._info.started)
            self._open()
        except OSError as error:
            problem = f"cannot record into {root}: {error.strerror or error}"
            raise _cannot_record(problem) from error
        self._queue: queue.SimpleQueue[Tick | str] = queue.SimpleQueue()
        self._worker = Worker(self._work, "recorder")
        self._worker.start()

    @property
    def waiting(self) -> int:
        """How many ticks were taken and are not written yet."""
        return self._taken - self._written

    def on_tick(self, tick: Tick) -> None:
        """Hand one frame to the writing thread; never waits.

        Raises: SessionError once, when the recording had to stop. What was written before stays,
        and later ticks are ignored.
        """
        if self._reported or self._closed:
            return
        if not self._failure and self.waiting >= MOST_WAITING:
            self._failure = "recording stopped: the disk is too slow"
        if self._failure:
            raise self._report()
        self._taken += 1
        self._queue.put(tick)

    def close(self, reason: str = "the conversation was over") -> None:
        """Finish the session; ``reason`` says why it ended. Safe to call twice.

        Returns at once for a recording that stopped during the conversation.
        Raises: SessionError when what is left cannot be written. What is on disk stays, and is
        finished when the session is next opened.
        """
        if not self._closed:
            self._closed = True
            self._queue.put(self._failure or reason)
            if self._reported:
                return
        if join_all([self._worker], CLOSE_LIMIT_S):
            raise SessionError(
                f"the recording in {self.folder} is not finished: the disk is too slow; "
                "the session is completed when you next open it"
            )
        if self._failure and not self._reported:
            raise self._report()

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

    def _report(self) -> SessionError:
        self._reported = True
        kept = f"what was recorded before is kept in {self.folder}"
        return SessionError(f"{self._failure}; {kept}{self._remedy}")

    # On the writing thread

    def _work(self) -> None:
        finishing = False
        try:
            while isinstance(item := self._queue.get(), Tick):
                self._write(item)
                self._written += 1
            finishing = True
            self._part.finish()
            finish(self.folder, self._ended(item), self._part.close)
        except OSError as error:
            log.warning("the recording in %s stopped: %s", self.folder, error)
            self._remedy = "; make room on the disk to record the next conversation"
            self._failure = f"recording stopped: {error.strerror or error}"
        except Exception:
            log.exception("the recording in %s stopped", self.folder)
            self._remedy = details_hint()
            self._failure = "recording stopped: internal error"
        finally:
            if self._failure and not finishing:
                # Without room even for this it stays an unfinished session.
                with contextlib.suppress(OSError):
                    write_info(self.folder, self._ended(self._failure))
            self._events.close()
            self._part.close()

    def _write(self, tick: Tick) -> None:
        """Write events at once and sound in pieces of 0.3 s. Raises: OSError."""
        data = memoryview(encode_events(tick.events).encode("utf-8", "replace"))
        while data:  # a nearly full disk takes a part and refuses the next
            data = data[self._events.write(data) :]
        self._part.write(tick.user, tick.assistant)

    def _ended(self, reason: str) -> SessionInfo:
        return dataclasses.replace(self._info, ended=datetime.now().astimezone(), end_reason=reason)


def check_recordable(root: Path) -> None:
    """Check that a session could begin in ``root``, without making it. Raises: SessionError."""
    if problem := why_unwritable(root):
        raise _cannot_record(problem)


def _cannot_record(problem: str) -> SessionError:
    return SessionError(
        f"{problem}; choose another folder (session.dir) or leave recording off (--no-record)"
    )


def _new_folder(root: Path, started: datetime) -> Path:
    make_folder(root)
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
