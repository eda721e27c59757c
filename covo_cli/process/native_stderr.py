"""Keeps what native libraries write to stderr off the live screen.

ALSA, PortAudio and the like write warnings straight to file descriptor 2. On a screen that is
redrawn in place, one such line moves everything.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STDERR = 2


@contextmanager
def native_stderr_into(path: Path) -> Iterator[None]:
    """While inside, whatever is written to file descriptor 2 goes to ``path`` (made anew).

    Does nothing when stderr is no terminal: then it is not on the screen, and may be wanted. If the
    file cannot be opened, what is written is dropped.
    """
    if not os.isatty(STDERR):
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError:
        target = os.open(os.devnull, os.O_WRONLY)
    sys.stderr.flush()
    terminal = os.dup(STDERR)
    os.dup2(target, STDERR)
    os.close(target)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal, STDERR)
        os.close(terminal)
