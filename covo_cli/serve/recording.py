"""Sessions recorded as ``covo chat`` records, where the server was told to (``--record``)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from covo_cli.conversation.consumer import Tick
from covo_cli.errors import SessionError
from covo_cli.sessions.recorder import SessionMeta, SessionRecorder, check_recordable
from covo_cli.settings.settings import Settings, sessions_dir
from model.engine import EngineInfo

TOLD = "The server records this conversation."
"""Told to covo's own clients once it does."""
TOLD_NOT = "From here on, the server does not record this conversation."
"""Told to them if recording fails."""

log = logging.getLogger(__name__)


class SessionRecordings:
    """The recordings of a server's sessions. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        """Check that sessions can be recorded. Raises: SessionError."""
        self.folder = sessions_dir(settings)
        """Where each has a folder."""
        check_recordable(self.folder)
        self._settings = settings.record()
        self._lock = threading.Lock()
        self._open: set[SessionRecorder] = set()

    def begin(self, info: EngineInfo) -> SessionRecorder:
        """Begin to record a session with the engine of ``info``. Raises: SessionError."""
        meta = SessionMeta(info, "a client", "a client", self._settings)
        recorder = SessionRecorder(self.folder, meta)
        with self._lock:
            self._open.add(recorder)
        return recorder

    def finish(self, recorder: SessionRecorder) -> None:
        """Complete a recording; what goes wrong is logged. Until then, :meth:`close` waits for
        it."""
        try:
            recorder.close()
        except SessionError as error:
            log.error("%s", error)
        finally:
            with self._lock:
                self._open.discard(recorder)

    def close(self) -> None:
        """Complete all recordings."""
        with self._lock:
            left = list(self._open)
        for recorder in left:
            self.finish(recorder)


class SessionRecording:
    """A consumer that records a session with the engine of ``info`` from its first frame on.

    Files are made with the first frame; the conversation goes on if they cannot be. ``tell`` passes
    on what the client should know, with its level.
    """

    def __init__(
        self, recordings: SessionRecordings, info: EngineInfo, tell: Callable[[str, str], None]
    ) -> None:
        self._recordings = recordings
        self._info = info
        self._tell = tell
        self._begun = False
        self._recorder: SessionRecorder | None = None

    def on_tick(self, tick: Tick) -> None:
        """Record a frame."""
        begins, self._begun = not self._begun, True
        try:
            if begins:
                self._recorder = self._recordings.begin(self._info)
            if self._recorder is not None:
                self._recorder.on_tick(tick)
        except SessionError as error:
            log.error("a session is not recorded: %s", error)
            self._tell("warning", TOLD_NOT)
        else:
            if begins:
                self._tell("info", TOLD)

    def finish(self) -> None:
        """Complete the recording, if it began."""
        if self._recorder is not None:
            self._recordings.finish(self._recorder)
