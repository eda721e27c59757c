"""The entry point: run the command, and report an error in one line on stderr.

Modules are imported where Ctrl-C is caught.
"""

from __future__ import annotations

import os
import sys

_ONLY_SHOW = {"--help", "-h", "--version"}
_INTERRUPTED = 130  # EXIT_INTERRUPTED


def main() -> None:
    """Run ``covo`` and end the process. Typer itself reports wrong arguments and Ctrl-C."""
    try:
        _prepare_process()
        code = _run(sys.argv[1:])
        from covo_cli.process.leaving import leave
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    leave(code)


def _prepare_process() -> None:
    from covo_cli.process.leaving import own_process
    from covo_cli.process.native import (
        bound_product_cache,
        keep_heap_small,
        keep_libraries_to_themselves,
        let_numpy_use_one_thread,
        let_waiting_threads_sleep,
    )
    from covo_cli.process.streams import mend_standard_streams

    mend_standard_streams()
    own_process()
    keep_libraries_to_themselves()
    let_waiting_threads_sleep()
    let_numpy_use_one_thread()
    bound_product_cache()
    keep_heap_small()


def _run(arguments: list[str]) -> int:
    import contextlib

    from covo_cli.errors import OutputClosed, message_for
    from covo_cli.process.leaving import EXIT_ERROR, EXIT_INTERRUPTED

    try:
        if not _ONLY_SHOW.intersection(arguments):
            from covo_cli.process.log import begin_log

            begin_log(arguments)
        from covo_cli.app import app

        app(prog_name="covo")
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else EXIT_ERROR * bool(ending.code)
    except KeyboardInterrupt:  # before typer could catch it
        return EXIT_INTERRUPTED
    except OutputClosed:
        return EXIT_ERROR
    except Exception as error:  # noqa: BLE001 - the last place to report it
        if "--debug" in arguments or os.environ.get("COVO_DEBUG", "") not in ("", "0"):
            import traceback

            traceback.print_exception(error)
        with contextlib.suppress(OSError):  # the terminal has gone
            sys.stderr.write(f"{message_for(error)}\n")
        return EXIT_ERROR
    return 0


if __name__ == "__main__":
    main()
