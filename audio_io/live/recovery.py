"""Reopen a device that went away, without holding up the conversation.

Each live endpoint uses one :class:`Recovery`. Opening a device can take a second, so attempts run
on threads of their own, and the endpoint polls for the result (:meth:`Recovery.poll`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from audio_io.errors import DeviceError
from audio_io.live.devices import Backend, Device, Kind, find_device
from audio_io.live.line import DeviceLine
from audio_io.worker import Worker, details_hint

PATIENCE_S = 3.0
"""How long to wait for a missing device before using the system's default."""
NEWS_S = 15.0
"""How long an endpoint shows that its device was recovered."""
_FIRST_DELAY_S = 1.0
_LONGEST_DELAY_S = 30.0

log = logging.getLogger(__name__)

Runner = Callable[[Callable[[], None]], None]
"""Runs a function, now or later, on any thread."""


def in_thread(work: Callable[[], None]) -> None:
    """Run ``work`` on a thread of its own: the usual :data:`Runner`."""
    Worker(work, "device").start()


@dataclass(frozen=True, slots=True)
class Found:
    """A device that was opened; ``replacement``: not the one that went away."""

    line: DeviceLine
    replacement: bool


class Recovery:
    """Tries to reopen ``device``, and the system's default when it stays away.

    The first attempt comes at once and uses the known list of devices. Later ones rescan, which
    closes the other endpoint's stream for a moment; they come 1, 3, 7, 15 and 31 s after the loss
    and then every 30 s. ``follow_default``: do not wait for ``device`` before taking the default.
    """

    def __init__(
        self,
        backend: Backend,
        kind: Kind,
        device: Device,
        now: float,
        follow_default: bool,
        run: Runner = in_thread,
    ) -> None:
        self._backend = backend
        self._kind: Kind = kind
        self._device = device
        self._since = now
        self._patience = 0.0 if follow_default else PATIENCE_S
        self._run = run
        self._lock = threading.Lock()
        self._busy = False
        self._attempts = 0
        self._next = now
        self._found: Found | None = None
        self._cancelled = False
        self.problem = ""
        """The internal error in the latest attempt, or empty."""

    def poll(self, now: float) -> Found | None:
        """Return the device once it is open; start an attempt when one is due."""
        with self._lock:
            if self._found is not None:
                found, self._found = self._found, None
                return found
            if self._busy or now < self._next:
                return None
            self._busy = True
            attempt = self._attempts
            self._attempts += 1
            self._next = now + min(_FIRST_DELAY_S * 2**attempt, _LONGEST_DELAY_S)
            patient = now - self._since < self._patience
        self._run(lambda: self._attempt(rescan=attempt > 0, patient=patient))
        return None

    def cancel(self) -> None:
        """Stop trying. A device that is still being opened is closed again."""
        with self._lock:
            self._cancelled = True
            found, self._found = self._found, None
        if found is not None:
            found.line.close()

    def _attempt(self, *, rescan: bool, patient: bool) -> None:
        found: Found | None = None
        problem = ""
        try:
            # A rescan interrupts the other endpoint, so the first attempt goes without.
            if rescan:
                self._backend.rescan()
            found = self._open_best(patient=patient)
        except DeviceError as error:
            log.debug("cannot reopen '%s' yet: %s", self._device.name, error)
        except Exception:
            log.exception("reopening '%s' failed", self._device.name)
            problem = f"internal error while reopening it{details_hint()}"
        with self._lock:
            self._busy = False
            self.problem = problem
            keep = not self._cancelled
            if keep:
                self._found = found
        if found is not None and not keep:
            found.line.close()

    def _open_best(self, *, patient: bool) -> Found | None:
        devices = self._backend.devices()
        wanted = _identity(self._device)
        same = [d for d in devices if _identity(d) == wanted and d.channels(self._kind) > 0]
        if same:
            try:
                return Found(DeviceLine(self._backend, same[0], self._kind), replacement=False)
            except DeviceError:
                if patient:
                    raise
        if patient:
            return None
        default = find_device(devices, "", self._kind)
        line = DeviceLine(self._backend, default, self._kind)
        return Found(line, replacement=_identity(default) != wanted)


def _identity(device: Device) -> Device:
    """Return ``device`` without what changes when it is plugged in again."""
    return replace(device, id=0, default_input=False, default_output=False, rate=0)
