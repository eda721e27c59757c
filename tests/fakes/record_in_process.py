"""Run as a process by the tests of the recorder, to be killed.

Usage: record_in_process.py ROOT SECONDS PACE [--die-in FUNCTION]

Prints the session's folder, then after every tick how many there were, so that what is in the pipe
when the process dies is what the recorder had taken.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from covo_cli.sessions import finish
from covo_cli.sessions.recorder import SessionRecorder
from tests.fakes.session_factory import META, STARTED, conversation_ticks


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("pace", choices=("real", "fast"))
    parser.add_argument("--die-in")
    options = parser.parse_args()
    if options.die_in:
        setattr(finish, options.die_in, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    recorder = SessionRecorder(options.root, META, started=STARTED)
    tell(recorder.folder)
    began = time.monotonic()
    for n, tick in enumerate(conversation_ticks(options.seconds), 1):
        if options.pace == "real":
            time.sleep(max(0.0, began + n * 0.02 - time.monotonic()))
        recorder.on_tick(tick)
        tell(n)
    recorder.close()


def tell(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


main()
