"""The queue behind every speaker: what to play, how loud, and how far it has got.

:class:`Playout` has no device and no thread. The owner of the device renders it block by block into
one endless stream of 24 kHz samples, with silence while the queue is empty. Only samples of a reply
count as played. :meth:`Playout.played_at` returns the position at any played sample of the stream.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass

import numpy as np

from audio_io.clock import ASSISTANT_FRAME, ASSISTANT_RATE
from audio_io.errors import AudioError
from audio_io.levels import from_db
from audio_io.signal import Audio, Position, fade_out

LIMIT_S = 300
"""Longest queue. More is an error, because dropping samples would falsify what was heard."""

HEARD_GAP_S = 0.5
"""Silence within a reply that a listener notices even after a pause."""

DUCK_DB = -12.0
RAMP = ASSISTANT_RATE // 100
"""Samples (10 ms) of a fade-out, and of a change between full and ducked level."""

_STEP = (1.0 - from_db(DUCK_DB)) / RAMP

_QUIET = from_db(-50.0)
"""Peak of the last 10 ms below which sound has come to a pause."""


@dataclass(slots=True)
class _Span:
    """``length`` samples of a reply from its sample ``first`` on, rendered at ``start``."""

    start: int
    reply_id: int
    first: int
    length: int

    def played_at(self, index: int) -> Position:
        return Position(self.reply_id, self.first + max(0, min(index - self.start, self.length)))


class Playout:
    """A queue of replies, rendered as one stream. Safe to use from several threads."""

    def __init__(self, limit_seconds: float = LIMIT_S) -> None:
        self._lock = threading.Lock()
        self._limit = round(limit_seconds * ASSISTANT_RATE)
        self._queue: deque[tuple[int, Audio]] = deque()
        self.queued = 0
        """Number of samples not rendered yet."""
        self._gain = 1.0
        self._target = 1.0
        self._held = False
        self.rendered = 0
        """Number of samples rendered so far, silence included."""
        self._spans: deque[_Span] = deque([_Span(0, -1, 0, 0)])
        self._dry = 0
        self.starved = 0
        """Number of blocks with silence between two samples of the same reply."""
        self.gaps = 0
        """Number of such silences that a listener hears: within a sound, or longer than a pause."""
        self._paused = True

    def play(self, reply_id: int, samples: Audio) -> None:
        """Queue a copy of ``samples`` (float32 mono 24 kHz) of reply ``reply_id``.

        Raises: AudioError, queueing nothing, when the queue would exceed its limit.
        """
        if len(samples) == 0:
            return
        with self._lock:
            if self.queued + len(samples) > self._limit:
                raise AudioError(
                    f"more than {self._limit / ASSISTANT_RATE:g} s of speech are queued: "
                    "ask for shorter replies"
                )
            self._queue.append((reply_id, np.array(samples, dtype=np.float32)))
            self.queued += len(samples)

    def duck(self) -> None:
        """Continue 12 dB lower, over a ramp of 10 ms from the next sample on."""
        with self._lock:
            self._target = from_db(DUCK_DB)

    def hold(self) -> None:
        """Fade out within 15 ms and stand still until :meth:`resume`; the queue is kept."""
        with self._lock:
            self._held = True
            self._target = 0.0

    def resume(self) -> None:
        """Return to the full level, over a ramp of 10 ms (15 ms from a standstill)."""
        with self._lock:
            self._held = False
            self._target = 1.0

    def stop(self) -> None:
        """Fade out within 10 ms and drop the rest. Later samples play at full level."""
        with self._lock:
            tail = self._take(RAMP) if self._gain > 0 else []
            faded: deque[tuple[int, Audio]] = deque()
            left = sum(len(samples) for _, samples in tail)
            envelope = self._envelope(left) * fade_out(left)
            at = 0
            for reply_id, samples in tail:
                faded.append((reply_id, samples * envelope[at : at + len(samples)]))
                at += len(samples)
            self._queue = faded
            self.queued = left
            self._play_on()

    def drop(self) -> None:
        """Drop the queue. Later samples play at full level."""
        with self._lock:
            self._queue.clear()
            self.queued = 0
            self._play_on()

    def take_back(self, index: int) -> None:
        """Undo the rendering from stream index ``index`` on: the device will not play it."""
        with self._lock:
            self.rendered = min(self.rendered, max(index, self._spans[0].start))
            while len(self._spans) > 1 and self._spans[-1].start >= self.rendered:
                self._spans.pop()
            last = self._spans[-1]
            last.length = max(0, min(last.length, self.rendered - last.start))
            silent = self.rendered - last.start - last.length
            self._dry = min(self._dry, math.ceil(silent / ASSISTANT_FRAME))

    def render(self, n: int) -> Audio:
        """Return the next ``n`` samples of the stream, silence where the queue is empty."""
        block = np.zeros(n, np.float32)
        with self._lock:
            at = 0
            for reply_id, samples in self._take(min(n, self._left_of_fade()) if self._held else n):
                block[at : at + len(samples)] = samples
                self._note(reply_id, self.rendered + at, samples)
                at += len(samples)
            if at < n and not self._held:
                self._dry += 1
            if not self._gain == self._target == 1.0:
                block *= self._envelope(n)
            self.rendered += n
        return block

    @property
    def played(self) -> Position:
        """The position at the last rendered sample."""
        with self._lock:
            return self._spans[-1].played_at(self.rendered)

    def played_at(self, index: int) -> Position:
        """Return the position once the stream's first ``index`` samples have been played.

        ``index`` must not fall from call to call: earlier positions are forgotten.
        """
        with self._lock:
            while len(self._spans) > 1 and self._spans[1].start < index:
                self._spans.popleft()
            return self._spans[0].played_at(index)

    def speaks_after(self, index: int) -> bool:
        """Return whether any rendered sample from stream index ``index`` on belongs to a reply.

        The samples themselves cannot tell: a reply has silent pauses.
        """
        with self._lock:
            last = self._spans[-1]
            return last.start + last.length > index

    def _play_on(self) -> None:
        """Play at full level from now on."""
        self._gain = self._target = 1.0
        self._held = False
        self._dry = 0

    def _left_of_fade(self) -> int:
        """Return the samples until a held reply is silent."""
        return math.ceil(self._gain / _STEP)

    def _take(self, n: int) -> list[tuple[int, Audio]]:
        """Remove up to ``n`` samples from the queue, in pieces of one reply each."""
        taken: list[tuple[int, Audio]] = []
        while n > 0 and self._queue:
            reply_id, samples = self._queue.popleft()
            if len(samples) > n:
                self._queue.appendleft((reply_id, samples[n:]))
                samples = samples[:n]
            taken.append((reply_id, samples))
            n -= len(samples)
            self.queued -= len(samples)
        return taken

    def _note(self, reply_id: int, start: int, samples: Audio) -> None:
        """Record that ``samples`` of a reply lie at stream index ``start``."""
        last = self._spans[-1]
        same = reply_id == last.reply_id
        length = len(samples)
        if same and self._dry:
            self.starved += self._dry
            silent = start - last.start - last.length
            self.gaps += not self._paused or silent >= HEARD_GAP_S * ASSISTANT_RATE
        self._dry = 0
        self._paused = float(np.max(np.abs(samples[-RAMP:]))) < _QUIET
        if same and last.start + last.length == start:
            last.length += length
        else:
            first = last.first + last.length if same else 0
            self._spans.append(_Span(start, reply_id, first, length))

    def _envelope(self, n: int) -> Audio:
        """Return the gains of the next ``n`` samples and advance the level."""
        if self._gain == self._target:
            return np.full(n, self._gain, np.float32)
        rise = np.arange(1, n + 1) * _STEP
        if self._target > self._gain:
            levels = np.minimum(self._gain + rise, self._target)
        else:
            levels = np.maximum(self._gain - rise, self._target)
        if n:
            self._gain = float(levels[-1])
        return np.asarray(levels, dtype=np.float32)


class PlayoutSpeaker:
    """The part of every speaker that only passes orders on to its playout."""

    def __init__(self) -> None:
        self._playout = Playout()

    @property
    def waiting(self) -> float:
        """How many seconds of speech wait to be played."""
        return self._playout.queued / ASSISTANT_RATE

    def duck(self) -> None:
        """See :meth:`audio_io.ends.Speaker.duck`."""
        self._playout.duck()

    def hold(self) -> None:
        """See :meth:`audio_io.ends.Speaker.hold`."""
        self._playout.hold()

    def resume(self) -> None:
        """See :meth:`audio_io.ends.Speaker.resume`."""
        self._playout.resume()
