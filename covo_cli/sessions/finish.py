"""Complete a recording: compress its sound, write its transcript, fill in its record."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from covo_cli.errors import SessionError
from covo_cli.process.whole_file import write_text
from covo_cli.sessions.audio import RATE, read_part, write_sound
from covo_cli.sessions.event_log import read_events
from covo_cli.sessions.files import (
    AUDIO,
    PARTIAL_AUDIO,
    TRANSCRIPT,
    open_to_lock,
    try_lock,
)
from covo_cli.sessions.info import UNFINISHED, SessionInfo, read_info, write_info
from covo_cli.sessions.markdown import transcript_markdown
from covo_cli.sessions.transcript import Who, transcript
from model.events import VoiceChanged


def finish(folder: Path, info: SessionInfo, unlock: Callable[[], object]) -> SessionInfo:
    """Turn what was recorded in ``folder`` into a finished session described by ``info``.

    The caller holds the lock; ``unlock`` closes the file for Windows, which removes no open one.
    ``audio.part`` is removed last, so that this can be repeated after a kill. Returns ``info`` with
    duration, turns and voices filled in. Raises: OSError.
    """
    part = folder / PARTIAL_AUDIO
    length = write_sound(folder / AUDIO, read_part(part), kind="FLAC", channels=2)
    duration = round(length / RATE, 3)
    events = read_events(folder).events
    said = transcript(events, duration)
    voices = dict.fromkeys(info.voices)
    voices.update(dict.fromkeys(e.voice for e in events if isinstance(e, VoiceChanged)))
    info = dataclasses.replace(
        info,
        duration=duration,
        turns=sum(entry.who is Who.USER for entry in said),
        voices=tuple(voices),
    )
    write_text(folder / TRANSCRIPT, transcript_markdown(info, said))
    write_info(folder, info)
    if sys.platform == "win32":
        unlock()
    part.unlink()
    return info


def recover(folder: Path) -> SessionInfo:
    """Complete the session in ``folder``, whose process died.

    Raises: SessionError when it is being recorded (or recovered by another process), has nothing
    to recover, or cannot be written.
    """
    part = folder / PARTIAL_AUDIO
    try:
        descriptor = open_to_lock(part)
    except FileNotFoundError:
        raise SessionError(f"session {folder.name} has nothing to recover") from None
    except OSError as error:
        raise SessionError(f"session {folder.name} cannot be recovered: {error}") from error
    try:
        with ExitStack() as lock:
            lock.callback(os.close, descriptor)
            if not try_lock(descriptor):
                raise SessionError(f"session {folder.name} is being recorded")
            info, _ = read_info(folder)
            if info.ended is None:
                info = dataclasses.replace(info, end_reason=UNFINISHED)
            return finish(folder, info, lock.close)
    except OSError as error:
        raise SessionError(f"session {folder.name} cannot be recovered: {error}") from error
