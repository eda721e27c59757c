"""The speaker of a session: sends a reply ahead of its playback, and models the playback.

A client plays what it is sent, and tells nothing of it. Playback is taken to begin
:data:`START_S` after the first piece was sent and to go on at the speed of life. No more than
:data:`AHEAD_S` is sent ahead of it, so that a client has little to throw away when it is
interrupted. Ducking and holding are not known to clients, so only a stop changes anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from audio_io.clock import ASSISTANT_FRAME, ASSISTANT_RATE, samples
from audio_io.ends import DeviceStatus
from audio_io.playout import Playout
from audio_io.signal import Audio, Position
from covo_cli.serve.realtime.sound import SoundQueue

AHEAD_S = 3.0
"""Most sound sent ahead of its playback."""

START_S = 0.1
"""From sending a reply's first piece to its playback."""

PIECE = samples(0.1, ASSISTANT_RATE)
"""Samples of a piece."""


@dataclass(frozen=True, slots=True)
class SentPiece:
    """``samples`` (24 kHz, may be none) of ``reply`` to send; ``last``: nothing follows."""

    reply: int
    samples: Audio = field(repr=False)
    last: bool


class SocketSpeaker:
    """A :class:`audio_io.ends.Speaker`. ``clock`` returns seconds. Thread-safe.

    ``gap`` is called whenever a piece is sent after the client has played all before it. Without
    :attr:`speaks`, nothing is sent and all counts as heard at once.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        gap: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._gap = gap
        self._lock = threading.Lock()
        self._playout = Playout()  # what consumers are told was played
        self._reply = -1
        self._waiting = SoundQueue()
        self._complete = self._closed = False
        self._sent = 0
        self._origin = 0.0  # when sample 0 of the reply is taken to be played
        self._told: int | None = None
        self._stopped_at: int | None = None
        self.speaks = True
        """Whether replies are sent as sound."""

    def start(self) -> None:
        """Do nothing: the client is there already."""

    def play(self, reply_id: int, samples: Audio) -> None:
        """Queue a copy of ``samples`` of reply ``reply_id``."""
        with self._lock:
            if reply_id != self._reply:
                self._begin(reply_id)
            if self._stopped_at is None:
                self._waiting.put(np.array(samples, np.float32))

    def complete(self, reply_id: int) -> None:
        """Note that no more sound of ``reply_id`` will be queued."""
        with self._lock:
            if reply_id != self._reply:
                self._begin(reply_id)
            self._complete = True

    def pieces(self) -> Iterator[SentPiece]:
        """Yield what is to be sent now. The last piece of a reply comes once."""
        with self._lock:
            while self._stopped_at is None and not self._closed:
                over = self._complete and self._waiting.length <= PIECE
                if self.speaks and self._sent - self._played() >= samples(AHEAD_S, ASSISTANT_RATE):
                    return
                dry = self._played() >= self._sent
                if not over and self._waiting.length < (1 if dry else PIECE):
                    return
                piece = self._waiting.take(PIECE)
                now = self._clock()
                begun = now + START_S - self._sent / ASSISTANT_RATE
                if dry:
                    if self._sent and self.speaks and len(piece):
                        self._gap()
                    self._origin = max(begun, self._origin) if self._sent else begun
                self._sent += len(piece)
                self._playout.play(self._reply, piece)
                self._closed = over
                yield SentPiece(self._reply, piece if self.speaks else piece[:0], over)

    def duck(self) -> None:
        """Do nothing: the client plays on."""

    def hold(self) -> None:
        """Do nothing: the client plays on."""

    def resume(self) -> None:
        """Do nothing: the client played on."""

    def stop(self) -> None:
        """Drop what was not sent; playback ends where it is."""
        with self._lock:
            if self._stopped_at is None:
                self._stopped_at = self._played()
            self._waiting.clear()
            self._playout.stop()

    def finish(self) -> None:
        """Count all that was sent as heard."""
        with self._lock:
            self._told = self._sent

    def report(self, heard: int) -> None:
        """Take ``heard`` samples of the reply as played: the client said so."""
        with self._lock:
            if self._stopped_at is None:
                self._told = max(self._told or 0, min(heard, self._sent))

    def tick(self) -> Audio:
        """Return what was played during a frame: float32, shape (480,), 24 kHz."""
        return self._playout.render(ASSISTANT_FRAME)

    @property
    def played(self) -> Position:
        """How far the newest reply is taken to be played."""
        with self._lock:
            return Position(self._reply, self._played())

    @property
    def status(self) -> DeviceStatus:
        """Its name."""
        return DeviceStatus(device="a client")

    def close(self) -> None:
        """Do nothing: the client closes itself."""

    def _begin(self, reply_id: int) -> None:
        self._reply, self._sent = reply_id, 0
        self._waiting.clear()
        self._complete = self._closed = False
        self._told = self._stopped_at = None

    def _played(self) -> int:
        if self._stopped_at is not None:
            return self._stopped_at
        if self._told is not None:
            return min(self._told, self._sent)
        if not self.speaks:
            return self._sent
        if not self._sent:
            return 0
        return max(0, min(self._sent, round((self._clock() - self._origin) * ASSISTANT_RATE)))
