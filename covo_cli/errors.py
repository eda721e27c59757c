"""The command line's own errors, and the one line that reports any error to the user.

CliError
├── SettingsError
├── SessionError
└── OutputClosed
"""

from __future__ import annotations

import errno
import select
import sys

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OUT_OF_REACH = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)


class CliError(Exception):
    """Base of the command line's own errors. The message tells the cause and the remedy."""


class SettingsError(CliError):
    """A setting is unknown or has a bad value, or its file cannot be read or written."""


class SessionError(CliError):
    """A recorded session is missing, broken or cannot be written."""


class OutputClosed(CliError):  # noqa: N818 - not a fault
    """What shows our output has gone, or takes nothing for a minute; the conversation ends."""


def output_closed() -> bool:
    """Return whether the reader of stdout or stderr has gone; assume so on Windows."""
    if sys.platform == "win32":
        return True
    outputs = select.poll()
    for descriptor in (1, 2):
        outputs.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in outputs.poll(0))


def is_expected(error: BaseException) -> bool:
    """Return whether one of the rooms raised ``error`` on purpose, with a message for the user.

    A room that was never imported cannot have raised it, so none is imported here.
    """
    rooms = {"audio_io": "AudioError", "model": "ModelError", "voices": "VoiceError"}
    roots = [getattr(sys.modules.get(f"{x}.errors"), rooms[x], CliError) for x in rooms]
    return isinstance(error, (CliError, *roots))


def _fills_the_card(error: BaseException) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.cuda.OutOfMemoryError)


def message_for(error: BaseException) -> str:
    """Return the line that tells the user about ``error``. The log gets a bug's traceback."""
    if is_expected(error):
        message = str(error)
    elif isinstance(error, OSError) and error.errno in _NO_ROOM:
        where = error.filename or "its output"
        message = f"cannot write {where}: {error.strerror}; make room on the disk"
    elif isinstance(error, OSError) and error.errno in _OUT_OF_REACH and error.filename:
        message = f"cannot use {error.filename}: {error.strerror}; choose another path"
    elif _fills_the_card(error):
        message = (
            f"the memory of the GPU is full ({str(error).partition('. GPU ')[0]}); end what else "
            "uses it, or take less: streams or positions in a recipe, --precision of an engine"
        )
    else:
        import logging

        from audio_io.worker import details_hint

        logging.getLogger(__name__).error("unexpected error", exc_info=error)
        hint = details_hint() or " (see it with --debug)"
        message = f"unexpected {type(error).__name__}: {error}; this is a bug{hint}"
    from model.secrets import without_secrets

    # What a file or a server says must not command the terminal; surrogates are bytes of names.
    shown = "".join(x if x.isprintable() or "\udc80" <= x <= "\udcff" else " " for x in message)
    return f"covo: {without_secrets(' '.join(shown.split()))}"
