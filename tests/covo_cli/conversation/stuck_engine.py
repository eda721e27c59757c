"""``covo`` with a model that never returns; run with WHERE and then covo's arguments.

WHERE: ``reply`` (the chat model reads a prompt on its lane), ``step`` (a network's step, and the
engine does not close before it is over) or ``load``. Writes ``stuck`` to stderr when it is there.
``noisy``: nothing gets stuck, but native code writes to stderr whenever it can.
"""

from __future__ import annotations

import atexit
import ctypes
import signal
import sys
from collections.abc import Sequence

from covo_cli.__main__ import main
from covo_cli.conversation import run_chat
from model.engine import Command, EngineInfo, Frame, Progress
from model.events import Event
from model.jobs.executor import once
from model.jobs.thread_executor import ThreadExecutor

LIBC = ctypes.CDLL(None)


def never_return() -> None:
    """Stay inside a native library for good, as a model does that is much too slow."""
    sys.stderr.write("stuck\n")
    sys.stderr.flush()
    while True:
        LIBC.sleep(1000)


def complain(when: str) -> None:
    """Write to stderr as ALSA does, past Python."""
    LIBC.write(2, (line := f"ALSA lib {when}\n".encode()), len(line))


class StuckEngine:
    def __init__(self, where: str) -> None:
        self._where = where
        self._executor = ThreadExecutor()
        self._job = None

    info = EngineInfo("stuck", "a model that never returns", "none", "cpu", {})

    @property
    def busy(self) -> bool:
        return self._where != "noisy"

    def warm_up(self, progress: Progress) -> None:
        if self._where == "load":
            never_return()

    def process(self, frame: Frame) -> Sequence[Event]:
        if self._where == "noisy":
            complain("while it runs")
            return ()
        if self._job is None:
            self._job = self._executor.submit("lane", frame.end, once(never_return))
        self._job.poll(frame.end)
        return ()

    def command(self, command: Command) -> None:
        pass

    def close(self) -> None:
        self._executor.close()
        if self._where == "noisy":
            complain("while it closes")
            atexit.register(complain, "at the very end")
        if self._where == "step":
            never_return()


if __name__ == "__main__":
    # As at a terminal, also where the tests run in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    engine = StuckEngine(sys.argv.pop(1))
    run_chat.build_engine = lambda *_, **__: engine  # type: ignore[assignment]
    main()
