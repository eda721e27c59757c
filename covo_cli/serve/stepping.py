"""Step all conversations of a server on one thread, and on a few more while that one is held up.

A thread for each would wake for each of its frames, and many of them spend more time on waiting for
Python's lock than on their frames.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from audio_io.clock import FRAME_S
from audio_io.worker import Worker
from covo_cli.conversation.conversation import Conversation, Ending
from covo_cli.serve.realtime.microphone import SocketMicrophone

TICK_S = FRAME_S / 4
"""From one look at which frames are due to the next."""

PATIENCE_S = 0.02
"""The first thread takes what is due, each other one what is overdue by this much more. So it works
only while those before it are busy with slow steps."""

MOST_THREADS = 4

log = logging.getLogger(__name__)


class Stepper:
    """Steps conversations, each on one thread at a time. Thread-safe.

    Its threads end with the last conversation.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: tuple[_Held, ...] = ()
        self._ranks: set[int] = set()  # of the threads, 0 for the first

    def hold(
        self,
        conversation: Conversation,
        microphone: SocketMicrophone,
        over: Callable[[Ending], None],
    ) -> None:
        """Step ``conversation`` for each frame of ``microphone``, and call ``over``, which must not
        raise, once it is over."""
        with self._lock:
            self._held = (*self._held, _Held(conversation, microphone, over))
            for rank in range(min(len(self._held), MOST_THREADS)):
                if rank not in self._ranks:
                    self._ranks.add(rank)
                    Worker(partial(self._work, rank), "sessions").start()

    def _work(self, rank: int) -> None:
        patience = rank * PATIENCE_S
        while held := self._left_to(rank):
            begun = time.monotonic()
            late = [one for one in held if one.microphone.due + patience <= begun]
            for one in late:
                if one.step():
                    self._let_go(one)
            rest = TICK_S if late else max(TICK_S, patience)
            time.sleep(max(0.0, begun + rest - time.monotonic()))

    def _left_to(self, rank: int) -> tuple[_Held, ...]:
        """Return the conversations; with none, the thread of ``rank`` ends."""
        with self._lock:
            if not self._held:
                self._ranks.remove(rank)
            return self._held

    def _let_go(self, over: _Held) -> None:
        with self._lock:
            self._held = tuple(one for one in self._held if one is not over)


class _Held:
    """A conversation that is held. ``over``: see :meth:`Stepper.hold`."""

    def __init__(
        self,
        conversation: Conversation,
        microphone: SocketMicrophone,
        over: Callable[[Ending], None],
    ) -> None:
        self.microphone = microphone
        self._conversation = conversation
        self._over = over
        self._free = threading.Lock()  # held for good once it is over

    def step(self) -> bool:
        """Take in the frame that is due, unless another thread does; return whether it is over."""
        if not self._free.acquire(blocking=False):
            return False
        try:
            ending = self._conversation.advance(0.0)
        except BaseException:
            log.exception("a conversation broke off")
            ending = Ending.ERROR
        if ending is None:
            self._free.release()
            return False
        self._over(ending)
        return True
