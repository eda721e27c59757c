"""The entry point: runs the command and turns what goes wrong into one line for people."""

from __future__ import annotations

import errno
import os
import sys

from covo_cli.errors import is_expected

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main() -> None:
    """Run ``covo``; never returns. What typer sees first it ends itself: wrong arguments, Ctrl-C,
    and that whoever read our output has gone."""
    try:
        from covo_cli.app import app

        app(prog_name="covo")
    except KeyboardInterrupt:  # before typer was there
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        debug = "--debug" in sys.argv or os.environ.get("COVO_DEBUG", "") not in ("", "0")
        if debug:
            raise
        if is_expected(error):
            message = str(error)
        elif isinstance(error, OSError) and error.errno in _NO_ROOM:
            where = error.filename or "its output"
            message = f"cannot write {where}: {error.strerror}; make room on the disk"
        else:
            message = (
                f"unexpected {type(error).__name__}: {error} (this is a bug; see it with --debug)"
            )
        sys.stderr.write(f"covo: {' '.join(message.split())}\n")
        sys.exit(EXIT_ERROR)


if __name__ == "__main__":
    main()
