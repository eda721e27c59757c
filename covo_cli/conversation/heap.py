"""Give free memory back to the system while a conversation goes on."""

from __future__ import annotations

from collections.abc import Callable

from audio_io.clock import samples
from covo_cli.conversation.consumer import Tick
from covo_cli.process.native import return_free_memory

EVERY_S = 60.0


class HeapTrimmer:
    """A consumer that gives free memory back once a minute, while the assistant is silent.

    Hearing, writing and speaking take blocks of all sizes, and what they free stays with the
    process: each time that more of them coincide than ever before, the heap grows. In a run of
    15 minutes up to 127 of its 572 MB lay free. ``trim`` takes 5 to 10 ms.
    """

    def __init__(self, trim: Callable[[], None] = return_free_memory) -> None:
        self._trim = trim
        self._due = samples(EVERY_S)

    def on_tick(self, tick: Tick) -> None:
        """Trim if it is time."""
        if tick.at >= self._due and not tick.assistant.any():
            self._due = tick.at + samples(EVERY_S)
            self._trim()
