"""The entry point: runs the command and turns what goes wrong into one line for people."""

from __future__ import annotations

import os
import sys

from covo_cli.errors import is_expected

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130


def main() -> None:
    """Run ``covo``; never returns."""
    from covo_cli.app import app

    try:
        app(prog_name="covo")
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone (`covo sessions list | head -1`). Python would complain
        # once more when it flushes stdout on the way out, so give it somewhere to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_ERROR)
    except Exception as error:
        debug = "--debug" in sys.argv or os.environ.get("COVO_DEBUG", "") not in ("", "0")
        if debug:
            raise
        if is_expected(error):
            message = str(error)
        else:
            message = (
                f"unexpected {type(error).__name__}: {error} (this is a bug; see it with --debug)"
            )
        sys.stderr.write(f"covo: {' '.join(message.split())}\n")
        sys.exit(EXIT_ERROR)


if __name__ == "__main__":
    main()
