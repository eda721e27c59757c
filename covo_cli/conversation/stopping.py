"""Stop a conversation: by a request, by a signal, or because something failed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Timer
from types import FrameType

from covo_cli.conversation.conversation import Conversation
from covo_cli.conversation.request import Quit, Request
from covo_cli.errors import is_expected
from covo_cli.process.leaving import EXIT_ERROR, QUIT_S, leave_within

WORK_LIMIT_S = 10.0
"""In place of :data:`QUIT_S` at full speed, where the loop itself does the models' work."""

HUNG_UP = "the terminal was closed (SIGHUP)"

_STOPPED_BY = {
    "SIGINT": Quit().reason,
    "SIGTERM": "the system stopped covo (SIGTERM)",
    "SIGHUP": HUNG_UP,
}
"""The signals that ask to quit, where the system has them, and what is recorded then."""


@contextmanager
def requests(
    conversation: Conversation, stack: ExitStack, *, real_time: bool
) -> Iterator[Callable[[Request], None]]:
    """Yield the function that sends requests. The signals of :data:`_STOPPED_BY` send Quit, too.

    A second Ctrl-C interrupts at once. Once asked to quit, the loop and the screen have a limited
    time to end. Under ``nohup`` a closed terminal ends nothing, and none cuts short what is
    finished before ``stack`` is closed.
    """
    limit_s = QUIT_S if real_time else WORK_LIMIT_S
    countdowns: list[Timer] = []

    def send(request: Request) -> None:
        if isinstance(request, Quit):
            countdowns.append(leave_within(limit_s, EXIT_ERROR))
        conversation.send(request)

    def ask(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        send(Quit(_STOPPED_BY[signal.Signals(number).name]))

    known = [getattr(signal, name) for name in _STOPPED_BY if hasattr(signal, name)]
    heeded = [n for n in known if n == signal.SIGINT or signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in heeded}
    try:
        yield send
    finally:
        for number, handler in before.items():
            if number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, handler)
            else:
                signal.signal(number, signal.SIG_IGN)
                stack.callback(signal.signal, number, handler)
        for countdown in countdowns:
            countdown.cancel()


def told_of(error: BaseException | None) -> str:
    """Return why the conversation ended, for the record."""
    if isinstance(error, KeyboardInterrupt):
        return Quit().reason
    return f"an error: {error}" if error is not None and is_expected(error) else "an error"
