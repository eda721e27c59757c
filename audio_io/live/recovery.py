"""Reopen a device that went away, without holding up the conversation.

Microphone and speaker have one :class:`Connection` each. Opening a device can take a second, so
attempts run on threads of their own; the owner polls for the result (:meth:`Connection.poll`).
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from audio_io.errors import DeviceError
from audio_io.live.devices import Backend, Device, Kind, PortAudio, find_device
from audio_io.live.line import DeviceLine
from audio_io.worker import Worker, details_hint

PATIENCE_S = 3.0
"""How long to wait for a missing device before using the system's default."""
NEWS_S = 15.0
"""How long the last message is shown."""
_FIRST_DELAY_S = 1.0
_LONGEST_DELAY_S = 30.0

log = logging.getLogger(__name__)

Runner = Callable[[Callable[[], None]], None]
"""Runs a function, now or later, on any thread."""


def in_thread(work: Callable[[], None]) -> None:
    """Run ``work`` on a thread of its own: the usual :data:`Runner`."""
    Worker(work, "device").start()


class Connection:
    """The line to one device, reopened after the device went away.

    ``wanted`` is an id, a unique part of the device's name, or "" for the default. Not thread-safe,
    but :meth:`poll` needs no lock.
    """

    def __init__(
        self,
        kind: Kind,
        wanted: str,
        backend: Backend | None,
        clock: Callable[[], float],
        run: Runner,
    ) -> None:
        self.name = wanted
        self.line: DeviceLine | None = None
        self.replaced = False
        """Whether the open device is not the one that was lost last."""
        self._kind: Kind = kind
        self._role = "microphone" if kind == "input" else "speaker"
        self._wanted = wanted
        self._backend = backend
        self._clock = clock
        self._run = run
        self._recovery: Recovery | None = None
        self._news = ""
        self._news_until = 0.0

    def open(self) -> DeviceLine:
        """Open the device. Raises: DeviceError."""
        if self._backend is None:
            self._backend = PortAudio()
        device = find_device(self._backend.devices(), self._wanted, self._kind)
        self.line = DeviceLine(self._backend, device, self._kind)
        self.name = device.name
        return self.line

    @property
    def recovering(self) -> bool:
        """Whether the device is gone and is being reopened."""
        return self._recovery is not None

    @property
    def message(self) -> str:
        """The current problem or the latest news, or empty."""
        if self._recovery is not None:
            problem = self._recovery.problem or "waiting for it"
            return f"{self._role} '{self.name}' is gone: {problem}"
        return self._news if self._clock() < self._news_until else ""

    def tell(self, news: str) -> None:
        """Show ``news`` as the message for some seconds."""
        self._news, self._news_until = news, self._clock() + NEWS_S

    def check(self, now: float) -> DeviceLine | None:
        """Return the line if it has just been lost; then start to reopen the device."""
        line = self.line
        if line is None or self._backend is None or line.alive(now):
            return None
        self.line = None
        self._run(line.close)
        self._recovery = Recovery(
            self._backend, self._kind, line.device, now, not self._wanted, self._run
        )
        return line

    def poll(self, now: float) -> DeviceLine | None:
        """Return the reopened line, once there is one, for :meth:`attach`."""
        recovery = self._recovery
        return None if recovery is None else recovery.poll(now)

    def attach(self, line: DeviceLine) -> bool:
        """Use the reopened line; return false, closing it, after :meth:`detach`."""
        if self._recovery is None:
            line.close()
            return False
        self.replaced = _identity(line.device) != _identity(self._recovery.device)
        self._recovery = None
        lost, self.line, self.name = self.name, line, line.device.name
        if self.replaced:
            self.tell(f"{self._role} '{lost}' is gone: using '{self.name}' instead")
        else:
            self.tell(f"{self._role} '{self.name}' is back")
        return True

    def detach(self) -> Callable[[], None]:
        """Give up the device; return its slow close function, to be called without a lock."""
        line, self.line = self.line, None
        recovery, self._recovery = self._recovery, None

        def close() -> None:
            if recovery is not None:
                recovery.cancel()
            if line is not None:
                line.close()

        return close


@dataclass(slots=True)
class Recovery:
    """Tries to reopen ``device``, and the system's default when it stays away.

    The first attempt comes at once and uses the known list of devices. Later ones rescan, which
    closes the other device's stream for a moment; they come 1, 3, 7, 15 and 31 s after the loss
    and then every 30 s. ``follow_default``: do not wait for ``device`` before taking the default.
    """

    backend: Backend
    kind: Kind
    device: Device
    since: float
    follow_default: bool
    run: Runner
    problem: str = ""
    """The internal error in the latest attempt, or empty."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _busy: bool = False
    _next: float = -math.inf
    _delay: float = _FIRST_DELAY_S
    _found: DeviceLine | None = None
    _cancelled: bool = False

    def poll(self, now: float) -> DeviceLine | None:
        """Return the device once it is open; start an attempt when one is due."""
        with self._lock:
            if self._found is not None:
                found, self._found = self._found, None
                return found
            if self._busy or now < self._next:
                return None
            rescan = self._next > -math.inf  # not at the first attempt
            self._next = now + self._delay
            self._delay = min(2 * self._delay, _LONGEST_DELAY_S)
            patient = not self.follow_default and now - self.since < PATIENCE_S
            self._busy = True
        self.run(lambda: self._attempt(rescan=rescan, patient=patient))
        return None

    def cancel(self) -> None:
        """Stop trying. A device that is still being opened is closed again."""
        with self._lock:
            self._cancelled = True
            found, self._found = self._found, None
        if found is not None:
            found.close()

    def _attempt(self, *, rescan: bool, patient: bool) -> None:
        found: DeviceLine | None = None
        problem = ""
        try:
            # A rescan interrupts the other device, so the first attempt goes without.
            if rescan:
                self.backend.rescan()
            found = self._open_best(patient=patient)
        except DeviceError as error:
            log.debug("cannot reopen '%s' yet: %s", self.device.name, error)
        except Exception:
            log.exception("reopening '%s' failed", self.device.name)
            problem = f"internal error while reopening it{details_hint()}"
        with self._lock:
            self._busy = False
            self.problem = problem
            keep = not self._cancelled
            if keep:
                self._found = found
        if found is not None and not keep:
            found.close()

    def _open_best(self, *, patient: bool) -> DeviceLine | None:
        devices = self.backend.devices()
        wanted = _identity(self.device)
        same = [d for d in devices if _identity(d) == wanted and d.channels(self.kind) > 0]
        if same:
            try:
                return DeviceLine(self.backend, same[0], self.kind)
            except DeviceError:
                if patient:
                    raise
        if patient:
            return None
        return DeviceLine(self.backend, find_device(devices, "", self.kind), self.kind)


def _identity(device: Device) -> Device:
    """Return ``device`` without what changes when it is plugged in again."""
    return replace(device, id=0, default_input=False, default_output=False, rate=0)
